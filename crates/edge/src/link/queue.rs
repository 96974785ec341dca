//! What waits for the router: items of all shards, sent as one message a loop turn, in the order they were said but for
//! what is said of commands of low priority: that may wait a little for more of its kind, and others overtake it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::edge::Item;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use wire::gateway::link::v1::UpItem;

use crate::failpoint;
use crate::shard::ItemSink;

/// Items in one message.
const BATCH_MAX: usize = 1_000;

/// A bounded queue that exists while there is a link. What comes at other times is dropped, because the machine
/// says everything anew on the next link; what comes beyond the bound ends the link, with the same effect.
///
/// What may wait, waits for others like it where the last of it left less than `linger` ago. So a single one leaves
/// at once, and a thousand a second leave in few messages, which the router, the store and Kafka each take as one
/// batch: there is time left for what is urgent.
#[derive(Debug)]
pub struct LinkQueue {
    state: Mutex<State>,
    filled: Notify,
    max: usize,
    linger: Duration,
}

#[derive(Debug, Default)]
struct State {
    items: Vec<UpItem>,
    /// What may wait, and until when it does.
    patient: Vec<UpItem>,
    leaves: Option<Instant>,
    /// When the last of it left.
    left: Option<Instant>,
    open: bool,
    overflowed: bool,
}

impl LinkQueue {
    /// An empty, closed queue for at most `max` items.
    #[must_use]
    pub fn new(max: usize, linger: Duration) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            max,
            linger,
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
        if state.len() >= self.max {
            state.overflowed = true;
        } else if item.patient {
            state.patient.push(item);
            let earliest = state.left.map_or_else(Instant::now, |left| left + self.linger);
            state.leaves.get_or_insert(earliest);
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
            let leaves = match self.lock().next() {
                Some(at) if at <= Instant::now() => return,
                leaves => leaves,
            };
            tokio::select! {
                () = notified => {}
                () = sleep_until(leaves.unwrap_or_else(Instant::now)), if leaves.is_some() => {}
            }
        }
    }

    /// The next message's items: what may not wait, then what has waited, as far as there is room.
    pub fn take_batch(&self) -> Vec<UpItem> {
        let mut state = self.lock();
        let some = state.items.len().min(BATCH_MAX);
        let mut batch: Vec<_> = state.items.drain(..some).collect();
        let now = Instant::now();
        if state.leaves.is_some_and(|at| at <= now) {
            let some = state.patient.len().min(BATCH_MAX - batch.len());
            batch.extend(state.patient.drain(..some));
            if state.patient.is_empty() {
                (state.leaves, state.left) = (None, Some(now));
            }
        }
        batch
    }

    /// How many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
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

impl State {
    fn len(&self) -> usize {
        self.items.len() + self.patient.len()
    }

    /// When there is something to take: a time that has passed where there is now, none while nothing waits.
    fn next(&self) -> Option<Instant> {
        if self.items.is_empty() {
            self.leaves
        } else {
            Some(Instant::now())
        }
    }
}

impl ItemSink for LinkQueue {
    fn take(&self, item: Item, patient: bool) {
        if self.lock().open {
            if matches!(item, Item::Register { .. }) {
                failpoint::hit(failpoint::BEFORE_REGISTER);
            }
            self.push(UpItem {
                patient,
                ..wire::map::link::up_item(item)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINGER: Duration = Duration::from_millis(25);

    fn item() -> UpItem {
        UpItem::default()
    }

    #[test]
    fn nothing_is_kept_without_a_link() {
        let queue = LinkQueue::new(10, LINGER);
        queue.push(item());
        assert!(queue.is_empty());
        queue.open();
        queue.push(item());
        queue.close();
        assert!(queue.is_empty());
    }

    #[test]
    fn the_bound_is_kept_and_reported() {
        let queue = LinkQueue::new(2, LINGER);
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
        let queue = LinkQueue::new(10_000, LINGER);
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

    fn patient(queue: &LinkQueue, many: usize) {
        for _ in 0..many {
            queue.push(UpItem {
                patient: true,
                ..item()
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_wait_leaves_at_once_when_it_is_rare_and_together_when_it_is_not() {
        let queue = LinkQueue::new(100, LINGER);
        queue.open();
        patient(&queue, 1);
        let began = Instant::now();
        queue.filled().await;
        assert_eq!((queue.take_batch().len(), began.elapsed()), (1, Duration::ZERO));
        patient(&queue, 3);
        assert_eq!(queue.take_batch().len(), 0);
        queue.filled().await;
        assert_eq!((queue.take_batch().len(), began.elapsed()), (3, LINGER));
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_wait_overtakes_what_may() {
        let queue = LinkQueue::new(100, LINGER);
        queue.open();
        patient(&queue, 1);
        queue.filled().await;
        queue.take_batch();
        patient(&queue, 2);
        queue.push(item());
        let began = Instant::now();
        queue.filled().await;
        assert_eq!((queue.take_batch().len(), began.elapsed()), (1, Duration::ZERO));
        queue.filled().await;
        assert_eq!((queue.take_batch().len(), began.elapsed()), (2, LINGER));
    }

    #[tokio::test]
    async fn what_may_wait_counts_against_the_bound_and_is_gone_with_its_link() {
        let queue = LinkQueue::new(2, LINGER);
        queue.open();
        patient(&queue, 3);
        assert_eq!((queue.len(), queue.is_overflowed()), (2, true));
        queue.close();
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_has_waited_what_may_not_wait_is_in_the_next_message() {
        let queue = LinkQueue::new(10_000, LINGER);
        queue.open();
        patient(&queue, 2_500);
        assert_eq!(queue.take_batch().len(), BATCH_MAX);
        queue.push(UpItem::default());
        let next = queue.take_batch();
        assert_eq!((next.len(), next[0].patient), (BATCH_MAX, false));
        queue.filled().await;
        assert_eq!((queue.take_batch().len(), queue.len()), (501, 0));
    }
}
