//! The table at the end of the demo.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::verdict::Verdict;

/// Renders a verdict for people, with more rows about what was done to the stack.
pub(super) fn render(verdict: &Verdict, story: Vec<(String, String)>) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    for (what, value) in counts(verdict).into_iter().chain(times(verdict)) {
        table.add_row([what.to_owned(), value]);
    }
    for (what, value) in story {
        table.add_row([what, value]);
    }
    table.to_string()
}

fn counts(verdict: &Verdict) -> [(&'static str, String); 10] {
    [
        ("accepted", verdict.accepted.to_string()),
        ("refused", verdict.refused.to_string()),
        ("no answer from any router", verdict.unanswered.to_string()),
        (
            "acknowledged, confirmed by the charger",
            verdict.acknowledged.to_string(),
        ),
        ("failed", verdict.failed.to_string()),
        ("of these: outcome unknown", verdict.outcome_unknown.to_string()),
        ("expired", verdict.expired.to_string()),
        ("lost", verdict.lost.to_string()),
        ("unsafe to repeat, sent", verdict.unsafe_sent.to_string()),
        ("duplicated at a charger", verdict.duplicated.to_string()),
    ]
}

fn times(verdict: &Verdict) -> [(&'static str, String); 5] {
    let (p50, p95, p99) = (ms(verdict.p50_ms), ms(verdict.p95_ms), ms(verdict.p99_ms));
    let (first, slowest) = (ms(verdict.redelivery_first_ms), ms(verdict.redelivery_slowest_ms));
    [
        ("p50 / p95 / p99", format!("{p50} / {p95} / {p99}")),
        (
            "kill to first re-delivered command",
            whole(verdict.failover_first_ms),
        ),
        (
            "kill to last re-delivered command",
            whole(verdict.failover_all_ms),
        ),
        (
            "a charger's reconnect to its re-delivery",
            format!("{first} to {slowest}, {} commands", verdict.redelivered),
        ),
        ("broker", verdict.broker.clone()),
    ]
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"))
}

fn whole(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::journal::Journal;
    use crate::demo::ledger::Ledger;

    #[test]
    fn calls_that_nobody_answered_stand_in_the_table_of_a_run_that_accepted_nothing() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.give_up("Unavailable: no store".to_owned());
        }
        let verdict = Verdict::of(&ledger, &Journal::default(), Some(1), "embedded");
        let table = render(&verdict, Vec::new());
        let value_of = |what: &str| {
            let row = table.lines().find(|line| line.contains(what))?;
            row.split_whitespace().rev().nth(1)
        };
        assert_eq!(value_of(" accepted "), Some("0"), "{table}");
        assert_eq!(value_of("no answer from any router"), Some("3"), "{table}");
    }
}
