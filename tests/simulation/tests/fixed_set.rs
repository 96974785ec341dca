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
const RULES: [&str; 17] = [
    "a lease moves only forward",
    "a life asked for over an older link",
    "a life that is asked for again",
    "a record that is not new",
    "a record while the pod moves",
    "a renewal over an older link",
    "a timer that no peer took",
    "an older socket registers again",
    "floor above the clock",
    "hung up while registering",
    "order at a reconnect",
    "order of a claim",
    "overtaken while waiting",
    "suspicion of an older link",
    "turn of what waited longest",
    "urgent goes at once",
    "written again by the same edge",
];

/// What makes other orders possible.
const ORDERS: [&str; 6] = [
    "a breaker opens",
    "a lease's request is doubled",
    "a lease's request is late",
    "an edge is sent to another router",
    "an edge stays, as it came back",
    "patient items are overtaken",
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
    for order in ORDERS {
        let count = stats.orders.get(order).copied().unwrap_or(0);
        assert!(count > 0, "it never came about that {order}");
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
fn a_store_that_does_not_heed_links_is_seen_to_move_a_lease_back() {
    let broken = (0..SET.seeds).filter_map(|seed| {
        let plan = Plan {
            heeds_links: false,
            ..Plan::of_seed(seed, false)
        };
        run(plan, Lines::None).violation
    });
    let moved = broken.filter(|v| v.invariant == 21 && v.text.contains("came late and changed the lease"));
    assert!(moved.count() > 0);
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
