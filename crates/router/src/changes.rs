//! Who watches which command. One subscription to the store's changes serves all watchers: a watcher enters
//! here, then reads, then reads again whenever it is woken, and never otherwise. After a gap in the subscription
//! all are woken; where a message was lost (`heard`), those of its slot are, and the subscription is made anew.

mod heard;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chassis::Backoff;
use domain::ids::{CommandId, Slot};
use store::{Change, ChangeEvent, Changes, Store};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::heard::Heard;
use crate::metrics::{CHANGES_LOST, InGauge, SUBSCRIPTIONS};

/// The watchers. Clones are handles of the same set.
#[derive(Clone, Debug)]
pub struct Hub {
    slots: u16,
    watched: Arc<Mutex<HashMap<CommandId, Watched>>>,
    heard: Arc<Mutex<Heard>>,
    /// The subscription seems to be deaf.
    doubted: Arc<Notify>,
}

/// One watched command.
#[derive(Debug)]
struct Watched {
    /// Wakes; the number counts them.
    wakes: watch::Sender<u64>,
    watchers: usize,
}

/// A watcher of one command; it leaves the hub when it is dropped.
#[derive(Debug)]
pub struct Watcher {
    hub: Hub,
    id: CommandId,
    wakes: watch::Receiver<u64>,
}

impl Hub {
    /// Nobody watches yet.
    #[must_use]
    pub fn new(slots: u16) -> Self {
        Self {
            slots,
            watched: Arc::default(),
            heard: Arc::new(Mutex::new(Heard::new(slots))),
            doubted: Arc::default(),
        }
    }

    /// Watches a command. Whatever happens to it from now on wakes the watcher.
    #[must_use]
    pub fn watch(&self, id: CommandId) -> Watcher {
        let mut watched = self.watched();
        let wakes = match watched.entry(id) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().watchers += 1;
                entry.get().wakes.subscribe()
            }
            Entry::Vacant(entry) => {
                let (wakes, receiver) = watch::channel(0);
                entry.insert(Watched { wakes, watchers: 1 });
                receiver
            }
        };
        Watcher {
            hub: self.clone(),
            id,
            wakes,
        }
    }

    /// A command changed.
    pub fn wake(&self, id: CommandId) {
        if let Some(watched) = self.watched().get(&id) {
            watched.wakes.send_modify(|n| *n += 1);
        }
    }

    /// The store published a change.
    fn changed(&self, change: Change) {
        self.wake(change.id);
        let (Some(slot), Some(number)) = (change.id.slot(self.slots), change.outbox_number) else {
            return;
        };
        if self.heard().published(slot, number) {
            metrics::counter!(CHANGES_LOST).increment(1);
            self.wake_slot(slot);
        }
    }

    /// A round over a slot's timers tells how many ends there were. If some were never heard of, the watchers of the
    /// slot read again, and the subscription is made anew.
    pub fn told(&self, slot: Slot, outbox_numbers: u64) {
        if self.heard().told(slot, outbox_numbers) {
            metrics::counter!(CHANGES_LOST).increment(1);
            self.wake_slot(slot);
            self.doubted.notify_one();
        }
    }

    fn wake_slot(&self, slot: Slot) {
        for (id, watched) in self.watched().iter() {
            if id.slot(self.slots) == Some(slot) {
                watched.wakes.send_modify(|n| *n += 1);
            }
        }
    }

    /// Changes may have been missed.
    pub fn wake_all(&self) {
        for watched in self.watched().values() {
            watched.wakes.send_modify(|n| *n += 1);
        }
    }

    /// How many commands are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watched().len()
    }

    /// True if none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<CommandId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Returns when the command may have changed since the last return. Cancel safe.
    pub async fn woken(&mut self) {
        if self.wakes.changed().await.is_err() {
            // The hub keeps the sender as long as this watcher lives.
            std::future::pending::<()>().await;
        }
    }

    /// What woke it last is not done yet: the next wait returns at once.
    pub fn again(&mut self) {
        self.wakes.mark_changed();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.hub.watched().entry(self.id) {
            entry.get_mut().watchers -= 1;
            if entry.get().watchers == 0 {
                entry.remove();
            }
        }
    }
}

