//! The judgement of a run: the platform's ledger against the chargers' own log. Pure.

use serde::Serialize;

use super::journal::Journal;
use super::ledger::{Accepted, Ledger};
use super::load::PATIENCE;

/// The table at the end; also the last line of `--output json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Commands whose call was answered OK.
    pub accepted: usize,
    /// Calls that a router refused.
    pub refused: usize,
    /// What the last of these was told.
    pub refused_with: Option<String>,
    /// Calls that no router answered for as long as they were repeated: accepted or not, nobody knows.
    pub unanswered: usize,
    /// What the last of these was told.
    pub unanswered_with: Option<String>,
    /// Acknowledged, and the charger's log holds the reply.
    pub acknowledged: usize,
    /// Failed.
    pub failed: usize,
    /// Of these: unsafe to repeat, possibly written, never answered.
    pub outcome_unknown: usize,
    /// Expired.
    pub expired: usize,
    /// No reply in the chargers' log and no terminal record.
    pub lost: usize,
    /// Unsafe to repeat, yet received twice.
    pub duplicated: usize,
    /// Unsafe commands among the accepted ones.
    pub unsafe_sent: usize,
    /// From the call to the record on command-results, median.
    pub p50_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// From the kill of the edge to the first re-delivered command.
    pub failover_first_ms: Option<u64>,
    /// From the kill to the last re-delivered command.
    pub failover_all_ms: Option<u64>,
    /// From a charger's reconnect to its first re-delivered command: the shortest.
    pub redelivery_first_ms: Option<f64>,
    /// The longest.
    pub redelivery_slowest_ms: Option<f64>,
    /// Commands that were open when their charger reconnected.
    pub redelivered: usize,
    /// Commands with two different ends, acknowledged without the charger's reply, or replied to without an end.
    pub contradictions: usize,
    /// apache or embedded.
    pub broker: String,
}

impl Verdict {
    /// Judges a run whose edge was killed at `killed_us`.
    #[must_use]
    pub fn of(ledger: &Ledger, journal: &Journal, killed_us: Option<u64>, broker: &str) -> Self {
        let all = ledger.accepted();
        let counts = Counts::of(ledger, journal);
        let failover = killed_us
            .map(|killed| Failover::of(ledger, journal, killed))
            .unwrap_or_default();
        let (refused, unanswered) = (ledger.refused(), ledger.unanswered());
        Self {
            accepted: all.len(),
            refused: refused.calls,
            refused_with: refused.last.clone(),
            unanswered: unanswered.calls,
            unanswered_with: unanswered.last.clone(),
            acknowledged: counts.confirmed,
            failed: counts.failed,
            outcome_unknown: counts.unknown,
            expired: counts.expired,
            lost: counts.lost,
            duplicated: counts.duplicated,
            unsafe_sent: all.values().filter(|c| c.unsafe_to_repeat).count(),
            p50_ms: ledger.latency_ms(50),
            p95_ms: ledger.latency_ms(95),
            p99_ms: ledger.latency_ms(99),
            failover_first_ms: failover.first_ms,
            failover_all_ms: failover.all_ms,
            redelivery_first_ms: failover.shortest_ms,
            redelivery_slowest_ms: failover.longest_ms,
            redelivered: failover.count,
            contradictions: ledger.contradictions().len() + counts.unconfirmed,
            broker: broker.to_owned(),
        }
    }

