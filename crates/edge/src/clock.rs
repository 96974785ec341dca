//! What the edge knows of time: its monotonic clock, the end of its lease, and how Redis time relates to it.
//!
//! Wall clocks decide nothing here; one appears only as the timestamp of upstream events.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chassis::MonoClock;
use domain::edge::EdgeTime;
use domain::ids::Micros;

/// The edge's time, shared by all its parts.
#[derive(Debug)]
pub struct EdgeClock {
    mono: MonoClock,
    lease_until_us: AtomicU64,
    /// Redis time is at most the monotonic time plus this.
    redis_ahead_us: AtomicI64,
}

impl EdgeClock {
    /// A clock without a lease and without an idea of Redis time, by which nothing may be written.
    #[must_use]
    pub fn new(mono: MonoClock) -> Self {
        Self {
            mono,
            lease_until_us: AtomicU64::new(0),
            redis_ahead_us: AtomicI64::new(0),
        }
    }

    /// The time as the command machine wants it.
    #[must_use]
    pub fn now(&self) -> EdgeTime {
        let mono_us = self.mono.now_us();
        let ahead = self.redis_ahead_us.load(Ordering::Acquire);
        EdgeTime {
            mono_us,
            redis_upper: Micros(mono_us.saturating_add_signed(ahead)),
            lease_until_mono_us: self.lease_until_us.load(Ordering::Acquire),
        }
    }

    /// The monotonic clock in microseconds.
    #[must_use]
    pub fn mono_us(&self) -> u64 {
        self.mono.now_us()
    }

    /// The monotonic clock in milliseconds.
    #[must_use]
    pub fn mono_ms(&self) -> u64 {
        self.mono.now_ms()
    }

    /// A monotonic time of this process by the machine's clock, for the history; 0 stays 0, which is no time.
    #[must_use]
    pub fn machine_us(&self, mono_us: u64) -> u64 {
        match mono_us {
            0 => 0,
            at => chassis::history::machine_us_at(&self.mono, at),
        }
    }

    /// Learns Redis time from a reply to what was sent at `sent_us`: the router read it after that, so counting
    /// from the sending can only be ahead of Redis.
    pub fn learn(&self, sent_us: u64, redis_now: Micros) {
        let ahead = i64::try_from(i128::from(redis_now.0) - i128::from(sent_us)).unwrap_or(0);
        self.redis_ahead_us.store(ahead, Ordering::Release);
    }

    /// The lease is held until this moment of the monotonic clock.
    pub fn hold_lease(&self, until_us: u64) {
        self.lease_until_us.store(until_us, Ordering::Release);
        metrics::gauge!(crate::metrics::LEASE_HELD).set(1.0);
    }

    /// The lease is over.
    pub fn end_lease(&self) {
        self.lease_until_us.store(0, Ordering::Release);
        metrics::gauge!(crate::metrics::LEASE_HELD).set(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn redis_time_is_counted_from_the_sending_and_so_never_behind() {
        let (mono, hand) = MonoClock::manual();
        let clock = EdgeClock::new(mono);
        hand.advance(Duration::from_micros(100));
        let sent = clock.mono_us();
        hand.advance(Duration::from_micros(50));
        clock.learn(sent, Micros(1_000_000));
        hand.advance(Duration::from_micros(7));
        assert_eq!(clock.now().redis_upper, Micros(1_000_057));
    }

    #[test]
    fn without_a_lease_nothing_may_be_written_and_one_ends_by_the_monotonic_clock() {
        let (mono, hand) = MonoClock::manual();
        let clock = EdgeClock::new(mono);
        assert!(!clock.now().lease_is_held());
        clock.hold_lease(10);
        assert!(clock.now().lease_is_held());
        hand.advance(Duration::from_micros(10));
        assert!(!clock.now().lease_is_held());
    }
}
