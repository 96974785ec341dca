//! Who watches which command. One subscription to the store's changes serves all watchers: a watcher enters
//! here, then reads, then reads again whenever it is woken. After a gap in the subscription all are woken, and
//! so they are while there is no subscription, so that none misses an end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::Backoff;
use domain::ids::CommandId;
use store::{ChangeEvent, Changes, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often watchers read anyway: Redis promises no delivery of what it publishes.
pub const READ_ANYWAY: Duration = Duration::from_secs(5);

/// The watchers. Clones are handles of the same set.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    watched: Arc<Mutex<HashMap<CommandId, Watched>>>,
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
}

impl Watcher {
    /// Returns when the command may have changed since the last return, at the latest after [`READ_ANYWAY`].
    pub async fn woken(&mut self) {
        // The hub keeps the sender as long as this watcher lives.
        let _ = tokio::time::timeout(READ_ANYWAY, self.wakes.changed()).await;
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

/// Feeds the hub from the store until `token` is cancelled; a lost subscription is made anew.
pub async fn run(store: Store, hub: Hub, token: CancellationToken) {
    let mut backoff = Backoff::default();
    while !token.is_cancelled() {
        match token.run_until_cancelled(store.subscribe_changes()).await {
            None => return,
            Some(Ok(mut changes)) => {
                backoff.reset();
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

/// Passes changes on until the subscription is lost.
async fn feed(changes: &mut Changes, hub: &Hub) {
    while let Some(event) = changes.next().await {
        match event {
            ChangeEvent::Change(change) => hub.wake(change.id),
            ChangeEvent::Gap => hub.wake_all(),
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
        let hub = Hub::default();
        let mut watcher = hub.watch(id(1));
        hub.wake(id(1));
        hub.wake(id(1));
        assert!(watcher.woken().now_or_never().is_some());
        assert!(watcher.woken().now_or_never().is_none());
    }

    #[tokio::test]
    async fn only_the_watchers_of_the_command_wake_and_a_gap_wakes_all() {
        let hub = Hub::default();
        let (mut one, mut other, mut twin) = (hub.watch(id(1)), hub.watch(id(2)), hub.watch(id(1)));
        hub.wake(id(1));
        assert!(one.woken().now_or_never().is_some() && twin.woken().now_or_never().is_some());
        assert!(other.woken().now_or_never().is_none());
        hub.wake_all();
        assert!(one.woken().now_or_never().is_some() && other.woken().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_reads_again_even_if_nothing_was_published() {
        let mut watcher = Hub::default().watch(id(1));
        watcher.woken().await;
    }

    #[test]
    fn who_does_not_watch_any_more_leaves_nothing_behind() {
        let hub = Hub::default();
        let (one, twin) = (hub.watch(id(1)), hub.watch(id(1)));
        drop(one);
        assert_eq!(hub.len(), 1);
        drop(twin);
        assert!(hub.is_empty());
    }
}