    /// Why the run does not hold; empty if it does.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let mut failures = self.call_failures();
        let mut expect = |holds: bool, text: String| {
            if !holds {
                failures.push(text);
            }
        };
        expect(self.accepted > 0, "no command was accepted".to_owned());
        expect(self.lost == 0, format!("{} commands were lost", self.lost));
        expect(
            self.duplicated == 0,
            format!("{} unsafe commands were received twice", self.duplicated),
        );
        expect(
            self.contradictions == 0,
            format!(
                "{} ends contradict the chargers' log or each other",
                self.contradictions
            ),
        );
        let good = (self.acknowledged + self.outcome_unknown) * 1000;
        expect(
            self.accepted == 0 || good > self.accepted * 999,
            format!(
                "{} of {} commands have an answer or an honest unknown",
                good / 1000,
                self.accepted
            ),
        );
        expect(
            self.failover_first_ms.is_some(),
            "no command was re-delivered after the kill".to_owned(),
        );
        failures
    }

    /// Which calls came to nothing.
    fn call_failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.unanswered > 0 {
            failures.push(format!(
                "{} calls got no answer from any router for {} s, so nobody knows whether they were accepted; the last \
                 error: {}",
                self.unanswered,
                PATIENCE.as_secs(),
                self.unanswered_with.as_deref().unwrap_or_default()
            ));
        }
        if self.refused > 0 {
            failures.push(format!(
                "{} calls were refused; the last error: {}",
                self.refused,
                self.refused_with.as_deref().unwrap_or_default()
            ));
        }
        failures
    }
}

/// What became of the commands.
#[derive(Default)]
struct Counts {
    confirmed: usize,
    /// The end, or that there is none, does not fit what the charger did.
    unconfirmed: usize,
    failed: usize,
    unknown: usize,
    expired: usize,
    lost: usize,
    duplicated: usize,
}

impl Counts {
    fn of(ledger: &Ledger, journal: &Journal) -> Self {
        let mut counts = Self::default();
        for (id, command) in ledger.accepted() {
            let seen = journal.commands.get(id);
            counts.end(command, seen.is_some_and(|seen| !seen.replied_us.is_empty()));
            let twice = seen.is_some_and(|seen| seen.received_us.len() > 1);
            counts.duplicated += usize::from(command.unsafe_to_repeat && twice);
        }
        counts
    }

    fn end(&mut self, command: &Accepted, replied: bool) {
        let Some(end) = &command.end else {
            self.lost += usize::from(!replied);
            self.unconfirmed += usize::from(replied);
            return;
        };
        match (end.state.as_str(), replied) {
            ("ACKNOWLEDGED", true) => self.confirmed += 1,
            ("ACKNOWLEDGED", false) => self.unconfirmed += 1,
            ("FAILED", _) => self.failed += 1,
            ("EXPIRED", _) => self.expired += 1,
            _ => {}
        }
        self.unknown += usize::from(end.reason == "OUTCOME_UNKNOWN");
    }
}

#[derive(Default)]
struct Failover {
    first_ms: Option<u64>,
    all_ms: Option<u64>,
    shortest_ms: Option<f64>,
    longest_ms: Option<f64>,
    count: usize,
}

