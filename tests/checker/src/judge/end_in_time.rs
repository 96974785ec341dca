//! Invariant 1: a command whose call was answered OK reaches a terminal state by its deadline and ε after the heal.
//!
//! Evidence: the caller's replies; any line that tells of an end (`ended`, an `applied` with a terminal status, a
//! record on Kafka, a read). Exercised: a fault lasted while the command was open. Allowed: `end_ms` after the first
//! moment past the deadline from which nothing is disturbed that long, and for an unsafe command, whose end waits for
//! its settlement, grant, answer timeout and two leases more. That an end happens once is invariant 4's business.
//! In quiet times a connected, idle charger's command is written as well (`end_in_time/idle.rs`).
//! Gone altogether is a violation in safety mode too; still open is one in liveness mode only. `relaxed` may forget
//! what was accepted shortly before Redis was lost.

mod idle;

use super::{Judgement, Violation};
use crate::event::At;
use crate::world::World;
use crate::world::commands::{Accepted, Command};

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        let Some(accepted) = command.accepted(world) else {
            continue;
        };
        let from = accepted.reply.at.m_us;
        let until = command.end().map_or(world.last_m_us, |e| e.at.m_us);
        if world.faults.disturb(from, until) {
            judgement.seen();
        }
        if let Some(violation) = idle::never_written(world, command, accepted) {
            judgement.broken(violation.command(command.id).charger(accepted.call.cp));
        }
        if let Some((what, line)) = breach(world, command, accepted) {
            let violation = Violation::new(what)
                .command(command.id)
                .charger(accepted.call.cp)
                .line(accepted.reply.at);
            judgement.broken(match line {
                Some(line) => violation.line(line),
                None => violation,
            });
        }
    }
    judgement
}

/// An accepted command that never came to an end, though it should have: the store forgot it, or it is still open
/// after its time.
#[must_use]
pub fn is_lost(world: &World, command: &Command) -> bool {
    command
        .accepted(world)
        .is_some_and(|accepted| lost(world, command, accepted).is_some())
}

fn breach(world: &World, command: &Command, accepted: Accepted) -> Option<(String, Option<At>)> {
    if let Some(lost) = lost(world, command, accepted) {
        return Some(lost);
    }
    let end = command.end()?;
    let limit = limit_m_us(world, command)?;
    let ended = match end.redis_us {
        Some(us) => world
            .clock
            .machine_at_most(us)
            .map_or(end.at.m_us, |m| m.min(end.at.m_us)),
        None => end.at.m_us,
    };
    (ended > limit).then(|| {
        let late = (ended - limit) / 1_000;
        (format!("ended {late} ms after all that is allowed"), Some(end.at))
    })
}

fn lost(world: &World, command: &Command, accepted: Accepted) -> Option<(String, Option<At>)> {
    if world.may_be_forgotten(accepted.reply.at.m_us) {
        return None;
    }
    let last = command.gets(world).next_back();
    if let Some(get) = last.filter(|get| get.state.is_none()) {
        return Some(("accepted, and then unknown".to_owned(), Some(get.at)));
    }
    if command.end().is_some() || !world.liveness {
        return None;
    }
    // Without a deadline that anybody told, the run's own word that all is drained must do.
    let over = match limit_m_us(world, command) {
        Some(limit) => world.last_m_us > limit,
        None => command.deadline_us(world).is_none() && world.drained.is_some(),
    };
    over.then(|| ("accepted, and never ended".to_owned(), last.map(|get| get.at)))
}

/// The latest moment of its end, none if that is not known or never comes.
fn limit_m_us(world: &World, command: &Command) -> Option<u64> {
    let run = &world.run;
    let deadline = world.clock.machine_at_most(command.deadline_us(world)?)?;
    let mut span = run.end_us;
    if command.is_unsafe(world) {
        let timeout = run.answer_timeout_us.max(run.urgent_answer_timeout_us);
        span = span
            .saturating_add(run.grant_us)
            .saturating_add(timeout)
            .saturating_add(2 * run.lease_us);
    }
    let quiet = world.faults.quiet_after(deadline, span)?;
    Some(quiet.saturating_add(span).saturating_add(run.epsilon_us))
}
