//! For this crate's tests: a store whose scripts are told the time, the epoch and the jitter, whose prelude may
//! be altered, and whose slots can be read whole. No configuration leads here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use domain::ids::{ChargePointId, CommandId, Micros, Slot};
use domain::settings::DeliverySettings;
use domain::slot::{DeadEntry, KeyEntry, SlotModel};

pub use crate::client::FakeCall;
use crate::keys::Place;
use crate::outbox::{read_entry, read_note};
use crate::read::read_connection;
use crate::render::{self, Clock};
use crate::reply::Reader;
use crate::{Store, StoreConfig, StoreError, flag, scripts};

/// A slot as it lies in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// What the model speaks of.
    pub model: SlotModel,
    /// The listed commands.
    pub listed: BTreeSet<(ChargePointId, CommandId)>,
    /// Members of the listing of dead letters.
    pub dead_listed: usize,
    /// Connected chargers and the end of their registration.
    pub connected: BTreeMap<ChargePointId, Micros>,
    /// Keys with a time to live, without the slot's base, sorted.
    pub expiring: Vec<String>,
}

/// Connects a store whose prelude is told the time; `alter` may break it.
pub async fn connect(
    config: StoreConfig,
    settings: DeliverySettings,
    alter: impl FnOnce(String) -> String,
) -> Result<Store, StoreError> {
    let prelude = alter(render::prelude(&settings, Clock::Caller));
    Store::connect_with(config, settings, prelude).await
}

/// The same store, which tells its scripts what `set` says.
#[must_use]
pub fn faked(store: &Store, first: FakeCall) -> Store {
    Store {
        core: Arc::clone(&store.core),
        fake: Some(Arc::new(Mutex::new(first))),
    }
}

/// What the next calls tell the scripts.
pub fn set(store: &Store, call: FakeCall) {
    if let Some(fake) = &store.fake {
        *fake.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }
}

/// Reads a whole slot, and removes it if asked to.
pub async fn dump(store: &Store, slot: Slot, remove: bool) -> Result<Dump, StoreError> {
    let settings = store.settings().clone();
    let read = |r: &mut Reader| read_dump(r, settings);
    store
        .call(scripts::DUMP_SLOT, Place::Slot(slot), vec![flag(remove)], read)
        .await
        .map(|r| r.value)
}

fn read_dump(r: &mut Reader, settings: DeliverySettings) -> Result<Dump, StoreError> {
    let (model, dead_listed) = read_model(r, settings)?;
    let listed = r.list(|r| Ok((r.charge_point()?, r.command_id()?)))?;
    let connected = r.list(|r| Ok((r.charge_point()?, r.micros()?)))?;
    let mut expiring = r.list(Reader::text)?;
    expiring.sort();
    Ok(Dump {
        model,
        listed: listed.into_iter().collect(),
        dead_listed,
        connected: connected.into_iter().collect(),
        expiring,
    })
}

/// What the model speaks of, and how many dead letters are listed.
fn read_model(r: &mut Reader, settings: DeliverySettings) -> Result<(SlotModel, usize), StoreError> {
    let mut model = SlotModel::new(settings);
    (model.arrivals, model.outbox_numbers) = (r.number()?, r.number()?);
    (model.last_round, model.hold) = (r.micros()?, r.micros()?);
    let devices = r.list(read_connection)?;
    model.devices = devices.into_iter().map(|c| (c.charge_point, c.device)).collect();
    model.commands = r
        .list(Reader::command)?
        .into_iter()
        .map(|c| (c.request.id, c))
        .collect();
    model.queues = r.list(read_queue)?.into_iter().collect();
    model.due = r
        .list(|r| Ok((r.command_id()?, r.micros()?)))?
        .into_iter()
        .collect();
    model.keys = r.list(read_key)?.into_iter().collect();
    model.outbox = r.list(read_entry)?.into_iter().collect();
    model.notes = r
        .list(read_note)?
        .into_iter()
        .map(|(id, n)| ((id, n.name()), n))
        .collect();
    let attempts = r.list(|r| Ok((r.command_id()?, r.attempts()?)))?;
    model.attempts = attempts.into_iter().filter(|(_, a)| !a.is_empty()).collect();
    model.dead_letters = r.list(read_dead_entry)?.into_iter().collect();
    Ok((model, r.number()?))
}

type Queue = (ChargePointId, BTreeMap<u64, CommandId>);

fn read_queue(r: &mut Reader) -> Result<Queue, StoreError> {
    let charge_point = r.charge_point()?;
    let queue = r.list(|r| Ok((r.command_id()?, r.number()?)))?;
    Ok((
        charge_point,
        queue.into_iter().map(|(id, score)| (score, id)).collect(),
    ))
}

fn read_dead_entry(r: &mut Reader) -> Result<(CommandId, DeadEntry), StoreError> {
    let (id, forget, replayed_as) = (r.command_id()?, r.micros()?, r.optional_command_id()?);
    Ok((id, DeadEntry { forget, replayed_as }))
}

fn read_key(r: &mut Reader) -> Result<((ChargePointId, String), KeyEntry), StoreError> {
    let (name, id, content_hash) = (r.text()?, r.command_id()?, r.text()?);
    let (charge_point, key) = name.split_once(':').ok_or_else(|| r.error("idempotency key"))?;
    let charge_point = ChargePointId::parse(charge_point).map_err(|e| r.error(e.to_string()))?;
    Ok(((charge_point, key.to_owned()), KeyEntry { id, content_hash }))
}
