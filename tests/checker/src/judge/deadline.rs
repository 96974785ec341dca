//! Invariant 14: no write after the deadline, also with skewed clocks.
//!
//! Evidence: the edges' `write` lines (the write call). The edge's own idea of Redis time must be before the
//! deadline, and so must the earliest that Redis time can have been by the routers' lines; an edge is not believed.
//! Exercised: the deadline passed while the command was out with an edge or open after a claim; or a process wrote
//! whose wall clock is a second or more from the others'. Allowed: ε and the pauses of the process (declared bound 5).

use super::{Judgement, Violation};
use crate::event::{At, State, Write};
use crate::world::World;
use crate::world::commands::Command;

/// A wall clock that is this far from the others is skewed.
const SKEWED_US: u64 = 1_000_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    let usual = usual_wall(world);
    for write in &world.log.writes {
        if wall(&write.at).abs_diff(usual) >= u128::from(SKEWED_US) {
            judgement.seen();
        }
        if let Some(what) = breach(world, write) {
            judgement.broken(
                Violation::new(what)
                    .command(write.id)
                    .charger(write.cp)
                    .line(write.at),
            );
        }
    }
    let passed = world.commands.iter().filter(|c| passed_while_out(world, c));
    judgement.exercised += passed.count() as u64;
    judgement
}

fn breach(world: &World, write: &Write) -> Option<String> {
    if write.redis_upper_us >= write.deadline_us {
        return Some("written though the edge itself held that the deadline had passed".to_owned());
    }
    let redis_us = world.clock.redis_at_least(write.at.m_us)?;
    let deadline = world.clock.machine_at_most(write.deadline_us)?;
    let allowed = world.allowance(&write.at, deadline);
    (redis_us > write.deadline_us.saturating_add(allowed)).then(|| {
        let late = (redis_us - write.deadline_us) / 1_000;
        format!("written {late} ms after the deadline")
    })
}

/// It had been claimed and was open when its deadline passed.
fn passed_while_out(world: &World, command: &Command) -> bool {
    let Some(deadline_us) = command.deadline_us(world) else {
        return false;
    };
    let claimed = command.dispatches(world).any(|d| d.dispatch < deadline_us);
    claimed
        && command.end().is_some_and(|end| {
            end.state == State::Expired || end.redis_us.is_some_and(|us| us >= deadline_us)
        })
}

/// How a process' wall clock lies to the machine's clock.
fn wall(at: &At) -> i128 {
    i128::from(at.t_us) - i128::from(at.m_us)
}

/// How most lines' wall clocks do.
fn usual_wall(world: &World) -> i128 {
    let log = &world.log;
    let told = log.calls.iter().map(|l| wall(&l.at));
    let told = told
        .chain(log.records.iter().map(|l| wall(&l.at)))
        .chain(log.applied.iter().map(|l| wall(&l.at)));
    let mut walls: Vec<i128> = told.chain(log.writes.iter().map(|l| wall(&l.at))).collect();
    walls.sort_unstable();
    walls.get(walls.len() / 2).copied().unwrap_or(0)
}
