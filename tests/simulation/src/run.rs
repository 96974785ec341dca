//! One seed, from its plan to its verdict.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::judge::Violation;
use crate::plan::Plan;
use crate::stats::Stats;
use crate::trace::Lines;
use crate::world::World;

/// Stands for a panic where an invariant is named.
const PANIC: u8 = 0;

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The same plan gives the same digest, always.
    pub digest: u64,
    /// What it did.
    pub stats: Stats,
    /// What was broken first, if anything.
    pub violation: Option<Violation>,
    /// The lines of its trace that were kept.
    pub lines: Vec<String>,
}

/// Runs a plan.
#[must_use]
pub fn run(plan: Plan, lines: Lines) -> Outcome {
    let mut world = World::new(plan, lines);
    // An assertion of the code under test is one more judge: what it says is a violation with a seed.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.run())) {
        world.judge.fail(PANIC, || message(&*panic));
    }
    let mut stats = world.stats;
    stats.exercised.clone_from(world.judge.exercised());
    stats.rules.clone_from(world.judge.rules());
    world.judge.count(&mut stats);
    Outcome {
        digest: world.trace.digest(),
        stats,
        violation: world.judge.violation().cloned(),
        lines: world.trace.into_lines(),
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "panic: {}",
        text.unwrap_or_else(|| "without a message".to_owned())
    )
}