/// Feeds the hub from the store until `token` is cancelled; a lost or deaf subscription is made anew.
pub async fn run(store: Store, hub: Hub, token: CancellationToken) {
    let mut backoff = Backoff::default();
    while !token.is_cancelled() {
        match token.run_until_cancelled(store.subscribe_changes()).await {
            None => return,
            Some(Ok(mut changes)) => {
                let _subscribed = InGauge::enter(SUBSCRIPTIONS);
                backoff.reset();
                hub.heard().forget();
                hub.wake_all();
                token.run_until_cancelled(feed(&mut changes, &hub)).await;
                changes.close().await;
            }
            Some(Err(error)) => tracing::warn!("cannot subscribe to the store's changes: {error}"),
        }
        let pause = backoff.next_delay(&mut rand::rng());
        token.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// Passes changes on until the subscription is lost or doubted.
async fn feed(changes: &mut Changes, hub: &Hub) {
    loop {
        let event = tokio::select! {
            event = changes.next() => event,
            () = hub.doubted.notified() => {
                tracing::warn!("changes were published that the subscription did not deliver; it is made anew");
                return;
            }
        };
        match event {
            Some(ChangeEvent::Change(change)) => hub.changed(change),
            Some(ChangeEvent::Gap) => {
                hub.heard().forget();
                hub.wake_all();
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Slot;
    use futures_util::FutureExt;

    use super::*;

    fn id(n: u8) -> CommandId {
        CommandId::new(u64::from(n), [n; 10], Slot(0))
    }

    #[tokio::test]
    async fn a_change_between_entering_and_waiting_is_not_missed() {
        let hub = Hub::new(4);
        let mut watcher = hub.watch(id(1));
        hub.wake(id(1));
        hub.wake(id(1));
        assert!(watcher.woken().now_or_never().is_some());
        assert!(watcher.woken().now_or_never().is_none());
    }

    #[tokio::test]
    async fn only_the_watchers_of_the_command_wake_and_a_gap_wakes_all() {
        let hub = Hub::new(4);
        let (mut one, mut other, mut twin) = (hub.watch(id(1)), hub.watch(id(2)), hub.watch(id(1)));
        hub.wake(id(1));
        assert!(one.woken().now_or_never().is_some() && twin.woken().now_or_never().is_some());
        assert!(other.woken().now_or_never().is_none());
        hub.wake_all();
        assert!(one.woken().now_or_never().is_some() && other.woken().now_or_never().is_some());
    }

    fn change(id: CommandId, outbox_number: u64) -> Change {
        Change {
            id,
            revision: 1,
            outbox_number: Some(outbox_number).filter(|n| *n > 0),
        }
    }

    fn in_slot(n: u8, slot: u16) -> CommandId {
        CommandId::new(u64::from(n), [n; 10], Slot(slot))
    }

    #[tokio::test]
    async fn an_end_that_was_never_published_wakes_the_watchers_of_its_slot_and_no_others() {
        let hub = Hub::new(4);
        let (mut missed, mut other) = (hub.watch(in_slot(1, 1)), hub.watch(in_slot(2, 2)));
        for slot in [1, 2] {
            hub.told(Slot(slot), 5);
        }
        hub.told(Slot(1), 6);
        hub.told(Slot(2), 5);
        assert!(
            missed.woken().now_or_never().is_none(),
            "its message may be on its way"
        );
        hub.told(Slot(1), 6);
        assert!(missed.woken().now_or_never().is_some());
        assert!(
            hub.doubted.notified().now_or_never().is_some(),
            "the subscription is deaf"
        );
        assert!(other.woken().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_message_that_was_lost_before_another_wakes_the_watchers_of_the_slot() {
        let hub = Hub::new(4);
        hub.told(Slot(1), 5);
        let (mut missed, mut heard) = (hub.watch(in_slot(1, 1)), hub.watch(in_slot(2, 1)));
        hub.changed(change(in_slot(2, 1), 0));
        assert!(heard.woken().now_or_never().is_some() && missed.woken().now_or_never().is_none());
        hub.changed(change(in_slot(2, 1), 7));
        assert!(heard.woken().now_or_never().is_some() && missed.woken().now_or_never().is_some());
    }

    #[test]
    fn who_does_not_watch_any_more_leaves_nothing_behind() {
        let hub = Hub::new(4);
        let (one, twin) = (hub.watch(id(1)), hub.watch(id(1)));
        drop(one);
        assert_eq!(hub.len(), 1);
        drop(twin);
        assert!(hub.is_empty());
    }
}
