//! What leaves the store: results, dead letters and answers to Kafka, kicks and cancels to edges. The slot's
//! outbox is drained by whoever holds its drain lease; an entry is removed after Kafka confirmed it.
//!
//! However long Kafka is away, this router holds at most [`LIMIT`] entries of each of [`AT_A_TIME`] slots, and as
//! many that overtake them; the rest waits in the store. Left out: when a note is removed because its edge confirmed it, which the link does.

mod overtaking;
mod plan;
mod records;
mod send;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bus::Headers;
use domain::ids::{ChargePointId, CommandId, Slot};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use store::{DrainReply, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::overtaking::{Before, OnTheirWay};
use self::plan::{Drained, Plan, Which};
use crate::dispatcher::Ports;
use crate::engine::Engine;
use crate::metrics::DRAINS;
use crate::precedence::{Entry, Haste};
use crate::trace;

/// Entries, and notes, of one drain.
pub const LIMIT: usize = 100;
/// Slots drained at a time.
pub const AT_A_TIME: usize = 64;
/// Slots among them that nobody is in a hurry for. Their records wait for more on their way to Kafka.
const PATIENT: usize = 32;
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
    /// Waits until a read or a trim may begin; what it gives is kept until that ended.
    fn enter(&self, haste: Haste) -> impl Future<Output = Entry<'_>> + Send;
    /// Takes or renews the drain lease of a slot, and reads what is to leave: the entries after this number.
    fn read(&self, slot: Slot, after: u64) -> impl Future<Output = Result<DrainReply, StoreError>> + Send;
    /// Removes what left, and gives the drain lease back unless more is under way; true if entries are left, those among
    /// them that a peer wanted to drain meanwhile.
    fn trim(&self, slot: Slot, left: &Left) -> impl Future<Output = Result<bool, StoreError>> + Send;
    /// The headers of the records about a command.
    fn headers(&self, id: CommandId) -> Headers;
}

/// What left a slot.
#[derive(Debug)]
pub struct Left {
    /// Entries, by their numbers.
    pub entries: Vec<u64>,
    /// Notes whose pod has no such life any more, by charger and name.
    pub notes: Vec<(ChargePointId, String)>,
    /// Nothing else of the slot is on its way from this router.
    pub last: bool,
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
    Drain(Step),
    Waited,
    Stop,
}

/// What comes of a drain.
enum Step {
    /// What the first drain of a slot found.
    Found(First, DrainReply),
    Ended(Slot, Which, Drained),
}

/// The first drain of a slot.
struct First {
    slot: Slot,
    haste: Haste,
    /// By this it hears, while it waits for its turn, that somebody is in a hurry.
    hurry: Arc<Notify>,
}

impl Step {
    /// A drain ended so; counts it.
    fn ended(slot: Slot, which: Which, how: Result<Drained, StoreError>) -> Self {
        let how = how.unwrap_or_else(|error| {
            tracing::debug!(%slot, %error, "a drain failed and will be repeated");
            Drained::Stuck
        });
        let outcome = match how {
            Drained::Empty | Drained::More | Drained::Patient | Drained::Full => "done",
            Drained::Stuck => "stuck",
        };
        metrics::counter!(DRAINS, "outcome" => outcome).increment(1);
        Self::Ended(slot, which, how)
    }
}

/// Drains whatever slot is woken until `token` is cancelled. What could not leave stays in the store; the timers'
/// rounds see it and wake the slot, should this router forget it. What is patient waits at most so long for more.
pub async fn run<O: Outlet>(outlet: Arc<O>, wakes: Arc<Wakes>, linger: Duration, token: CancellationToken) {
    let plan = Plan::new(outlet.slots(), (AT_A_TIME, PATIENT), linger);
    serve(outlet, wakes, token, plan).await;
}

