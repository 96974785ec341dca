//! An estimate of Redis time between replies: the last time read plus the monotonic time since. It is never
//! ahead of Redis by more than the two clocks drift, and decides only whether a dispatch is worth sending.

use std::sync::atomic::{AtomicU64, Ordering};

use chassis::MonoClock;
use domain::ids::Micros;

/// The estimate; all parts of a router share one.
#[derive(Debug)]
pub struct RedisClock {
    clock: MonoClock,
    /// Redis time minus monotonic time at the last reply; 0 before the first.
    offset: AtomicU64,
}

impl RedisClock {
    /// A clock that knows nothing yet and so shows the beginning of time.
    #[must_use]
    pub fn new(clock: MonoClock) -> Self {
        Self {
            clock,
            offset: AtomicU64::new(0),
        }
    }

    /// A reply that just came shows this time.
    pub fn learn(&self, redis_now: Micros) {
        self.offset
            .store(redis_now.0.saturating_sub(self.clock.now_us()), Ordering::Relaxed);
    }

    /// Redis time, at the earliest.
    #[must_use]
    pub fn now(&self) -> Micros {
        match self.offset.load(Ordering::Relaxed) {
            0 => Micros(0),
            offset => Micros(offset.saturating_add(self.clock.now_us())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_between_replies_and_follows_the_last_one() {
        let (clock, hand) = MonoClock::manual();
        let redis = RedisClock::new(clock);
        assert_eq!(redis.now(), Micros(0));
        hand.advance(Duration::from_secs(1));
        redis.learn(Micros(50_000_000));
        hand.advance(Duration::from_secs(2));
        assert_eq!(redis.now(), Micros(52_000_000));
        redis.learn(Micros(40_000_000));
        assert_eq!(redis.now(), Micros(40_000_000));
    }
}
