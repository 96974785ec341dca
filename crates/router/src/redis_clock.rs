//! What time it is at Redis: a time that came with a reply, as it goes on from there, and an estimate for shows.
//!
//! Each server of a cluster has its own clock, and what is compared with a time must come from the same server:
//! the end of a pod's lease with the reply that told the lease, the end of a claim with the reply that claimed.
//! So [`Told`] decides. [`RedisClock`] follows one server, the one that holds the leases, may step back when
//! that one fails over, and decides nothing: it only tells which connections of a listing have lapsed.

use std::sync::atomic::{AtomicU64, Ordering};

use chassis::MonoClock;
use domain::ids::Micros;

/// A server's time with a reply of that server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Its time when it made the reply.
    pub redis_now: Micros,
    /// When it was asked, by this process's monotonic clock.
    pub asked_us: u64,
}

impl Told {
    /// The server's time now, at the latest: the reply was made after it was asked for. The time that this
    /// process was stopped in between counts.
    #[must_use]
    pub fn latest(&self, clock: &MonoClock) -> Micros {
        let passed = clock.since(self.asked_us).as_micros();
        self.redis_now.plus(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

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

    /// A reply that just came from the server that holds the leases shows this time.
    pub fn learn(&self, redis_now: Micros) {
        self.offset
            .store(redis_now.0.saturating_sub(self.clock.now_us()), Ordering::Relaxed);
    }

    /// About what time it is.
    #[must_use]
    pub fn about(&self) -> Micros {
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
    fn the_estimate_goes_on_between_replies_and_follows_the_last_one() {
        let (clock, hand) = MonoClock::manual();
        let redis = RedisClock::new(clock);
        assert_eq!(redis.about(), Micros(0));
        hand.advance(Duration::from_secs(1));
        redis.learn(Micros(50_000_000));
        hand.advance(Duration::from_secs(2));
        assert_eq!(redis.about(), Micros(52_000_000));
        redis.learn(Micros(40_000_000));
        assert_eq!(redis.about(), Micros(40_000_000));
    }

    #[test]
    fn a_told_time_goes_on_from_the_moment_of_asking_so_that_it_is_never_early() {
        let (clock, hand) = MonoClock::manual();
        let asked_us = clock.now_us();
        // The process is stopped for 30 s before it sees the reply.
        hand.advance(Duration::from_secs(30));
        let told = Told {
            redis_now: Micros(5_000_000),
            asked_us,
        };
        assert_eq!(told.latest(&clock), Micros(35_000_000));
    }
}
