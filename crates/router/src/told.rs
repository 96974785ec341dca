//! What time it is at Redis: a time that came with a reply, as it goes on from there.
//!
//! Each server of a cluster has its own clock, and what is compared with a time must come from the same server:
//! the end of a pod's lease with the reply that told the lease, the end of a claim with the reply that claimed.

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
