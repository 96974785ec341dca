//! The judges, one an invariant. Each says in its file what it takes as evidence, what counts as exercised, and what
//! it allows. Leaves out reading and printing.

mod answered;
mod dead_letters;
mod deadline;
mod drained;
mod end_in_time;
mod final_end;
mod in_flight;
mod keys;
mod late_answer;
mod leases;
mod poison;
mod priority;
mod queue_bound;
mod readiness;
mod refused;
mod stale;
mod sweepers;
mod takeover;
mod timers;
mod unregister;
mod versions;
mod writes;

use crate::event::At;
use crate::symbols::Sym;
use crate::world::World;

pub use end_in_time::is_lost;
pub use writes::is_duplicated;

/// How many violations of an invariant are kept in full; all are counted.
const KEPT: usize = 1_000;

/// Something that must not be.
#[derive(Debug, Clone)]
pub struct Violation {
    /// In a sentence.
    pub what: String,
    /// The command, or none.
    pub command: Sym,
    /// The charger, or none.
    pub charger: Sym,
    /// The lines that prove it.
    pub lines: Vec<At>,
}

impl Violation {
    /// A violation that names nobody yet.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: Sym::NONE,
            charger: Sym::NONE,
            lines: Vec::new(),
        }
    }

    /// By this command.
    #[must_use]
    pub fn command(mut self, id: Sym) -> Self {
        self.command = id;
        self
    }

    /// At this charger.
    #[must_use]
    pub fn charger(mut self, cp: Sym) -> Self {
        self.charger = cp;
        self
    }

    /// Proved by this line.
    #[must_use]
    pub fn line(mut self, at: At) -> Self {
        self.lines.push(at);
        self
    }
}

/// What a judge found.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// How often the invariant could have broken.
    pub exercised: u64,
    /// How often it did.
    pub violated: u64,
    /// The first of those.
    pub violations: Vec<Violation>,
}

impl Judgement {
    /// The invariant could have broken here.
    fn seen(&mut self) {
        self.exercised += 1;
    }

    /// It did.
    fn broken(&mut self, violation: Violation) {
        self.violated += 1;
        if self.violations.len() < KEPT {
            self.violations.push(violation);
        }
    }
}

/// An invariant with its judge.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Its number in the list of the design.
    pub number: u8,
    /// What it says, in short.
    pub title: &'static str,
    /// Who judges it.
    pub judge: fn(&World) -> Judgement,
}

/// All of them, in order.
pub const INVARIANTS: [Invariant; 24] = [
    of(
        1,
        "an accepted command ends, once and in time",
        end_in_time::judge,
    ),
    of(2, "a failed call is settled by its key", keys::judge_same),
    of(3, "same key, other content: refused", keys::judge_other),
    of(4, "an end never changes", final_end::judge),
    of(
        5,
        "acknowledged means the charger was asked and replied",
        answered::judge,
    ),
    of(6, "a refusal is an answer, and is not retried", refused::judge),
    of(7, "a late answer ends the command", late_answer::judge),
    of(8, "what is stale is refused by compare-and-set", stale::judge),
    of(9, "a charger's versions strictly increase", versions::judge),
    of(10, "no write after the lease, one version writes", leases::judge),
    of(11, "closing an old socket keeps the newer", unregister::judge),
    of(12, "one CALL in flight on a connection", in_flight::judge),
    of(
        13,
        "a higher priority waits for one lower write at most",
        priority::judge,
    ),
    of(14, "no write after the deadline", deadline::judge),
    of(15, "bounded writes; unsafe ones never repeated", writes::judge),
    of(16, "an open command has one timer", timers::judge),
    of(
        17,
        "a dead or paused router's work is taken over",
        takeover::judge,
    ),
    of(
        18,
        "every dead letter is published, with a unique id",
        dead_letters::judge,
    ),
    of(
        19,
        "a charger's queue is bounded before acceptance",
        queue_bound::judge,
    ),
    of(
        20,
        "a poison record is put aside, and consuming goes on",
        poison::judge,
    ),
    of(21, "a ready edge has seen a canary", readiness::judge),
    of(22, "who is not authenticated gets and displaces nothing", nothing),
    of(23, "after the heal the backlog drains", drained::judge),
    of(24, "two sweepers at once are safe", sweepers::judge),
];

const fn of(number: u8, title: &'static str, judge: fn(&World) -> Judgement) -> Invariant {
    Invariant { number, title, judge }
}

/// Invariant 22 cannot be seen: nobody authenticates yet, so no history tells of one who did not.
fn nothing(_world: &World) -> Judgement {
    Judgement::default()
}
