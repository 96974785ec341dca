//! Invariant 23: after the heal the backlog drains, and the redelivery rate returns to zero.
//!
//! Evidence: the `healed_all` and `drained` lines, the caller's accepted commands with their ends, and the edges'
//! writes of second and later attempts. Judged in liveness mode only: everything was healed, and drained within
//! `drain_ms` of that; no accepted command is open when the run says that it is drained; from then on, and from
//! `drain_ms` after the heal, no command is written again. Exercised: each command that was open when all was healed.
//! Allowed: ε; a write within `kick_ms` of the command's end (declared bounds 2 and 3).

use super::{Judgement, Violation};
use crate::event::{At, Write};
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    if !world.liveness {
        return judgement;
    }
    let Some(healed) = world.healed else {
        judgement.broken(Violation::new(
            "the run says that it shows liveness, and was never healed",
        ));
        return judgement;
    };
    let limit = healed
        .m_us
        .saturating_add(world.run.drain_us)
        .saturating_add(world.run.epsilon_us);
    if world.drained.is_none_or(|drained| drained.m_us > limit) {
        judgement.broken(Violation::new("the backlog did not drain in time").line(healed));
    }
    judgement.exercised = open_at(world, healed).count() as u64;
    still_open(world, &mut judgement);
    still_written(world, healed, limit, &mut judgement);
    judgement
}

/// Accepted commands of which no end had been told at a moment.
fn open_at(world: &World, at: At) -> impl Iterator<Item = &Command> {
    world.commands.iter().filter(move |command| {
        let accepted = command.accepted(world);
        accepted.is_some_and(|a| a.reply.at.m_us <= at.m_us)
            && command.end().is_none_or(|end| end.at.m_us > at.m_us)
    })
}

fn still_open(world: &World, judgement: &mut Judgement) {
    let Some(drained) = world.drained else {
        return;
    };
    // An end may be told of later than it happened: by the read at the latest.
    for command in open_at(world, drained).filter(|command| command.end().is_none()) {
        let last = command.gets(world).next_back();
        let is_known = last.is_none_or(|get| get.state.is_some());
        if is_known && !super::is_lost(world, command) {
            judgement.broken(
                Violation::new("open though all is drained")
                    .command(command.id)
                    .charger(command.charger(world))
                    .line(drained),
            );
        }
    }
}

fn still_written(world: &World, healed: At, limit_m_us: u64, judgement: &mut Judgement) {
    let drained = world
        .drained
        .map(|at| at.m_us.saturating_add(world.run.epsilon_us));
    let from_m_us = drained.unwrap_or(limit_m_us).min(limit_m_us);
    let late = |write: &&Write| {
        let end = world.command(write.id).and_then(Command::end);
        let was_on_its_way =
            end.is_some_and(|end| write.at.m_us <= end.at.m_us.saturating_add(world.run.kick_us));
        let again = write.attempt > 1 && write.at.m_us > from_m_us;
        again && (write.at.m_us > limit_m_us || !was_on_its_way)
    };
    for write in world.log.writes.iter().filter(late) {
        judgement.broken(
            Violation::new("still written again")
                .command(write.id)
                .charger(write.cp)
                .line(healed)
                .line(write.at),
        );
    }
}
