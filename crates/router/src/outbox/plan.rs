//! Which slot is drained next, without I/O: slots that were woken take their turns, a few at a time and each by
//! itself, so that none waits for the slowest; one whose drain failed rests first, however often it is woken. What is
//! patient has fewer turns, and what is not goes before it: in its own slot too, where a second drain overtakes the one
//! whose records are on their way.

use std::collections::VecDeque;
use std::time::Duration;

use domain::ids::Slot;
use tokio::time::Instant;

use super::{Haste, PATIENT};

/// How long a slot rests after its first failed drain; each further one doubles it.
const REST: Duration = Duration::from_millis(250);
/// No rest is longer: so much later at most does a slot notice that Kafka or the store is back.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left, or somebody else drains the slot.
    Empty,
    /// There may be more.
    More,
    /// Something could not leave.
    Stuck,
}

/// Which drain of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that had its turn.
    First,
    /// The one that overtakes it.
    Second,
}

/// The turns of all slots.
#[derive(Debug)]
pub(super) struct Plan {
    slots: Vec<Turn>,
    hasty: VecDeque<Slot>,
    /// Those among them that have become hasty meanwhile are passed over.
    patient: VecDeque<Slot>,
    draining: usize,
    draining_patient: usize,
    at_a_time: usize,
}

#[derive(Debug, Clone, Default)]
struct Turn {
    state: State,
    /// Drains that failed in a row.
    failures: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Waiting(Haste),
    Draining(UnderWay),
    Resting {
        until: Instant,
    },
}

/// The drains of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UnderWay {
    haste: Haste,
    /// Woken since, and by no drain looked at.
    woken: Option<Haste>,
    /// What was left for the time after these drains.
    left: Option<Haste>,
    /// What the first drain found is known and on its way.
    sending: bool,
    first: bool,
    /// One that overtakes the first.
    second: bool,
    stuck: bool,
}

impl UnderWay {
    fn begun(haste: Haste) -> Self {
        Self {
            haste,
            woken: None,
            left: None,
            sending: false,
            first: true,
            second: false,
            stuck: false,
        }
    }

    /// Whether a second drain begins now; if so, it is counted.
    fn begin_second(&mut self) -> bool {
        let now = self.first && self.sending && !self.second && self.woken == Some(Haste::Now);
        if now {
            self.second = true;
            self.woken = None;
        }
        now
    }

    /// One of them ended.
    fn ended(&mut self, which: Which, how: Drained) {
        let haste = match which {
            Which::First => {
                self.first = false;
                self.haste
            }
            Which::Second => {
                self.second = false;
                Haste::Now
            }
        };
        match how {
            Drained::Empty => {}
            Drained::More => self.left = self.left.max(Some(haste)),
            Drained::Stuck => self.stuck = true,
        }
    }
}

impl Plan {
    /// A plan for so many slots, of which so many are drained at a time.
    pub(super) fn new(slots: u16, at_a_time: usize) -> Self {
        Self {
            slots: vec![Turn::default(); usize::from(slots)],
            hasty: VecDeque::new(),
            patient: VecDeque::new(),
            draining: 0,
            draining_patient: 0,
            at_a_time,
        }
    }

    /// There is something in this slot. True: a drain of it begins now that overtakes the one under way.
    pub(super) fn wake(&mut self, slot: Slot, haste: Haste) -> bool {
        let Some(turn) = self.slots.get_mut(usize::from(slot.0)) else {
            return false;
        };
        match &mut turn.state {
            State::Idle => self.queue(slot, haste),
            State::Waiting(Haste::Patient) if haste == Haste::Now => self.queue(slot, haste),
            State::Draining(under_way) => {
                under_way.woken = under_way.woken.max(Some(haste));
                return under_way.begin_second();
            }
            State::Waiting(_) | State::Resting { .. } => {}
        }
        false
    }

    /// What the drain of a slot found is on its way. True: a drain begins now that overtakes it.
    pub(super) fn sending(&mut self, slot: Slot) -> bool {
        let State::Draining(under_way) = &mut self.slots[usize::from(slot.0)].state else {
            return false;
        };
        under_way.sending = true;
        under_way.begin_second()
    }

    fn queue(&mut self, slot: Slot, haste: Haste) {
        self.slots[usize::from(slot.0)].state = State::Waiting(haste);
        match haste {
            Haste::Now => self.hasty.push_back(slot),
            Haste::Patient => self.patient.push_back(slot),
        }
    }

