//! What leaves the store: results, dead letters and answers to Kafka, kicks and cancels to edges. The slot's
//! outbox is drained by whoever holds its drain lease; an entry is removed after Kafka confirmed it.
//!
//! However long Kafka is away, this router holds at most [`LIMIT`] entries of each of [`AT_A_TIME`] slots; the
//! rest waits in the store. Left out: when a note is removed because its edge confirmed it, which the link does.

mod plan;
mod records;
mod send;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bus::Headers;
use domain::ids::{ChargePointId, CommandId, Slot};
use futures_util::stream::{FuturesUnordered, StreamExt};
use store::{DrainReply, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::plan::{Drained, Plan};
use crate::dispatcher::Ports;
use crate::engine::Engine;
use crate::metrics::DRAINS;
use crate::trace;

/// Entries, and notes, of one drain.
pub const LIMIT: usize = 100;
/// Slots drained at a time.
pub const AT_A_TIME: usize = 64;
/// Slots among them that nobody is in a hurry for.
const PATIENT: usize = 8;
/// How long drains under way may take when the router ends; what they sent and did not remove is sent again.
const LAST_DRAINS: Duration = Duration::from_secs(1);

/// What a drain finds that is left to other routers: as if one of them held the slot. The timers' rounds wake it again.
const LEFT_TO_PEERS: DrainReply = DrainReply {
    held: false,
    entries: Vec::new(),
    notes: Vec::new(),
};

/// What draining needs of the rest of the router, besides what dispatching needs.
pub trait Outlet: Ports {
    /// How many slots there are.
    fn slots(&self) -> u16;
    /// Takes or renews the drain lease of a slot, and reads what is to leave.
    fn read(&self, slot: Slot) -> impl Future<Output = Result<DrainReply, StoreError>> + Send;
    /// Removes entries by their numbers, and notes by charger and name, and gives the drain lease back; true if
    /// entries are left, those among them that a peer wanted to drain meanwhile.
    fn trim(
        &self,
        slot: Slot,
        entries: &[u64],
        notes: &[(ChargePointId, String)],
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// The headers of the records about a command.
    fn headers(&self, id: CommandId) -> Headers;
}

/// How soon a slot is to be drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// In its turn, a few such slots at a time.
    Patient,
    /// At once.
    Now,
}

/// Which slots have something to drain, and how soon: 0 for none, else a [`Haste`] from 1.
#[derive(Debug)]
pub struct Wakes {
    dirty: Box<[AtomicU8]>,
    any: Notify,
}

impl Wakes {
    /// All slots: what an earlier router left is looked for at once.
    #[must_use]
    pub fn new(slots: u16) -> Self {
        let wakes = Self {
            dirty: (0..slots).map(|_| AtomicU8::new(2)).collect(),
            any: Notify::new(),
        };
        wakes.any.notify_one();
        wakes
    }

    /// There is something in this slot.
    pub fn wake(&self, slot: Slot, haste: Haste) {
        if let Some(dirty) = self.dirty.get(usize::from(slot.0)) {
            dirty.fetch_max(if haste == Haste::Now { 2 } else { 1 }, Ordering::AcqRel);
            self.any.notify_one();
        }
    }

    /// The slots that were woken since they were last taken.
    fn take(&self) -> Vec<(Slot, Haste)> {
        let woken = (0_u16..).zip(&self.dirty);
        let woken = woken.filter_map(|(slot, dirty)| match dirty.swap(0, Ordering::AcqRel) {
            0 => None,
            1 => Some((Slot(slot), Haste::Patient)),
            _ => Some((Slot(slot), Haste::Now)),
        });
        woken.collect()
    }
}

/// What the loop hears.
enum Turn {
    Woken,
    Ended(Slot, Drained),
    Rested,
    Stop,
}

/// Drains whatever slot is woken until `token` is cancelled. What could not leave stays in the store; the timers'
/// rounds see it and wake the slot, should this router forget it.
pub async fn run<O: Outlet>(outlet: Arc<O>, wakes: Arc<Wakes>, token: CancellationToken) {
    let plan = Plan::new(outlet.slots(), AT_A_TIME);
    serve(outlet, wakes, token, plan).await;
}

async fn serve<O: Outlet>(outlet: Arc<O>, wakes: Arc<Wakes>, token: CancellationToken, mut plan: Plan) {
    let mut drains = FuturesUnordered::new();
    loop {
        while let Some(slot) = plan.begin(Instant::now()) {
            let outlet = Arc::clone(&outlet);
            drains.push(async move { (slot, drain(&*outlet, slot).await) });
        }
        let rested = plan.next_end_of_rest();
        let turn = tokio::select! {
            () = token.cancelled() => Turn::Stop,
            () = wakes.any.notified() => Turn::Woken,
            Some((slot, how)) = drains.next(), if !drains.is_empty() => Turn::Ended(slot, how),
            () = sleep_until(rested.unwrap_or_else(Instant::now)), if rested.is_some() => Turn::Rested,
        };
        match turn {
            Turn::Stop => break,
            Turn::Woken => wakes
                .take()
                .into_iter()
                .for_each(|(slot, haste)| plan.wake(slot, haste)),
            Turn::Ended(slot, how) => plan.ended(slot, how, Instant::now(), rand::random()),
            Turn::Rested => {}
        }
    }
    // Time is up for those that wait for Kafka: an entry that was not removed is sent again by a peer.
    let _ = timeout(LAST_DRAINS, drains.collect::<Vec<_>>()).await;
}

/// One drain of a slot.
async fn drain<O: Outlet>(outlet: &O, slot: Slot) -> Drained {
    let how = match try_drain(outlet, slot).await {
        Ok(how) => how,
        Err(error) => {
            tracing::debug!(%slot, %error, "a drain failed and will be repeated");
            Drained::Stuck
        }
    };
    let outcome = match how {
        Drained::Empty | Drained::More => "done",
        Drained::Stuck => "stuck",
    };
    metrics::counter!(DRAINS, "outcome" => outcome).increment(1);
    how
}

async fn try_drain<O: Outlet>(outlet: &O, slot: Slot) -> Result<Drained, StoreError> {
    let found = outlet.read(slot).await?;
    if !found.held || (found.entries.is_empty() && found.notes.is_empty()) {
        return Ok(Drained::Empty);
    }
    let full = found.notes.len() >= LIMIT;
    let wanted = found.entries.len();
    let (gone, dead) = tokio::join!(
        send::entries(outlet, found.entries),
        send::notes(outlet, found.notes)
    );
    let left = outlet.trim(slot, &gone, &dead).await?;
    Ok(match (gone.len() < wanted, left || full) {
        (true, _) => Drained::Stuck,
        (false, true) => Drained::More,
        (false, false) => Drained::Empty,
    })
}

impl Outlet for Engine {
    fn slots(&self) -> u16 {
        self.store.slots()
    }

    async fn read(&self, slot: Slot) -> Result<DrainReply, StoreError> {
        if self.breaker.is_open() {
            return Ok(LEFT_TO_PEERS);
        }
        Ok(self.store.drain(slot, &self.holder, LIMIT).await?.value)
    }

    async fn trim(
        &self,
        slot: Slot,
        entries: &[u64],
        notes: &[(ChargePointId, String)],
    ) -> Result<bool, StoreError> {
        Ok(self.store.trim(slot, &self.holder, entries, notes).await?.value)
    }

    fn headers(&self, id: CommandId) -> Headers {
        trace::headers(&self.traces.publish(id))
    }
}