async fn serve<O: Outlet>(outlet: Arc<O>, wakes: Arc<Wakes>, token: CancellationToken, plan: Plan) {
    let mut drains = Drains {
        outlet,
        plan,
        on_their_way: OnTheirWay::default(),
        hurries: HashMap::new(),
        running: FuturesUnordered::new(),
    };
    loop {
        drains.begin();
        let waited = drains.plan.next_end_of_wait();
        let turn = tokio::select! {
            () = token.cancelled() => Turn::Stop,
            () = wakes.any.notified() => Turn::Woken,
            Some(step) = drains.running.next(), if !drains.running.is_empty() => Turn::Drain(step),
            () = sleep_until(waited.unwrap_or_else(Instant::now)), if waited.is_some() => Turn::Waited,
        };
        match turn {
            Turn::Stop => break,
            Turn::Woken => wakes
                .take()
                .into_iter()
                .for_each(|(slot, haste)| drains.wake(slot, haste)),
            Turn::Drain(step) => drains.follow(step),
            Turn::Waited => {}
        }
    }
    // Time is up for those that wait for Kafka: an entry that was not removed is sent again by a peer.
    let last = async {
        drains.hurry();
        while let Some(step) = drains.running.next().await {
            drains.follow(step);
            drains.hurry();
        }
    };
    let _ = timeout(LAST_DRAINS, last).await;
}

/// The drains under way.
struct Drains<O> {
    outlet: Arc<O>,
    plan: Plan,
    on_their_way: OnTheirWay,
    /// Of the first drains.
    hurries: HashMap<Slot, Arc<Notify>>,
    running: FuturesUnordered<BoxFuture<'static, Step>>,
}

impl<O: Outlet> Drains<O> {
    /// Begins all whose turn it is, each with its read.
    fn begin(&mut self) {
        while let Some((slot, haste)) = self.plan.begin(Instant::now()) {
            let (outlet, hurry) = (Arc::clone(&self.outlet), Arc::new(Notify::new()));
            self.hurries.insert(slot, Arc::clone(&hurry));
            let first = First { slot, haste, hurry };
            self.running.push(Box::pin(async move {
                let entry = first.enter(&*outlet).await;
                let found = outlet.read(slot, 0).await;
                drop(entry);
                match found {
                    Ok(found) if !is_nothing(&found) => Step::Found(first, found),
                    read => Step::ended(slot, Which::First, read.map(|_| Drained::Empty)),
                }
            }));
        }
    }

    fn wake(&mut self, slot: Slot, haste: Haste) {
        if self.plan.wake(slot, haste, Instant::now()) {
            self.overtake(slot);
        }
        if let (Haste::Now, Some(hurry)) = (haste, self.hurries.get(&slot)) {
            hurry.notify_one();
        }
    }

    /// No drain waits for its turn any more.
    fn hurry(&self) {
        self.hurries.values().for_each(|hurry| hurry.notify_one());
    }

    fn follow(&mut self, step: Step) {
        let again = match step {
            Step::Found(first, found) => {
                let slot = first.slot;
                self.send(first, found);
                (slot, self.plan.sending(slot))
            }
            Step::Ended(slot, which, how) => {
                if which == Which::First {
                    self.hurries.remove(&slot);
                    self.on_their_way.forget(slot);
                }
                let overtakes = self
                    .plan
                    .ended((slot, which), how, Instant::now(), rand::random());
                (slot, overtakes)
            }
        };
        if let (slot, true) = again {
            self.overtake(slot);
        }
    }

    /// The second half of a first drain.
    fn send(&mut self, first: First, found: DrainReply) {
        let before = self.on_their_way.begin(first.slot, &found);
        let outlet = Arc::clone(&self.outlet);
        self.running.push(Box::pin(async move {
            let turn = first.enter(&*outlet);
            let sent = send(&*outlet, first.slot, found, (&before, turn)).await;
            Step::ended(first.slot, Which::First, sent)
        }));
    }

