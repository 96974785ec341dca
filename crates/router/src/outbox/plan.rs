//! Which slot is drained next, without I/O: slots that were woken take their turns, a few at a time and each by
//! itself, so that none waits for the slowest; one whose drain failed rests first, however often it is woken. What is
//! patient has fewer turns, waits after a drain of its slot for every second of the slot's moments, since a drain is two
//! calls and takes what two calls brought, and what is not goes before it: in its own slot too, where a second drain
//! overtakes the one whose records are on their way.

use std::collections::VecDeque;
use std::time::Duration;

use domain::ids::Slot;
use tokio::time::Instant;

use crate::beat::Beat;
use crate::precedence::Haste;

/// How long a slot rests after its first failed drain; each further one doubles it.
const REST: Duration = Duration::from_millis(250);
/// No rest is longer: so much later at most does a slot notice that Kafka or the store is back.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// The part of the linger by which a slot's patient drains are behind its patient calls, which fill the outbox: no
/// multiple of the time from one slot to the next, where there are a power of two of them.
const BEHIND: u32 = 18;

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing is left, or somebody else drains the slot.
    Empty,
    /// There may be more.
    More,
    /// There is more, and it can wait.
    Patient,
    /// As much left as one drain takes, so that there is more and nothing to wait for.
    Full,
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
    patient_at_a_time: usize,
    /// Where the slots' moments are counted from.
    begun: Instant,
    /// From one moment of a slot to its next.
    linger: Duration,
}

#[derive(Debug, Clone, Default)]
struct Turn {
    state: State,
    /// Drains that failed in a row.
    failures: u32,
    /// Nothing patient is drained before.
    earliest: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    Waiting(Haste),
    /// Woken patiently, too soon after a drain.
    Lingering {
        until: Instant,
    },
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
            Drained::More | Drained::Full => self.left = self.left.max(Some(haste)),
            Drained::Patient => self.left = self.left.max(Some(Haste::Patient)),
            Drained::Stuck => self.stuck = true,
        }
    }
}

impl Plan {
    /// A plan for so many slots, of which so many are drained at a time, and so many patiently. After a drain what is
    /// patient waits for the slot's next moment; those are so long apart.
    pub(super) fn new(slots: u16, (at_a_time, patient_at_a_time): (usize, usize), linger: Duration) -> Self {
        Self {
            slots: vec![Turn::default(); usize::from(slots)],
            hasty: VecDeque::new(),
            patient: VecDeque::new(),
            draining: 0,
            draining_patient: 0,
            at_a_time,
            patient_at_a_time,
            begun: Instant::now() + linger / BEHIND,
            linger,
        }
    }

    /// There is something in this slot. True: a drain of it begins now that overtakes the one under way.
    pub(super) fn wake(&mut self, slot: Slot, haste: Haste, now: Instant) -> bool {
        let Some(turn) = self.slots.get_mut(usize::from(slot.0)) else {
            return false;
        };
        match &mut turn.state {
            State::Idle => self.queue(slot, haste, now),
            State::Waiting(Haste::Patient) | State::Lingering { .. } if haste == Haste::Now => {
                self.queue(slot, haste, now);
            }
            State::Draining(under_way) => {
                under_way.woken = under_way.woken.max(Some(haste));
                return under_way.begin_second();
            }
            State::Waiting(_) | State::Lingering { .. } | State::Resting { .. } => {}
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

    fn queue(&mut self, slot: Slot, haste: Haste, now: Instant) {
        let turn = &mut self.slots[usize::from(slot.0)];
        if let (Haste::Patient, Some(until)) = (haste, turn.earliest.filter(|earliest| *earliest > now)) {
            turn.state = State::Lingering { until };
            return;
        }
        turn.state = State::Waiting(haste);
        match haste {
            Haste::Now => self.hasty.push_back(slot),
            Haste::Patient => self.patient.push_back(slot),
        }
    }

    /// The slot whose drain begins now, if there is room for one, and in which haste.
    pub(super) fn begin(&mut self, now: Instant) -> Option<(Slot, Haste)> {
        self.end_waits(now);
        if self.draining >= self.at_a_time {
            return None;
        }
        let (slot, haste) = match self.hasty.pop_front() {
            Some(slot) => (slot, Haste::Now),
            None => (self.next_patient()?, Haste::Patient),
        };
        let slots = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let turn = &mut self.slots[usize::from(slot.0)];
        turn.state = State::Draining(UnderWay::begun(haste));
        let beat = Beat::of(slot, slots, self.begun, self.linger).every_second(slot);
        turn.earliest = Some(beat.after(now));
        self.draining += 1;
        self.draining_patient += usize::from(haste == Haste::Patient);
        Some((slot, haste))
    }

    fn next_patient(&mut self) -> Option<Slot> {
        if self.draining_patient >= self.patient_at_a_time {
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
        if how == Drained::Full {
            turn.earliest = None;
        }
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
            self.queue(slot, haste, now);
        }
        false
    }

    /// When the next slot has rested or waited for more long enough.
    pub(super) fn next_end_of_wait(&self) -> Option<Instant> {
        let ends = self.slots.iter().filter_map(|turn| match turn.state {
            State::Resting { until } | State::Lingering { until } => Some(until),
            _ => None,
        });
        ends.min()
    }

    fn end_waits(&mut self, now: Instant) {
        for n in 0..u16::try_from(self.slots.len()).unwrap_or(u16::MAX) {
            match self.slots[usize::from(n)].state {
                State::Resting { until } if until <= now => self.queue(Slot(n), Haste::Now, now),
                State::Lingering { until } if until <= now => self.queue(Slot(n), Haste::Patient, now),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
