//! Waiting for something to become true, with a deadline: the only way in which a test waits.
//!
//! Left out: any statement about how long something may take. The deadline is far beyond what is normal.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Calls `probe` until it gives a value; panics with `what` after the deadline.
pub async fn eventually<T>(what: impl Display, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "within {} s it did not happen that {what}",
            DEADLINE.as_secs()
        );
        sleep(POLL).await;
    }
}

/// Waits for a future; panics with `what` after the deadline.
pub async fn within<F: Future>(what: impl Display, future: F) -> F::Output {
    match timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("within {} s it did not happen that {what}", DEADLINE.as_secs()),
    }
}

/// Whether a future is still pending after a while: for statements of the form "nothing comes of it".
///
/// Such a statement can only be refuted, never proven; the while is short, and what it must exclude is always
/// something that would come at once.
pub async fn stays_silent<F: Future>(future: F, a_while: Duration) -> Option<F::Output> {
    timeout(a_while, future).await.ok()
}

/// Lets a fault last: a pause must exceed a lease, and there is nothing to see of that while it lasts.
pub async fn fault_lasts(duration: Duration) {
    sleep(duration).await;
}
