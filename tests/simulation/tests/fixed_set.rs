//! The seeds that run in every test run. Many more run by the program.

use simulation::campaign::{Campaign, Verdict};
use simulation::plan::Plan;
use simulation::{Lines, report, run};

/// The fixed set.
const SET: Campaign = Campaign {
    from: 0,
    seeds: 400,
    relaxed: false,
    until_first: false,
    threads: 2,
};

/// The rules with a judgement of their own, because a second check stands behind them.
const RULES: [&str; 11] = [
    "a record that is not new",
    "a record while the pod moves",
    "an older socket registers again",
    "floor above the clock",
    "hung up while registering",
    "order at a reconnect",
    "order of a claim",
    "overtaken while waiting",
    "turn of what waited longest",
    "urgent goes at once",
    "written again by the same edge",
];

#[test]
fn the_fixed_set_breaks_no_invariant_and_exercises_them() {
    let Verdict {
        failed, stats, seeds, ..
    } = SET.run();
    if let Some((seed, _)) = failed.first() {
        panic!("{}", report::story(*seed, false, 80));
    }
    assert_eq!(seeds, SET.seeds);
    for invariant in (1..=19).chain([21, 23, 24]) {
        let count = stats.exercised.get(&invariant).copied().unwrap_or(0);
        assert!(count > 0, "invariant {invariant} was never put to the test");
    }
    for rule in RULES {
        let count = stats.rules.get(rule).copied().unwrap_or(0);
        assert!(count > 0, "the rule of {rule:?} was never put to the test");
    }
}

#[test]
fn two_runs_of_a_seed_have_the_same_digest_and_another_seed_has_another() {
    let digest = |seed| run(Plan::of_seed(seed, false), Lines::None).digest;
    for seed in 0..10 {
        assert_eq!(digest(seed), digest(seed));
        assert_ne!(digest(seed), digest(seed + 1));
    }
}

#[test]
fn a_trace_does_not_change_the_run_and_its_lines_replay() {
    let (quiet, told, again) = (
        run(Plan::of_seed(7, false), Lines::None),
        run(Plan::of_seed(7, false), Lines::All),
        run(Plan::of_seed(7, false), Lines::All),
    );
    assert_eq!(quiet.digest, told.digest);
    assert!(!told.lines.is_empty());
    assert_eq!(told.lines, again.lines);
}

#[test]
fn threads_do_not_change_what_comes_out() {
    let with = |threads| {
        Campaign {
            seeds: 20,
            threads,
            ..SET
        }
        .run()
    };
    let (one, two) = (with(1), with(2));
    assert_eq!(
        (one.seeds, one.digest, one.stats.events),
        (two.seeds, two.digest, two.stats.events)
    );
}

#[test]
fn a_store_that_loses_what_it_had_not_flushed_keeps_the_invariants_that_do_not_rest_on_it() {
    let verdict = Campaign {
        seeds: 40,
        relaxed: true,
        ..SET
    }
    .run();
    if let Some((seed, _)) = verdict.failed.first() {
        panic!("{}", report::story(*seed, true, 80));
    }
}
