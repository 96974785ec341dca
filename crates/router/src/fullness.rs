//! How full the bounded queues are: looked at once a second, the fullest of each kind, as a gauge from 0 to 1.
//! The producer's queue is measured by `bus`.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Sender, WeakSender};

use crate::engine::Engine;
use crate::metrics::QUEUE_FULLNESS;

/// How full a queue is, 0 to 1.
#[allow(
    clippy::cast_precision_loss,
    reason = "queues have far fewer than 2^52 places"
)]
fn of<T>(queue: &Sender<T>) -> f64 {
    1.0 - queue.capacity() as f64 / queue.max_capacity() as f64
}

/// How full the fullest of some queues is.
pub(crate) fn fullest<'a, T: 'a>(queues: impl Iterator<Item = &'a Sender<T>>) -> f64 {
    queues.map(of).fold(0.0, f64::max)
}

/// Queues that come and go, such as those of the links.
#[derive(Debug)]
pub struct Queues<T>(Arc<Mutex<Vec<WeakSender<T>>>>);

impl<T> Clone for Queues<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Queues<T> {
    /// A queue that lives as long as its owner keeps it.
    pub fn enter(&self, queue: &Sender<T>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue.downgrade());
    }

    /// How full the fullest is; those that are gone are forgotten.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fullest = 0.0;
        queues.retain(|queue| {
            let alive = queue.upgrade();
            fullest = alive.as_ref().map_or(fullest, |q| of(q).max(fullest));
            alive.is_some()
        });
        fullest
    }
}

/// Shows how full every kind of queue is.
pub fn show(engine: &Engine) {
    let show = |queue: &'static str, fullness: f64| {
        metrics::gauge!(QUEUE_FULLNESS, "queue" => queue).set(fullness);
    };
    show("slot_events", engine.slots.fullness());
    show("dispatch", engine.dispatcher.fullness());
    show("link_answers", engine.links.fullness());
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn the_fullest_counts_and_one_that_is_gone_is_forgotten() {
        let queues = Queues::default();
        let ((empty, _a), (half, mut b)) = (mpsc::channel(4), mpsc::channel(4));
        queues.enter(&empty);
        queues.enter(&half);
        assert!(queues.fullness().abs() < f64::EPSILON);
        half.try_send(1).unwrap();
        half.try_send(2).unwrap();
        assert!((queues.fullness() - 0.5).abs() < f64::EPSILON);
        b.try_recv().unwrap();
        assert!((queues.fullness() - 0.25).abs() < f64::EPSILON);
        drop(half);
        assert!(queues.fullness().abs() < f64::EPSILON);
        assert_eq!(queues.0.lock().unwrap().len(), 1);
    }
}
