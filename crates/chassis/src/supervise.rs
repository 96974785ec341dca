//! Timer loops that survive a failed call.
//!
//! A loop that ends at its first error stops its work for good while the service looks well. Here a failure is
//! counted and logged (the first, then each tenth in a row, then the recovery) and the loop goes on. A panic
//! does end the loop: `Tasks` then brings the service down. Leaves out catching up: a period counts from the
//! end of a call, so slow calls never pile up.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::metrics::names;

/// How many failures in a row lie between two log lines.
const LOG_EACH: u64 = 10;

/// How often a loop runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// The time between the end of a call and the next.
    pub every: Duration,
    /// The part of it, 0 to 1, that is random, so that replicas do not run in step.
    pub jitter: f64,
}

impl Period {
    /// A period with a tenth of jitter.
    pub const fn new(every: Duration) -> Self {
        Self { every, jitter: 0.1 }
    }

    /// The next pause: the period, longer or shorter by at most the jitter.
    pub fn next(&self, rng: &mut impl Rng) -> Duration {
        let jitter = self.jitter.clamp(0.0, 1.0);
        self.every.mul_f64(1.0 + rng.random_range(-jitter..=jitter))
    }
}

/// Calls `body` at once and then each period until `token` is cancelled; a call in progress is finished first,
/// so its body watches the token itself where it may take long. `name` is a metric's label.
pub async fn every<E, F>(
    period: Period,
    token: &CancellationToken,
    name: &'static str,
    mut body: impl FnMut() -> F,
) where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    let mut failures = Failures { name, in_a_row: 0 };
    while !token.is_cancelled() {
        let begun = Instant::now();
        let result = body().await;
        metrics::histogram!(names::LOOP_DURATION, "loop" => name).record(begun.elapsed());
        failures.note(result);
        let pause = period.next(&mut rand::rng());
        if token
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
    }
}

/// Counts the failures of one loop and decides which are logged.
struct Failures {
    name: &'static str,
    in_a_row: u64,
}

impl Failures {
    fn note<E: Display>(&mut self, result: Result<(), E>) {
        let (name, before) = (self.name, self.in_a_row);
        match result {
            Ok(()) => {
                self.in_a_row = 0;
                if before > 0 {
                    tracing::info!(name, "{name} works again after {before} failures");
                }
            }
            Err(error) => {
                metrics::counter!(names::LOOP_FAILURES, "loop" => name).increment(1);
                self.in_a_row += 1;
                if before.is_multiple_of(LOG_EACH) {
                    tracing::warn!(
                        name,
                        failures = self.in_a_row,
                        "{name} failed and goes on: {error:#}"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[tokio::test]
    async fn a_failed_call_does_not_end_the_loop() {
        let token = CancellationToken::new();
        let mut calls = 0;
        let period = Period {
            every: Duration::from_micros(1),
            jitter: 0.0,
        };
        every(period, &token, "test-loop", || {
            calls += 1;
            if calls == 25 {
                token.cancel();
            }
            let result = if calls < 24 { Err("no answer") } else { Ok(()) };
            async move { result }
        })
        .await;
        assert_eq!(calls, 25);
    }

    #[tokio::test]
    async fn a_cancelled_loop_does_not_begin() {
        let token = CancellationToken::new();
        token.cancel();
        let body = || async { Err::<(), _>("called") };
        let mut called = false;
        every(Period::new(Duration::from_secs(60)), &token, "test-loop", || {
            called = true;
            body()
        })
        .await;
        assert!(!called);
    }

    #[test]
    fn pauses_stay_within_the_jitter() {
        let mut rng = StdRng::seed_from_u64(3);
        let period = Period {
            every: Duration::from_secs(10),
            jitter: 0.2,
        };
        let pauses: Vec<_> = (0..200).map(|_| period.next(&mut rng)).collect();
        assert!(
            pauses
                .iter()
                .all(|p| (Duration::from_secs(8)..=Duration::from_secs(12)).contains(p))
        );
        assert!(pauses.iter().any(|p| *p < Duration::from_secs(9)));
        assert!(pauses.iter().any(|p| *p > Duration::from_secs(11)));
    }
}
