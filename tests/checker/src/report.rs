//! What a run came to: the table for people and the JSON for machines.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::event::{Reason, State};
use crate::judge::{INVARIANTS, Violation, is_duplicated, is_lost};
use crate::world::World;
use crate::world::commands::Command;

/// How many violations of one invariant are printed.
const PRINTED: usize = 5;

/// A run's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the run was drawn from.
    pub seed: u64,
    /// Commands whose call was answered OK.
    pub accepted: u64,
    /// Those that never came to an end though they should have.
    pub lost: u64,
    /// Unsafe commands whose CALL a charger received twice.
    pub duplicated_unsafe: u64,
    /// Accepted commands that failed with an unknown outcome.
    pub outcome_unknown: u64,
    /// Violations of all invariants.
    pub violations: u64,
    /// The invariants that the run put to the test.
    pub exercised: Vec<u8>,
    /// Those that it did not: nothing is shown about them.
    pub not_shown: Vec<u8>,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// The longest time from a heal to the end of the last command then open.
    pub recovery_ms: u64,
    /// True if liveness was judged too.
    pub liveness: bool,
    /// Lines read.
    pub lines: u64,
    /// Lines torn by the death of their process.
    pub torn_lines: u64,
    /// Each invariant.
    pub invariants: Vec<Row>,
    /// The violations: at most a thousand of each invariant.
    pub details: Vec<Detail>,
}

/// An invariant's line in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number.
    pub invariant: u8,
    /// What it says.
    pub title: &'static str,
    /// How often it could have broken.
    pub exercised: u64,
    /// How often it did.
    pub violations: u64,
}

/// A violation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Of which invariant.
    pub invariant: u8,
    /// In a sentence.
    pub what: String,
    /// The command, empty for none.
    pub command: String,
    /// The charger, empty for none.
    pub charger: String,
    /// The lines that prove it, `file:line`.
    pub lines: Vec<String>,
}

/// Judges all invariants.
#[must_use]
pub fn report(world: &World) -> Report {
    let (rows, details) = judged(world);
    let numbers = |shown: bool| {
        let rows = rows.iter().filter(|row| (row.exercised > 0) == shown);
        rows.map(|row| row.invariant).collect()
    };
    let count =
        |is: fn(&World, &Command) -> bool| world.commands.iter().filter(|c| is(world, c)).count() as u64;
    Report {
        seed: world.run.seed,
        accepted: count(|world, command| command.accepted(world).is_some()),
        lost: count(is_lost),
        duplicated_unsafe: count(is_duplicated),
        outcome_unknown: count(is_unknown),
        violations: rows.iter().map(|row| row.violations).sum(),
        exercised: numbers(true),
        not_shown: numbers(false),
        faults: world.faults.by_kind(),
        recovery_ms: recovery_ms(world),
        liveness: world.liveness,
        lines: world.lines,
        torn_lines: world.torn,
        invariants: rows,
        details,
    }
}

/// Each invariant's row, and all violations in an order that the order of the files does not change.
fn judged(world: &World) -> (Vec<Row>, Vec<Detail>) {
    let mut rows = Vec::new();
    let mut details = Vec::new();
    for invariant in INVARIANTS {
        let mut judgement = (invariant.judge)(world);
        rows.push(Row {
            invariant: invariant.number,
            title: invariant.title,
            // What broke was put to the test.
            exercised: judgement.exercised.max(judgement.violated),
            violations: judgement.violated,
        });
        judgement.violations.sort_by_key(|v| {
            let first = v.lines.first().map(|at| (at.m_us, world.place(at)));
            (first, world.name(v.command).to_owned(), v.what.clone())
        });
        let own = judgement.violations.iter();
        details.extend(own.map(|v| detail(world, invariant.number, v)));
    }
    (rows, details)
}

impl Report {
    /// The table, the violations and the figures.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        table.set_header(["", "INVARIANT", "EXERCISED", "VIOLATIONS"]);
        for row in &self.invariants {
            let exercised = match row.exercised {
                0 => "not shown".to_owned(),
                count => count.to_string(),
            };
            table.add_row([
                row.invariant.to_string(),
                row.title.to_owned(),
                exercised,
                row.violations.to_string(),
            ]);
        }
        for column in [0, 2, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{table}\n{}{}", self.told(), self.figures())
    }

    fn figures(&self) -> String {
        let mode = if self.liveness {
            "safety and liveness"
        } else {
            "safety"
        };
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        let faults = if faults.is_empty() {
            "none".to_owned()
        } else {
            faults.join(", ")
        };
        format!(
            "seed {} · {mode} · {} lines, {} torn · faults: {faults}\n\
             accepted {} · lost {} · duplicated unsafe {} · outcome unknown {} · recovery {} ms\n",
            self.seed,
            self.lines,
            self.torn_lines,
            self.accepted,
            self.lost,
            self.duplicated_unsafe,
            self.outcome_unknown,
            self.recovery_ms,
        )
    }

    /// The first violations of each invariant, in words.
    fn told(&self) -> String {
        let mut text = String::new();
        for row in self.invariants.iter().filter(|row| row.violations > 0) {
            let own = self.details.iter().filter(|d| d.invariant == row.invariant);
            for detail in own.take(PRINTED) {
                let whom = [&detail.command, &detail.charger].map(String::as_str).join(" ");
                let whom = whom.trim();
                let lines = detail.lines.join(" ");
                text.push_str(&format!("{}: {} [{whom}] {lines}\n", row.invariant, detail.what));
            }
            let more = row.violations.saturating_sub(PRINTED as u64);
            if more > 0 {
                text.push_str(&format!("{}: and {more} more\n", row.invariant));
            }
        }
        text
    }
}

fn detail(world: &World, invariant: u8, violation: &Violation) -> Detail {
    Detail {
        invariant,
        what: violation.what.clone(),
        command: world.name(violation.command).to_owned(),
        charger: world.name(violation.charger).to_owned(),
        lines: violation.lines.iter().map(|at| world.place(at)).collect(),
    }
}

fn is_unknown(world: &World, command: &Command) -> bool {
    let failed = command.end().filter(|end| end.state == State::Failed);
    command.accepted(world).is_some() && failed.is_some_and(|end| end.reason == Some(Reason::OutcomeUnknown))
}

/// Over all heals: from the heal to the end of the last command that was open then.
fn recovery_ms(world: &World) -> u64 {
    let lives: Vec<(u64, u64)> = world
        .commands
        .iter()
        .filter_map(|c| Some((c.accepted(world)?.reply.at.m_us, c.end()?.at.m_us)))
        .collect();
    let heals = world.log.heals.iter().map(|h| h.at.m_us);
    let heals = heals.chain(world.healed.map(|at| at.m_us));
    let longest = heals.map(|heal| {
        let ends = lives
            .iter()
            .filter(|(from, until)| *from <= heal && *until >= heal)
            .map(|(_, until)| until - heal);
        ends.max().unwrap_or(0)
    });
    longest.max().unwrap_or(0) / 1_000
}