    /// The slot whose drain begins now, if there is room for one.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Slot> {
        self.end_rests(now);
        if self.draining >= self.at_a_time {
            return None;
        }
        let (slot, haste) = match self.hasty.pop_front() {
            Some(slot) => (slot, Haste::Now),
            None => (self.next_patient()?, Haste::Patient),
        };
        self.slots[usize::from(slot.0)].state = State::Draining(UnderWay::begun(haste));
        self.draining += 1;
        self.draining_patient += usize::from(haste == Haste::Patient);
        Some(slot)
    }

    fn next_patient(&mut self) -> Option<Slot> {
        if self.draining_patient >= PATIENT {
            return None;
        }
        loop {
            let slot = self.patient.pop_front()?;
            if self.slots[usize::from(slot.0)].state == State::Waiting(Haste::Patient) {
                return Some(slot);
            }
        }
    }

    /// A drain that began has ended. `jitter`, 0 to 1, shortens the rest by up to a half. True: another begins now that
    /// overtakes the one still under way.
    pub(super) fn ended(
        &mut self,
        (slot, which): (Slot, Which),
        how: Drained,
        now: Instant,
        jitter: f64,
    ) -> bool {
        let turn = &mut self.slots[usize::from(slot.0)];
        let State::Draining(under_way) = &mut turn.state else {
            return false;
        };
        under_way.ended(which, how);
        if under_way.first || under_way.second {
            return under_way.begin_second();
        }
        let ended = *under_way;
        self.draining -= 1;
        self.draining_patient -= usize::from(ended.haste == Haste::Patient);
        if ended.stuck {
            let rest = REST.saturating_mul(1 << turn.failures.min(8)).min(LONGEST_REST);
            turn.failures += 1;
            let until = now + rest.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0);
            turn.state = State::Resting { until };
            return false;
        }
        turn.failures = 0;
        turn.state = State::Idle;
        if let Some(haste) = ended.woken.max(ended.left) {
            self.queue(slot, haste);
        }
        false
    }

    /// When the next rest ends.
    pub(super) fn next_end_of_rest(&self) -> Option<Instant> {
        let ends = self.slots.iter().filter_map(|turn| match turn.state {
            State::Resting { until } => Some(until),
            _ => None,
        });
        ends.min()
    }

    fn end_rests(&mut self, now: Instant) {
        for (n, turn) in (0_u16..).zip(&mut self.slots) {
            if matches!(turn.state, State::Resting { until } if until <= now) {
                turn.state = State::Waiting(Haste::Now);
                self.hasty.push_back(Slot(n));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(plan: &mut Plan, now: Instant) -> Vec<u16> {
        std::iter::from_fn(|| plan.begin(now)).map(|s| s.0).collect()
    }

    fn first(slot: u16) -> (Slot, Which) {
        (Slot(slot), Which::First)
    }

    #[test]
    fn a_slot_that_is_done_makes_room_at_once_whatever_the_slowest_does() {
        let (mut plan, now) = (Plan::new(9, 2), Instant::now());
        (0..5).for_each(|n| assert!(!plan.wake(Slot(n), Haste::Now)));
        assert_eq!(begun(&mut plan, now), [0, 1]);
        plan.ended(first(1), Drained::Empty, now, 0.0);
        assert_eq!(begun(&mut plan, now), [2]);
        plan.ended(first(2), Drained::More, now, 0.0);
        assert_eq!(begun(&mut plan, now), [3], "who has more queues up again");
        plan.ended(first(3), Drained::Empty, now, 0.0);
        plan.ended(first(0), Drained::Empty, now, 0.0);
        assert_eq!(begun(&mut plan, now), [4, 2]);
    }

    #[test]
    fn a_wake_during_a_drain_is_not_lost_and_no_slot_is_drained_twice_at_a_time() {
        let (mut plan, now) = (Plan::new(2, 2), Instant::now());
        plan.wake(Slot(0), Haste::Now);
        assert_eq!(begun(&mut plan, now), [0]);
        plan.wake(Slot(0), Haste::Now);
        plan.wake(Slot(7), Haste::Now);
        assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
        plan.ended(first(0), Drained::Empty, now, 0.0);
        assert_eq!(begun(&mut plan, now), [0]);
    }

    #[test]
    fn a_stuck_slot_rests_ever_longer_up_to_a_bound_however_often_it_is_woken() {
        let (mut plan, mut now) = (Plan::new(1, 1), Instant::now());
        plan.wake(Slot(0), Haste::Now);
        let mut rests = Vec::new();
        for _ in 0..6 {
            assert_eq!(begun(&mut plan, now), [0]);
            plan.ended(first(0), Drained::Stuck, now, 0.0);
            plan.wake(Slot(0), Haste::Now);
            assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
            let until = plan.next_end_of_rest().unwrap();
            rests.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(rests, [250, 500, 1_000, 2_000, 2_000, 2_000]);
        assert_eq!(begun(&mut plan, now), [0]);
        plan.ended(first(0), Drained::Empty, now, 0.0);
        plan.wake(Slot(0), Haste::Now);
        assert_eq!(begun(&mut plan, now), [0]);
        plan.ended(first(0), Drained::Stuck, now, 1.0);
        assert_eq!((plan.next_end_of_rest().unwrap() - now).as_millis(), 125);
    }

    #[test]
    fn what_is_patient_has_few_turns_and_what_is_not_goes_before_it() {
        let (mut plan, now) = (Plan::new(30, 20), Instant::now());
        (0..12).for_each(|n| assert!(!plan.wake(Slot(n), Haste::Patient)));
        plan.wake(Slot(20), Haste::Now);
        // One that waits patiently becomes hasty, and is drained once.
        plan.wake(Slot(8), Haste::Now);
        assert_eq!(begun(&mut plan, now), [20, 8, 0, 1, 2, 3, 4, 5, 6, 7]);
        plan.wake(Slot(21), Haste::Now);
        assert_eq!(begun(&mut plan, now), [21]);
        plan.wake(Slot(0), Haste::Now);
        plan.ended(first(0), Drained::Empty, now, 0.0);
        plan.ended(first(1), Drained::More, now, 0.0);
        assert_eq!(
            begun(&mut plan, now),
            [0, 9, 10],
            "who was woken in haste needs no turn"
        );
        for slot in [20, 8, 2] {
            plan.ended(first(slot), Drained::Empty, now, 0.0);
        }
        assert_eq!(
            begun(&mut plan, now),
            [11],
            "the one with more is behind those that wait"
        );
        plan.ended(first(3), Drained::Empty, now, 0.0);
        assert_eq!(begun(&mut plan, now), [1]);
    }

    #[test]
    fn a_wake_in_haste_overtakes_what_is_on_its_way_once_and_only_while_it_is() {
        let (mut plan, now) = (Plan::new(1, 1), Instant::now());
        plan.wake(Slot(0), Haste::Patient);
        assert_eq!(begun(&mut plan, now), [0]);
        assert!(
            !plan.wake(Slot(0), Haste::Now),
            "nobody knows what the first found"
        );
        assert!(plan.sending(Slot(0)));
        assert!(!plan.wake(Slot(0), Haste::Now), "one at a time");
        let second = (Slot(0), Which::Second);
        assert!(plan.ended(second, Drained::Empty, now, 0.0));
        assert!(!plan.wake(Slot(0), Haste::Patient), "what is patient waits");
        // It left something that is on its way with the first: there is no hurry before that has ended.
        assert!(!plan.ended(second, Drained::More, now, 0.0));
        assert!(plan.wake(Slot(0), Haste::Now));
        assert!(!plan.ended(first(0), Drained::Empty, now, 0.0));
        assert!(!plan.wake(Slot(0), Haste::Now), "the first has ended");
        assert_eq!(begun(&mut plan, now), [] as [u16; 0]);
        assert!(!plan.ended(second, Drained::Empty, now, 0.0));
        assert_eq!(begun(&mut plan, now), [0]);
    }

    #[test]
    fn a_slot_rests_when_one_of_its_drains_was_stuck() {
        for stuck in [Which::First, Which::Second] {
            let (mut plan, now) = (Plan::new(1, 1), Instant::now());
            plan.wake(Slot(0), Haste::Now);
            assert_eq!(begun(&mut plan, now), [0]);
            plan.sending(Slot(0));
            assert!(plan.wake(Slot(0), Haste::Now));
            for which in [Which::First, Which::Second] {
                let how = if which == stuck {
                    Drained::Stuck
                } else {
                    Drained::More
                };
                plan.ended((Slot(0), which), how, now, 0.0);
            }
            assert_eq!(begun(&mut plan, now), [] as [u16; 0], "{stuck:?}");
            assert_eq!(plan.next_end_of_rest(), Some(now + REST));
        }
    }
}
