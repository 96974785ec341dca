//! Invariant 13: after a command reaches the edge, at most one of a lower priority is written before it.
//!
//! Evidence: the edges' `taken` and `write` lines of one charger; for an unsafe command, whose grant holds no CALL
//! slot, it counts from the router's line that its intent was applied. Where an edge tells of no `taken`, a command
//! counts as arrived a second after its dispatch, in quiet times. Exercised: when the command reached the edge, a
//! lower one was out on that connection, or one was written before it. Allowed: one lower write.

use super::{Judgement, Violation};
use crate::event::{Kind, Taken, Write};
use crate::world::World;
use crate::world::commands::Command;

/// How long a record may take to its edge where nobody tells of its arrival.
const ARRIVAL_US: u64 = 1_000_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        for write in command.writes(world) {
            let Some(reached) = reached_m_us(world, command, write) else {
                continue;
            };
            let Some(charger) = world.charger(write.cp).filter(|_| reached < write.at.m_us) else {
                continue;
            };
            // A CALL that was written earlier than an answer timeout ago is not out any more.
            let since = reached.saturating_sub(world.run.answer_timeout(0));
            let lower: Vec<&Write> = charger
                .writes_between(world, since, write.at.m_us)
                .filter(|w| w.priority < write.priority && w.at.same_process(&write.at))
                .collect();
            let between: Vec<&&Write> = lower
                .iter()
                .filter(|w| w.at.m_us > reached && w.at.m_us < write.at.m_us)
                .collect();
            let out = lower.iter().any(|w| is_out(world, w, reached));
            if out || !between.is_empty() {
                judgement.seen();
            }
            if between.len() > 1 {
                let violation = Violation::new(format!("{} lower writes went before it", between.len()))
                    .command(write.id)
                    .charger(write.cp)
                    .line(write.at);
                judgement.broken(between.iter().fold(violation, |v, w| v.line(w.at)));
            }
        }
    }
    judgement
}

/// When the command that was written then had reached the edge.
fn reached_m_us(world: &World, command: &Command, write: &Write) -> Option<u64> {
    let fits = |taken: &&Taken| {
        taken.dispatch == write.dispatch && taken.at.same_process(&write.at) && taken.at.m_us < write.at.m_us
    };
    let taken = command.taken(world).find(fits).map(|t| t.at.m_us);
    let granted = command
        .applied(world)
        .find(|a| a.kind == Kind::Intent && a.dispatch == write.dispatch)
        .map(|a| a.at.m_us);
    let reached = match taken {
        Some(taken) if write.is_unsafe => granted.map(|granted| granted.max(taken)),
        Some(taken) => Some(taken),
        None if world.log.taken.is_empty() => command
            .dispatches(world)
            .find(|d| d.dispatch == write.dispatch)
            .map(|d| d.at.m_us.saturating_add(ARRIVAL_US)),
        None => None,
    }?;
    let sure = taken.is_some() && !write.is_unsafe;
    (sure
        || !world
            .faults
            .disturb(reached.saturating_sub(ARRIVAL_US), write.at.m_us))
    .then_some(reached)
}

/// It had been written and not yet answered at a moment.
fn is_out(world: &World, write: &Write, m_us: u64) -> bool {
    let over = write
        .at
        .m_us
        .saturating_add(world.run.answer_timeout(write.priority));
    let answered = world.command(write.id).is_some_and(|command| {
        command
            .answers(world)
            .any(|a| a.at.m_us >= write.at.m_us && a.at.m_us <= m_us)
    });
    write.at.m_us <= m_us && m_us < over && !answered
}
