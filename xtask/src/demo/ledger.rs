//! What the demo asked for and what became of it, as the platform sees it: the commands that were accepted
//! and their records on `command-results`, and the calls that came to nothing. What the chargers say is in `journal`.

use std::collections::BTreeMap;

/// How a command ended, by its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// ACKNOWLEDGED, FAILED, EXPIRED or CANCELLED.
    pub state: String,
    /// The reason of a failure.
    pub reason: String,
    /// When the demo read the record, wall clock, microseconds.
    pub read_us: u64,
}

/// One accepted command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The charger.
    pub charge_point: String,
    /// Not safe to repeat.
    pub unsafe_to_repeat: bool,
    /// When the call was made, wall clock, microseconds.
    pub asked_us: u64,
    /// Its first terminal record.
    pub end: Option<End>,
}

/// Calls that ended without a command that the demo knows of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failed {
    /// How many.
    pub calls: usize,
    /// What the last of them was told.
    pub last: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ledger {
    accepted: BTreeMap<String, Accepted>,
    early: BTreeMap<String, End>,
    open: usize,
    contradictions: Vec<String>,
    latencies_us: Vec<u64>,
    refused: Failed,
    unanswered: Failed,
}

impl Ledger {
    /// Notes an accepted command.
    pub fn accept(&mut self, id: String, mut command: Accepted) {
        // The record may be faster than the answer of the call.
        command.end = self.early.remove(&id);
        self.count(&command);
        self.open += usize::from(command.end.is_none());
        self.accepted.insert(id, command);
    }

    /// Notes a terminal record; a copy of an earlier one changes nothing, a different one is a contradiction.
    pub fn end(&mut self, id: &str, end: End) {
        let Some(command) = self.accepted.get_mut(id) else {
            self.early.entry(id.to_owned()).or_insert(end);
            return;
        };
        match &command.end {
            Some(known) if (&known.state, &known.reason) != (&end.state, &end.reason) => {
                self.contradictions.push(format!("{id}: {known:?}, then {end:?}"));
            }
            Some(_) => {}
            None => {
                command.end = Some(end);
                self.open -= 1;
                let command = command.clone();
                self.count(&command);
            }
        }
    }

    /// Notes a call that a router refused, so that there is no such command.
    pub fn refuse(&mut self, told: String) {
        self.refused.add(told);
    }

    /// Notes a call that nobody answered for as long as it was repeated: its command may have been accepted all the same.
    pub fn give_up(&mut self, told: String) {
        self.unanswered.add(told);
    }

    /// The calls that were refused.
    #[must_use]
    pub fn refused(&self) -> &Failed {
        &self.refused
    }

    /// The calls that nobody answered.
    #[must_use]
    pub fn unanswered(&self) -> &Failed {
        &self.unanswered
    }

    /// The accepted commands by id.
    #[must_use]
    pub fn accepted(&self) -> &BTreeMap<String, Accepted> {
        &self.accepted
    }

    /// Accepted without a terminal record.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    /// Commands with two different ends.
    #[must_use]
    pub fn contradictions(&self) -> &[String] {
        &self.contradictions
    }

    /// How many ended so, by state.
    #[must_use]
    pub fn by_state(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for end in self.accepted.values().filter_map(|command| command.end.as_ref()) {
            *counts.entry(end.state.as_str()).or_default() += 1;
        }
        counts
    }

    /// The percentile (0 to 100) of the time from the call to the record of an acknowledged command.
    #[must_use]
    pub fn latency_ms(&self, percentile: usize) -> Option<f64> {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let place = (sorted.len().checked_sub(1)? * percentile).div_ceil(100);
        sorted
            .get(place)
            .map(|us| u32::try_from(*us).map_or(f64::INFINITY, f64::from) / 1000.0)
    }

    fn count(&mut self, command: &Accepted) {
        if let Some(end) = command.end.as_ref().filter(|end| end.state == "ACKNOWLEDGED") {
            self.latencies_us
                .push(end.read_us.saturating_sub(command.asked_us));
        }
    }
}

impl Failed {
    fn add(&mut self, told: String) {
        self.calls += 1;
        self.last = Some(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Accepted {
        Accepted {
            charge_point: "CP-1".to_owned(),
            unsafe_to_repeat: false,
            asked_us: 1_000,
            end: None,
        }
    }

    fn end(state: &str, read_us: u64) -> End {
        End {
            state: state.to_owned(),
            reason: String::new(),
            read_us,
        }
    }

    #[test]
    fn a_record_that_overtakes_the_answer_of_the_call_counts() {
        let mut ledger = Ledger::default();
        ledger.end("a", end("ACKNOWLEDGED", 3_000));
        ledger.accept("a".to_owned(), command());
        assert_eq!(ledger.open(), 0);
        assert_eq!(ledger.latency_ms(50), Some(2.0));
    }

    #[test]
    fn a_second_different_end_is_a_contradiction_and_a_copy_is_none() {
        let mut ledger = Ledger::default();
        ledger.accept("a".to_owned(), command());
        assert_eq!(ledger.open(), 1);
        for state in ["EXPIRED", "EXPIRED", "ACKNOWLEDGED"] {
            ledger.end("a", end(state, 5_000));
        }
        assert_eq!(ledger.open(), 0);
        assert_eq!(ledger.contradictions().len(), 1);
        assert_eq!(ledger.by_state(), BTreeMap::from([("EXPIRED", 1)]));
    }

    #[test]
    fn calls_that_came_to_nothing_are_counted_apart_and_the_last_word_is_kept() {
        let mut ledger = Ledger::default();
        ledger.give_up("Unavailable: x".to_owned());
        ledger.give_up("Unavailable: y".to_owned());
        ledger.refuse("InvalidArgument: z".to_owned());
        let (unanswered, refused) = (ledger.unanswered(), ledger.refused());
        assert_eq!((unanswered.calls, refused.calls), (2, 1));
        assert_eq!(unanswered.last.as_deref(), Some("Unavailable: y"));
        assert_eq!(ledger.open(), 0);
    }

    #[test]
    fn percentiles_of_nothing_are_nothing() {
        assert_eq!(Ledger::default().latency_ms(99), None);
    }
}
