//! Planted bugs are noticed. A program of its own, because a bug is planted in the whole process.
#![cfg(feature = "mutants")]

use domain::mutant::{Mutant, plant};
use simulation::campaign::Campaign;
use simulation::mutants::{hunt_all, table};
use simulation::plan::Plan;
use simulation::shrink::shrink;
use simulation::{Lines, run};

const MOST: Campaign = Campaign {
    from: 0,
    seeds: 2_000,
    relaxed: false,
    until_first: true,
    threads: 1,
};

/// One test for everything, because what is planted is planted for all threads.
#[test]
fn ten_of_ten_mutants_are_caught_and_a_failing_plan_is_shrunk_to_a_smaller_one_that_still_fails() {
    let caught = hunt_all(&MOST);
    assert_eq!(caught.len(), 10);
    assert!(caught.iter().all(|one| one.by.is_some()), "{}", table(&caught));
    let one = caught.iter().find(|one| one.mutant == Mutant::SkipFence);
    let (invariant, seed, _) = one.and_then(|one| one.by.clone()).unwrap();
    let plan = Plan::of_seed(seed, false);
    assert_eq!(
        run(plan.clone(), Lines::None).violation,
        None,
        "nothing is planted any more"
    );
    plant(Some(Mutant::SkipFence));
    let (small, _) = shrink(&plan, invariant);
    let again = run(small.clone(), Lines::None).violation;
    plant(None);
    assert!(small.faults.len() + small.calls.len() < plan.faults.len() + plan.calls.len());
    assert_eq!(again.map(|v| v.invariant), Some(invariant));
}
