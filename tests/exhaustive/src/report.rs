//! Runs a case and says what was found.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;
use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model, Path, Property};

use crate::action::Action;
use crate::cases::Case;
use crate::describe::describe;
use crate::state::State;

/// How much may be spent on a case.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Give up after so many states, repetitions counted.
    pub max_states: usize,
    /// Threads.
    pub threads: usize,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every state was seen, and every invariant held.
    Complete,
    /// An invariant was broken.
    Violated,
    /// There are more states than the limit.
    Incomplete,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The case and its bounds.
    pub case: Case,
    /// How it ended.
    pub outcome: Outcome,
    /// Steps taken.
    pub steps: usize,
    /// States seen.
    pub states: usize,
    /// The longest run, in steps.
    pub depth: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Invariants that held in every state; none unless every state was seen.
    pub held: Vec<&'static str>,
    /// Invariants that were broken, with the shortest path to it.
    pub broken: Vec<Broken>,
    /// What was shown to happen at all.
    pub reached: Vec<&'static str>,
}

/// A broken invariant.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// Which.
    pub invariant: &'static str,
    /// Step by step how.
    pub path: Vec<String>,
}

impl Broken {
    fn new(invariant: &'static str, path: Path<State, Action>) -> Self {
        let steps = path.into_vec();
        let words = |(state, action): &(State, Option<Action>)| action.map(|a| describe(state, a));
        Self {
            invariant,
            path: steps.iter().filter_map(words).collect(),
        }
    }
}

/// Explores a case.
#[must_use]
pub fn explore(case: &Case, limits: Limits) -> Report {
    let begun = Instant::now();
    // Depth first needs memory for the hashes alone.
    let checker = build(case, limits, limits.threads).spawn_dfs().join();
    let found = checker.discoveries();
    let mut broken = broken(case, &found);
    let steps = checker.state_count();
    let outcome = if !broken.is_empty() {
        broken = shortest(case, limits).unwrap_or(broken);
        Outcome::Violated
    } else if steps >= limits.max_states {
        Outcome::Incomplete
    } else {
        Outcome::Complete
    };
    let names = |expectation: Expectation, wanted: bool| {
        let so = |p: &Property<Case>| p.expectation == expectation && found.contains_key(p.name) == wanted;
        case.properties()
            .into_iter()
            .filter(so)
            .map(|p| p.name)
            .collect::<Vec<_>>()
    };
    let mut held = names(Expectation::Always, false);
    if outcome != Outcome::Complete {
        held.clear();
    }
    Report {
        case: case.clone(),
        outcome,
        steps,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
        held,
        broken,
        reached: names(Expectation::Sometimes, true),
    }
}

type Found = HashMap<&'static str, Path<State, Action>>;

fn build(case: &Case, limits: Limits, threads: usize) -> CheckerBuilder<Case> {
    case.clone()
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(limits.max_states)
}

/// Breadth first, by one thread, finds a shortest path.
fn shortest(case: &Case, limits: Limits) -> Option<Vec<Broken>> {
    let found = build(case, limits, 1).spawn_bfs().join().discoveries();
    Some(broken(case, &found)).filter(|broken| !broken.is_empty())
}

fn broken(case: &Case, found: &Found) -> Vec<Broken> {
    let always = case
        .properties()
        .into_iter()
        .filter(|p| p.expectation == Expectation::Always);
    always
        .filter_map(|p| Some(Broken::new(p.name, found.get(p.name)?.clone())))
        .collect()
}
