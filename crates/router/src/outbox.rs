//! What leaves the store: results, dead letters and answers to Kafka, kicks and cancels to edges. The slot's
//! outbox is drained by whoever holds its drain lease; an entry is removed after Kafka confirmed it.
//!
//! Left out: when a note is removed because its edge confirmed it, which the link does.

mod records;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bus::{Message, SendError};
use bytes::Bytes;
use domain::command::Lane;
use domain::ids::{ChargePointId, Slot};
use domain::slot::{Note, OutboxEntry};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use prost::Message as _;
use store::StoreError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::map::record;

use crate::dispatcher::shard_message;
use crate::engine::Engine;
use crate::metrics::{self, NOTES, OUTBOX, OUTBOX_POISON};

/// Entries, and notes, of one drain.
const LIMIT: usize = 200;
/// Slots drained at a time.
const AT_A_TIME: usize = 8;

/// Which slots have something to drain.
#[derive(Debug)]
pub struct Wakes {
    dirty: Box<[AtomicBool]>,
    any: Notify,
}

impl Wakes {
    /// All slots: what an earlier router left is looked for at once.
    #[must_use]
    pub fn new(slots: u16) -> Self {
        let wakes = Self {
            dirty: (0..slots).map(|_| AtomicBool::new(true)).collect(),
            any: Notify::new(),
        };
        wakes.any.notify_one();
        wakes
    }

    /// There is something in this slot.
    pub fn wake(&self, slot: Slot) {
        if let Some(dirty) = self.dirty.get(usize::from(slot.0)) {
            dirty.store(true, Ordering::Release);
            self.any.notify_one();
        }
    }

    /// The slots that were woken since they were last taken.
    fn take(&self) -> Vec<Slot> {
        let woken = (0_u16..)
            .zip(&self.dirty)
            .filter(|(_, dirty)| dirty.swap(false, Ordering::AcqRel));
        woken.map(|(slot, _)| Slot(slot)).collect()
    }
}

/// Drains whatever slot is woken until `token` is cancelled. A drain that fails is tried again when the slot is
/// woken next, at the latest by the timers' next round, which sees what is left.
pub async fn run(engine: Arc<Engine>, token: CancellationToken) {
    while token
        .run_until_cancelled(engine.wakes.any.notified())
        .await
        .is_some()
    {
        let drains = iter(engine.wakes.take()).map(|slot| drain_all(&engine, slot));
        let results: Vec<_> = drains.buffer_unordered(AT_A_TIME).collect().await;
        for error in results.into_iter().filter_map(Result::err) {
            tracing::debug!(%error, "a drain failed and will be repeated");
        }
    }
}

/// Drains a slot until a drain finds less than it could take, or Kafka refuses.
async fn drain_all(engine: &Engine, slot: Slot) -> Result<(), StoreError> {
    while drain(engine, slot).await? {}
    Ok(())
}

/// One drain; true if there may be more.
async fn drain(engine: &Engine, slot: Slot) -> Result<bool, StoreError> {
    let reply = engine.store.drain(slot, &engine.holder, LIMIT).await?;
    engine.redis_clock.learn(reply.redis_now);
    let found = reply.value;
    if !found.held || (found.entries.is_empty() && found.notes.is_empty()) {
        return Ok(false);
    }
    let full = found.entries.len() == LIMIT || found.notes.len() == LIMIT;
    let wanted = found.entries.len();
    let (gone, dead) = tokio::join!(
        send_entries(engine, found.entries),
        send_notes(engine, found.notes)
    );
    if !gone.is_empty() || !dead.is_empty() {
        engine.store.trim(slot, &gone, &dead).await?;
    }
    Ok(full && gone.len() == wanted)
}

