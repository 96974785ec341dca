//! What a campaign prints: a table for people, JSON for programs, and the story of a failing seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::campaign::Verdict;
use crate::plan::{Plan, SECOND};
use crate::run::run;
use crate::shrink::shrink;
use crate::trace::Lines;

/// The invariants that the judge knows, and what they say.
const INVARIANTS: [(u8, &str); 22] = [
    (1, "accepted: exactly one end, in time"),
    (2, "same key, same command"),
    (3, "same key, other content: refused"),
    (4, "an end never changes"),
    (5, "acknowledged: the charger said so"),
    (6, "a refusal is an answer"),
    (7, "a late answer ends the next attempt"),
    (8, "what is stale changes nothing"),
    (9, "versions grow"),
    (10, "no write after the lease"),
    (11, "an old socket removes no newer one"),
    (12, "one CALL at a time"),
    (13, "at most one lower write first"),
    (14, "no write after the deadline"),
    (15, "writes are bounded, unsafe ones single"),
    (16, "one timer for what is open"),
    (17, "a dead router's work is taken over"),
    (18, "dead letters are published"),
    (19, "queues are bounded"),
    (21, "an edge consumes where routers send"),
    (23, "after mending all drains"),
    (24, "two sweepers are safe"),
];

/// A table.
#[must_use]
pub fn table(verdict: &Verdict, took: Duration) -> String {
    let stats = &verdict.stats;
    let rate = verdict.seeds as f64 / took.as_secs_f64().max(1e-9);
    let mut text = format!(
        "{} seeds in {:.1} s ({rate:.0}/s): {} events, {} commands, {} writes, digest {:016x}\n",
        verdict.seeds,
        took.as_secs_f64(),
        stats.events,
        stats.commands,
        stats.writes,
        verdict.digest
    );
    let recovery_s = stats.recovery_us as f64 / SECOND as f64;
    let _ = writeln!(text, "slowest recovery {recovery_s:.1} s after the mending");
    counts(&mut text, ("end", "commands"), &stats.ends);
    counts(&mut text, ("fault", "struck"), &stats.faults);
    counts(&mut text, ("order", "came about"), &stats.orders);
    counts(&mut text, ("rule", "judged"), &stats.rules);
    invariants(&mut text, verdict);
    text
}

/// Names and counts.
fn counts(text: &mut String, (what, how_many): (&str, &str), counts: &BTreeMap<&'static str, u64>) {
    let _ = writeln!(text, "\n{what:<28} {how_many:>10}");
    for (name, count) in counts {
        let _ = writeln!(text, "{name:<28} {count:>10}");
    }
}

/// Each invariant: how often it was put to the test, and broken.
fn invariants(text: &mut String, verdict: &Verdict) {
    let _ = writeln!(
        text,
        "\n{:>3} {:<40} {:>12} {:>10}",
        "inv", "says", "exercised", "violations"
    );
    for (number, says) in INVARIANTS {
        let exercised = verdict.stats.exercised.get(&number).copied().unwrap_or(0);
        let violations = verdict
            .failed
            .iter()
            .filter(|(_, v)| v.invariant == number)
            .count();
        let shown = if exercised > 0 {
            exercised.to_string()
        } else {
            "not shown".to_owned()
        };
        let _ = writeln!(text, "{number:>3} {says:<40} {shown:>12} {violations:>10}");
    }
    let panics = verdict.failed.iter().filter(|(_, v)| v.invariant == 0).count();
    let _ = writeln!(
        text,
        "    {:<40} {:>12} {panics:>10}",
        "no assertion of the code fails", "always"
    );
}

/// JSON.
#[must_use]
pub fn json(verdict: &Verdict, took: Duration) -> String {
    let stats = &verdict.stats;
    let exercised: Vec<u8> = stats
        .exercised
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(i, _)| *i)
        .collect();
    let failed: Vec<_> = verdict
        .failed
        .iter()
        .map(|(seed, v)| json!({"seed": seed, "invariant": v.invariant, "text": v.text}))
        .collect();
    let value = json!({
        "seeds": verdict.seeds,
        "seconds": took.as_secs_f64(),
        "seeds_per_second": verdict.seeds as f64 / took.as_secs_f64().max(1e-9),
        "events": stats.events,
        "commands": stats.commands,
        "writes": stats.writes,
        "ends": stats.ends,
        "faults": stats.faults,
        "exercised": exercised,
        "exercised_counts": stats.exercised,
        "orders": stats.orders,
        "rules": stats.rules,
        "recovery_ms": stats.recovery_us / 1_000,
        "violations": verdict.failed.len(),
        "failed": failed,
        "digest": format!("{:016x}", verdict.digest),
    });
    value.to_string()
}

/// The story of a failing seed: what broke, the smallest plan that still breaks it, and the last lines of its
/// trace.
#[must_use]
pub fn story(seed: u64, relaxed: bool, tail: usize) -> String {
    let plan = Plan::of_seed(seed, relaxed);
    let (first, again) = (run(plan.clone(), Lines::None), run(plan.clone(), Lines::None));
    let mut text = String::new();
    let Some(violation) = first.violation else {
        return format!("seed {seed} breaks nothing\n");
    };
    let same = if first.digest == again.digest {
        "replays exactly"
    } else {
        "DOES NOT REPLAY"
    };
    let _ = writeln!(
        text,
        "seed {seed} breaks invariant {}: {}",
        violation.invariant, violation.text
    );
    let _ = writeln!(
        text,
        "digest {:016x}, {same}; {} events",
        first.digest, first.stats.events
    );
    let (small, runs) = shrink(&plan, violation.invariant);
    what_is_left(&mut text, &plan, &small, runs);
    let last = run(small, Lines::Tail);
    if let Some(violation) = last.violation {
        let _ = writeln!(
            text,
            "it breaks invariant {}: {}",
            violation.invariant, violation.text
        );
    }
    let skipped = last.lines.len().saturating_sub(tail);
    for line in last.lines.iter().skip(skipped) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// The smallest plan that still fails.
fn what_is_left(text: &mut String, plan: &Plan, small: &Plan, runs: u32) {
    let (faults, of_faults) = (small.faults.len(), plan.faults.len());
    let (calls, of_calls) = (small.calls.len(), plan.calls.len());
    let _ = writeln!(
        text,
        "shrunk in {runs} runs to {faults} of {of_faults} faults and {calls} of {of_calls} calls, fate {}:",
        small.fate
    );
    for fault in &small.faults {
        let (at, lasts) = (fault.at as f64 / 1e6, fault.lasts as f64 / 1e6);
        let _ = writeln!(text, "  {at:>9.3} s  {:?} for {lasts:.3} s", fault.fault);
    }
    for call in &small.calls {
        let _ = writeln!(text, "  {:>9.3} s  {call:?}", call.at as f64 / 1e6);
    }
}
