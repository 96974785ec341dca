//! Waiting before trying again: exponential, with full jitter and a cap; and trying until a part is there.
//!
//! Randomness comes in as an argument. Leaves out the retries of commands at chargers: `domain` decides those.

use std::{fmt::Display, future::Future, time::Duration};

use rand::Rng;
use tokio_util::sync::CancellationToken;

use crate::health::Condition;

/// Delays of an exponential backoff with full jitter: the n-th is uniform in `0..=min(cap, base * 2^n)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    /// Delays that begin at up to `base` and double up to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            attempt: 0,
        }
    }

    /// The most the next delay can be.
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The next delay.
    pub fn next_delay(&mut self, rng: &mut impl Rng) -> Duration {
        let ceiling = self.ceiling();
        self.attempt = self.attempt.saturating_add(1);
        rng.random_range(Duration::ZERO..=ceiling)
    }

    /// Begins anew, as after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

impl Default for Backoff {
    /// 100 ms doubling up to 5 s: a part that comes back is found within seconds, and not hammered meanwhile.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

/// Tries `op` until it succeeds, with `condition` saying meanwhile what is waited for. `None` if `token` was
/// cancelled first; the attempt in progress is dropped then.
pub async fn retry_until<T, E, F>(
    token: &CancellationToken,
    condition: &Condition,
    mut backoff: Backoff,
    mut op: impl FnMut() -> F,
) -> Option<T>
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    loop {
        let delay = match token.run_until_cancelled(op()).await? {
            Ok(value) => {
                condition.ready();
                return Some(value);
            }
            Err(error) => {
                condition.waiting(format!("{error:#}"));
                backoff.next_delay(&mut rand::rng())
            }
        };
        token.run_until_cancelled(tokio::time::sleep(delay)).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::{clock::MonoClock, health::Readiness};

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(3);

    #[test]
    fn delays_stay_below_a_ceiling_that_doubles_up_to_the_cap() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(BASE, CAP);
        for ceiling_ms in [100, 200, 400, 800, 1_600, 3_000, 3_000] {
            assert_eq!(backoff.ceiling(), Duration::from_millis(ceiling_ms));
            assert!(backoff.next_delay(&mut rng) <= Duration::from_millis(ceiling_ms));
        }
        (0..100).for_each(|_| assert!(backoff.next_delay(&mut rng) <= CAP));
        backoff.reset();
        assert_eq!(backoff.ceiling(), BASE);
    }

    #[test]
    fn jitter_is_full_so_that_delays_fill_the_whole_range() {
        let mut rng = StdRng::seed_from_u64(2);
        let delays: Vec<_> = (0..200)
            .map(|_| Backoff::new(CAP, CAP).next_delay(&mut rng))
            .collect();
        assert!(delays.iter().any(|delay| *delay < CAP / 10));
        assert!(delays.iter().any(|delay| *delay > CAP * 9 / 10));
    }

    #[tokio::test]
    async fn a_part_is_tried_until_it_is_there_and_makes_the_service_ready() {
        let readiness = Readiness::new(MonoClock::system());
        let condition = readiness.condition("redis");
        let mut left = 3;
        let op = || {
            left -= 1;
            let result = if left == 0 {
                Ok("connected")
            } else {
                Err("connection refused")
            };
            let seen = readiness.snapshot()[0].waiting.clone();
            assert!(left == 2 || seen.as_deref() == Some("connection refused"));
            async move { result }
        };
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        let value = retry_until(&CancellationToken::new(), &condition, backoff, op).await;
        assert_eq!(value, Some("connected"));
        assert!(readiness.is_ready());
    }

    #[tokio::test]
    async fn a_shutdown_ends_the_trying_also_within_an_attempt() {
        let readiness = Readiness::new(MonoClock::system());
        let condition = readiness.condition("redis");
        let token = CancellationToken::new();
        token.cancel();
        let never = || pending::<Result<(), &str>>();
        assert_eq!(
            retry_until(&token, &condition, Backoff::default(), never).await,
            None
        );
        assert!(!readiness.is_ready());
    }
}
