//! When work that can wait begins: each slot has moments of its own, a period apart and spread evenly over it, so that
//! the slots do not come to the store all together. Without them they do: who waits behind others for a turn begins
//! its next period with them.

use std::time::Duration;

use domain::ids::Slot;
use tokio::time::Instant;

/// The moments of one slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beat {
    first: Instant,
    period: Duration,
}

impl Beat {
    /// The moments of a slot among so many, from a beginning that all of them share.
    pub(crate) fn of(slot: Slot, slots: u16, begun: Instant, period: Duration) -> Self {
        let first = begun + period * u32::from(slot.0) / u32::from(slots.max(1));
        Self { first, period }
    }

    /// Every second one of a slot's moments; of every second slot the others, so that all slots' stay spread.
    pub(crate) fn every_second(self, slot: Slot) -> Self {
        Self {
            first: self.first + self.period * u32::from(slot.0 % 2),
            period: self.period * 2,
        }
    }

    /// The slot's next moment: later than now, by a period at most. Now, if the period is nothing.
    pub(crate) fn after(&self, now: Instant) -> Instant {
        if now < self.first || self.period.is_zero() {
            return now.max(self.first);
        }
        let gone = (now - self.first).as_nanos() % self.period.as_nanos();
        now + self.period - Duration::from_nanos(u64::try_from(gone).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_of_a_slot_are_a_period_apart_and_those_of_all_slots_spread_over_it() {
        let (begun, period) = (Instant::now(), Duration::from_millis(400));
        let beat = |slot| Beat::of(Slot(slot), 4, begun, period);
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(beat(0).after(begun), at(400));
        assert_eq!(beat(3).after(begun), at(300));
        assert_eq!(beat(3).after(at(299)), at(300));
        assert_eq!(beat(3).after(at(300)), at(700));
        assert_eq!(beat(3).after(at(1_234)), at(1_500));
        assert_eq!(beat(1).after(at(1_299)), at(1_300));
    }

    #[test]
    fn every_second_moment_is_one_of_the_slots_and_half_of_the_slots_have_theirs_between_the_others() {
        let (begun, period) = (Instant::now(), Duration::from_millis(400));
        let beat = |slot| Beat::of(Slot(slot), 4, begun, period).every_second(Slot(slot));
        let at = |ms| begun + Duration::from_millis(ms);
        assert_eq!(
            [0, 1, 2, 3].map(|slot| beat(slot).after(at(0))),
            [at(800), at(500), at(200), at(700)]
        );
        assert_eq!(beat(1).after(at(500)), at(1_300));
    }

    #[test]
    fn no_period_is_no_waiting() {
        let begun = Instant::now();
        let now = begun + Duration::from_millis(7);
        assert_eq!(Beat::of(Slot(3), 4, begun, Duration::ZERO).after(now), now);
    }
}