    /// A second drain of a slot. What it finds of chargers whose records are on their way waits for these.
    fn overtake(&mut self, slot: Slot) {
        let Some(before) = self.on_their_way.join(slot) else {
            return;
        };
        let outlet = Arc::clone(&self.outlet);
        self.running.push(Box::pin(async move {
            let sent = overtake(&*outlet, slot, &before).await;
            Step::ended(slot, Which::Second, sent)
        }));
    }
}

async fn overtake<O: Outlet>(outlet: &O, slot: Slot, before: &Before) -> Result<Drained, StoreError> {
    // Whatever comes of the read, the last of the two drains gives the lease back.
    let entry = outlet.enter(Haste::Now).await;
    let read = outlet.read(slot, before.number).await;
    drop(entry);
    let (mut found, failure) = match read {
        Ok(found) => (found, None),
        Err(error) => (LEFT_TO_PEERS, Some(error)),
    };
    let stay = before.take_what_may_pass(&mut found.entries);
    let how = send(outlet, slot, found, (before, outlet.enter(Haste::Now))).await?;
    match (failure, how, stay) {
        (Some(error), _, _) => Err(error),
        (None, Drained::Empty, Some(Haste::Now)) => Ok(Drained::More),
        (None, Drained::Empty, Some(Haste::Patient)) => Ok(Drained::Patient),
        (None, how, _) => Ok(how),
    }
}

fn is_nothing(found: &DrainReply) -> bool {
    !found.held || (found.entries.is_empty() && found.notes.is_empty())
}

impl First {
    /// Waits until its next call may begin: for its turn, unless somebody is in a hurry.
    async fn enter<'a, O: Outlet>(&self, outlet: &'a O) -> Entry<'a> {
        tokio::select! {
            entry = outlet.enter(self.haste) => entry,
            () = self.hurry.notified() => outlet.enter(Haste::Now).await,
        }
    }
}

/// Sends what a drain found, and removes what left when it is its `turn`.
async fn send<'a, O: Outlet>(
    outlet: &'a O,
    slot: Slot,
    found: DrainReply,
    (before, turn): (&Before, impl Future<Output = Entry<'a>>),
) -> Result<Drained, StoreError> {
    let nothing = is_nothing(&found);
    let full = found.notes.len() >= LIMIT || found.entries.len() >= LIMIT;
    let wanted = found.entries.len();
    let (entries, notes) = tokio::join!(
        send::entries(outlet, found.entries),
        send::notes(outlet, found.notes)
    );
    let stuck = entries.len() < wanted;
    // Waited for first: a drain that begins meanwhile is then the last one.
    let _entry = turn.await;
    let last = before.leave();
    if nothing && !last {
        return Ok(Drained::Empty);
    }
    let left = outlet.trim(slot, &Left { entries, notes, last }).await?;
    Ok(match (stuck, full) {
        (true, _) => Drained::Stuck,
        (false, true) => Drained::Full,
        // What is left while the other drain goes on is on its way with that one, as a rule.
        (false, false) if left && last => Drained::More,
        (false, false) => Drained::Empty,
    })
}

impl Outlet for Engine {
    fn slots(&self) -> u16 {
        self.store.slots()
    }

    async fn enter(&self, haste: Haste) -> Entry<'_> {
        self.precedence.enter(haste).await
    }

    async fn read(&self, slot: Slot, after: u64) -> Result<DrainReply, StoreError> {
        if self.breaker.is_open() {
            return Ok(LEFT_TO_PEERS);
        }
        Ok(self.store.drain(slot, &self.holder, LIMIT, after).await?.value)
    }

    async fn trim(&self, slot: Slot, left: &Left) -> Result<bool, StoreError> {
        // Who names no holder gives nothing back.
        let holder = if left.last { self.holder.as_str() } else { "" };
        Ok(self
            .store
            .trim(slot, holder, &left.entries, &left.notes)
            .await?
            .value)
    }

    fn headers(&self, id: CommandId) -> Headers {
        trace::headers(&self.traces.publish(id))
    }
}
