//! What waits for the router: items of all shards, in the order they were said, sent as one message a loop turn.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::edge::Item;
use tokio::sync::Notify;
use wire::gateway::link::v1::UpItem;

use crate::failpoint;
use crate::shard::ItemSink;

/// Items in one message.
const BATCH_MAX: usize = 1_000;

/// A bounded queue that exists while there is a link. What comes at other times is dropped, because the machine
/// says everything anew on the next link; what comes beyond the bound ends the link, with the same effect.
#[derive(Debug)]
pub struct LinkQueue {
    state: Mutex<State>,
    filled: Notify,
    max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<UpItem>,
    open: bool,
    overflowed: bool,
}

impl LinkQueue {
    /// An empty, closed queue for at most `max` items.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            max,
        }
    }

    /// A link begins.
    pub fn open(&self) {
        *self.lock() = State {
            open: true,
            ..State::default()
        };
    }

    /// The link ended.
    pub fn close(&self) {
        *self.lock() = State::default();
    }

    /// Adds an item; of no effect while there is no link.
    pub fn push(&self, item: UpItem) {
        let mut state = self.lock();
        if !state.open {
            return;
        }
        if state.items.len() >= self.max {
            state.overflowed = true;
        } else {
            state.items.push(item);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Returns once there is something to take. Cancel safe.
    pub async fn filled(&self) {
        loop {
            let notified = self.filled.notified();
            if !self.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// The next message's items.
    pub fn take_batch(&self) -> Vec<UpItem> {
        let mut state = self.lock();
        if state.items.len() <= BATCH_MAX {
            return std::mem::take(&mut state.items);
        }
        let rest = state.items.split_off(BATCH_MAX);
        std::mem::replace(&mut state.items, rest)
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a link that the router acknowledged.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Whether more came than may wait.
    #[must_use]
    pub fn is_overflowed(&self) -> bool {
        self.lock().overflowed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ItemSink for LinkQueue {
    fn take(&self, item: Item) {
        if self.lock().open {
            if matches!(item, Item::Register { .. }) {
                failpoint::hit(failpoint::BEFORE_REGISTER);
            }
            self.push(wire::map::link::up_item(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> UpItem {
        UpItem { item: None }
    }

    #[test]
    fn nothing_is_kept_without_a_link() {
        let queue = LinkQueue::new(10);
        queue.push(item());
        assert!(queue.is_empty());
        queue.open();
        queue.push(item());
        queue.close();
        assert!(queue.is_empty());
    }

    #[test]
    fn the_bound_is_kept_and_reported() {
        let queue = LinkQueue::new(2);
        queue.open();
        for _ in 0..3 {
            queue.push(item());
        }
        assert_eq!((queue.len(), queue.is_overflowed()), (2, true));
        queue.open();
        assert!(!queue.is_overflowed());
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_the_rest_stays() {
        let queue = LinkQueue::new(10_000);
        queue.open();
        for _ in 0..1_500 {
            queue.push(item());
        }
        queue.filled().await;
        assert_eq!(
            (queue.take_batch().len(), queue.take_batch().len(), queue.len()),
            (1_000, 500, 0)
        );
    }
}