/// Sends entries; returns the numbers of those that Kafka has. Those of one charger go one after the other,
/// and none goes after one that failed: a consumer that drops sequences not above the last seen would
/// otherwise lose the one that failed.
async fn send_entries(engine: &Engine, entries: Vec<(u64, OutboxEntry)>) -> Vec<u64> {
    let mut chargers: HashMap<ChargePointId, Vec<(u64, OutboxEntry)>> = HashMap::new();
    for entry in entries {
        chargers
            .entry(entry.1.command.request.charge_point.clone())
            .or_default()
            .push(entry);
    }
    let one_charger = async |entries: Vec<(u64, OutboxEntry)>| {
        let mut gone = Vec::new();
        for (number, entry) in entries {
            if !send_entry(engine, &entry).await {
                break;
            }
            gone.push(number);
        }
        gone
    };
    join_all(chargers.into_values().map(one_charger)).await.concat()
}

/// Sends all records of an entry; true if it may be removed.
async fn send_entry(engine: &Engine, entry: &OutboxEntry) -> bool {
    for (kind, message) in records::of(entry) {
        let mut sent = engine.produce(message).await;
        if matches!(sent, Err(SendError::TooLarge { .. })) {
            // The outcome matters more than the texts that it carries: those can be read by the command's id.
            sent = match records::without_texts(entry, kind) {
                Some(short) => engine.produce(short).await,
                None => sent,
            };
        }
        match sent {
            Ok(()) => ::metrics::counter!(OUTBOX, "kind" => kind.name()).increment(1),
            Err(error @ SendError::TooLarge { .. }) => {
                ::metrics::counter!(OUTBOX_POISON).increment(1);
                let command = entry.command.request.id;
                tracing::error!(%command, %error, "Kafka will never take this record; it is dropped");
            }
            Err(error) => {
                tracing::debug!(command = %entry.command.request.id, %error, "an outbox entry stays");
                return false;
            }
        }
    }
    if matches!(entry.kind, domain::slot::OutboxKind::Ended { .. }) {
        metrics::ended(&entry.command);
    }
    true
}

/// Sends notes; returns those whose pod lives no more. Those that were sent stay until the edge confirms.
async fn send_notes(engine: &Engine, notes: Vec<(ChargePointId, Note)>) -> Vec<(ChargePointId, String)> {
    let all = join_all(
        notes
            .into_iter()
            .map(|(charge_point, note)| send_note(engine, charge_point, note)),
    )
    .await;
    all.into_iter().flatten().collect()
}

async fn send_note(
    engine: &Engine,
    charge_point: ChargePointId,
    note: Note,
) -> Option<(ChargePointId, String)> {
    // A record that lacks this life is read anew unless it is a few milliseconds old: lives only move on.
    let Ok(lease) = engine.leases.get(&note.pod, note.incarnation).await else {
        return None;
    };
    let now = engine.redis_clock.now();
    let Some(lease) = lease.filter(|l| l.incarnation == note.incarnation && l.expires > now) else {
        // That life writes nothing any more: there is nobody to close a socket or to suppress a command.
        ::metrics::counter!(NOTES, "outcome" => "obsolete").increment(1);
        return Some((charge_point, note.name()));
    };
    let payload = record::note(&charge_point, &note).encode_to_vec();
    let key = Bytes::copy_from_slice(charge_point.as_str().as_bytes());
    // By the urgent lane: no backlog of commands stands before it.
    let message: Message = shard_message(&lease.consumes, Lane::Urgent, key, payload);
    let outcome = if engine.produce(message).await.is_ok() {
        "sent"
    } else {
        "failed"
    };
    ::metrics::counter!(NOTES, "outcome" => outcome).increment(1);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_taken_once_and_a_new_router_looks_at_every_slot() {
        let wakes = Wakes::new(3);
        assert_eq!(wakes.take(), [Slot(0), Slot(1), Slot(2)]);
        assert!(wakes.take().is_empty());
        wakes.wake(Slot(1));
        wakes.wake(Slot(1));
        wakes.wake(Slot(9));
        assert_eq!(wakes.take(), [Slot(1)]);
        assert!(wakes.take().is_empty());
    }
}
