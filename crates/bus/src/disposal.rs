//! Dropping librdkafka clients off the runtime: their destructors join threads and may wait for a dead broker.
//!
//! Plain threads and not the runtime's blocking pool, because a runtime that shuts down waits for its pool
//! without a deadline.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Clients on their way out, owned until they are gone.
#[derive(Debug, Default)]
pub(crate) struct Disposals {
    running: Vec<(JoinHandle<()>, Receiver<()>)>,
}

impl Disposals {
    /// Drops `value` on a thread of its own, or here if no thread can be had.
    pub(crate) fn dispose<T: Send + 'static>(&mut self, value: T) {
        self.running.retain(|(thread, _)| !thread.is_finished());
        let (done, finished) = sync_channel(1);
        let spawned = std::thread::Builder::new()
            .name("kafka-disposal".to_owned())
            .spawn(move || {
                drop(value);
                // Nobody may wait any more; then there is nobody to tell.
                let _ = done.send(());
            });
        match spawned {
            Ok(thread) => self.running.push((thread, finished)),
            Err(error) => tracing::warn!(%error, "no thread to drop a Kafka client on, dropped in place"),
        }
    }

    /// Waits until all are gone, at most `timeout` in all. What still hangs is left to the process's end.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        let deadline = std::time::Instant::now() + timeout;
        for (thread, finished) in self.running.drain(..) {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if finished.recv_timeout(left).is_err() && !thread.is_finished() {
                tracing::warn!("a Kafka client did not close in time");
                continue;
            }
            if thread.join().is_err() {
                tracing::warn!("a Kafka client panicked while it was dropped");
            }
        }
    }
}