impl Failover {
    /// Over the commands that were asked for before their charger was back, and arrived after it was.
    fn of(ledger: &Ledger, journal: &Journal, killed_us: u64) -> Self {
        let mut failover = Self::default();
        for (id, command) in ledger.accepted() {
            let Some((_, regained)) = journal.outage_after(&command.charge_point, killed_us) else {
                continue;
            };
            let seen = journal.commands.get(id);
            let arrived = seen.and_then(|s| s.received_us.iter().copied().find(|t| *t >= regained));
            let Some(arrived) = arrived.filter(|_| command.asked_us < regained) else {
                continue;
            };
            let since_kill = (arrived - killed_us) / 1000;
            let since_back = f64::from(u32::try_from(arrived - regained).unwrap_or(u32::MAX)) / 1000.0;
            failover.count += 1;
            failover.first_ms = Some(failover.first_ms.map_or(since_kill, |t| t.min(since_kill)));
            failover.all_ms = Some(failover.all_ms.map_or(since_kill, |t| t.max(since_kill)));
            failover.shortest_ms = Some(failover.shortest_ms.map_or(since_back, |t| t.min(since_back)));
            failover.longest_ms = Some(failover.longest_ms.map_or(since_back, |t| t.max(since_back)));
        }
        failover
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::journal::{Connections, Seen};
    use crate::demo::ledger::End;

    fn run(ends: &[(&str, bool, Option<&str>)], seen: &[(&str, usize, usize)]) -> Verdict {
        let mut ledger = Ledger::default();
        for (id, unsafe_to_repeat, state) in ends {
            let end = state.map(|state| {
                let (state, reason) = state.split_once('/').unwrap_or((state, ""));
                End {
                    state: state.to_owned(),
                    reason: reason.to_owned(),
                    read_us: 9_000,
                }
            });
            let command = Accepted {
                charge_point: "A".to_owned(),
                unsafe_to_repeat: *unsafe_to_repeat,
                asked_us: 4_000,
                end: None,
            };
            ledger.accept((*id).to_owned(), command);
            if let Some(end) = end {
                ledger.end(id, end);
            }
        }
        let mut journal = Journal::default();
        for (id, received, replied) in seen {
            let seen = Seen {
                received_us: vec![8_000; *received],
                replied_us: vec![8_500; *replied],
            };
            journal.commands.insert((*id).to_owned(), seen);
        }
        let outage = Connections {
            connected_us: vec![1_000, 6_000],
            disconnected_us: vec![5_500],
        };
        journal.chargers.insert("A".to_owned(), outage);
        Verdict::of(&ledger, &journal, Some(5_000), "embedded")
    }

    #[test]
    fn a_run_in_which_everything_was_answered_holds() {
        let verdict = run(
            &[
                ("a", false, Some("ACKNOWLEDGED")),
                ("b", true, Some("ACKNOWLEDGED")),
            ],
            &[("a", 2, 1), ("b", 1, 1)],
        );
        assert_eq!(verdict.failures(), Vec::<String>::new());
        assert_eq!(
            (verdict.acknowledged, verdict.unsafe_sent, verdict.redelivered),
            (2, 1, 2)
        );
        assert_eq!(
            (verdict.failover_first_ms, verdict.redelivery_first_ms),
            (Some(3), Some(2.0))
        );
    }

    #[test]
    fn a_command_without_reply_and_record_is_lost() {
        let verdict = run(&[("a", false, None)], &[("a", 1, 0)]);
        assert_eq!(verdict.lost, 1);
        assert!(verdict.failures().iter().any(|f| f.contains("lost")));
    }

    #[test]
    fn a_command_that_was_replied_to_and_never_ended_is_a_contradiction() {
        let verdict = run(&[("a", false, None)], &[("a", 1, 1)]);
        assert_eq!((verdict.lost, verdict.contradictions), (0, 1));
        assert!(!verdict.failures().is_empty());
    }

    #[test]
    fn an_unsafe_command_received_twice_is_duplicated() {
        assert_eq!(
            run(&[("a", true, Some("ACKNOWLEDGED"))], &[("a", 2, 2)]).duplicated,
            1
        );
    }

    #[test]
    fn an_acknowledgement_that_no_charger_confirms_is_a_contradiction() {
        let verdict = run(&[("a", false, Some("ACKNOWLEDGED"))], &[("a", 1, 0)]);
        assert_eq!((verdict.acknowledged, verdict.contradictions), (0, 1));
        assert!(!verdict.failures().is_empty());
    }

    #[test]
    fn a_run_with_calls_that_nobody_answered_does_not_hold_and_says_what_they_were_told() {
        let mut verdict = run(&[("a", false, Some("ACKNOWLEDGED"))], &[("a", 2, 1)]);
        assert_eq!(verdict.failures(), Vec::<String>::new());
        verdict.unanswered = 3;
        verdict.unanswered_with = Some("Unavailable: no store".to_owned());
        let failures = verdict.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(
            failures[0].starts_with("3 calls got no answer")
                && failures[0].ends_with("Unavailable: no store"),
            "{failures:?}"
        );
    }

    #[test]
    fn an_honest_unknown_is_no_loss() {
        let verdict = run(&[("a", true, Some("FAILED/OUTCOME_UNKNOWN"))], &[("a", 1, 0)]);
        assert_eq!((verdict.lost, verdict.outcome_unknown, verdict.failed), (0, 1, 1));
    }

    #[test]
    fn a_run_without_commands_is_told_as_that() {
        let failures = run(&[], &[]).failures();
        assert!(failures.iter().any(|text| text == "no command was accepted"));
        assert!(
            !failures.iter().any(|text| text.contains("0 of 0")),
            "{failures:?}"
        );
    }
}
