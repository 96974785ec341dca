//! That a command is sent at all: a gateway that lets everything expire would keep every promise about ends. Where its
//! charger was connected, nothing else of it was open, and nothing was disturbed, from `takeover_ms` before the call on,
//! a command does not end without ever having been written, unless it was cancelled or given too little time.

use super::super::Violation;
use crate::event::{Seen, State};
use crate::symbols::Sym;
use crate::world::World;
use crate::world::commands::{Accepted, Command};

/// Less time than this is too little.
const ENOUGH_US: u64 = 3_000_000;

/// The command was never written, though nothing kept it from that.
pub(super) fn never_written(world: &World, command: &Command, accepted: Accepted) -> Option<Violation> {
    let end = command.end()?;
    let (called, replied) = (accepted.call.at.m_us, accepted.reply.at.m_us);
    let expired = matches!(end.state, State::Expired | State::Failed);
    let written = command.writes(world).next().is_some() || command.received(world).next().is_some();
    let deadline = world.clock.machine_at_most(command.deadline_us(world)?)?;
    let enough = deadline.saturating_sub(replied) >= ENOUGH_US;
    if !expired || written || !enough {
        return None;
    }
    let from = called.saturating_sub(world.run.takeover_us);
    let quiet = !world.faults.disturb(from, end.at.m_us);
    let ready = quiet && stays_connected(world, accepted.call.cp, from, end.at.m_us);
    (ready && !has_company(world, command, from, end.at.m_us)).then(|| {
        Violation::new("its charger was connected and idle, nothing was disturbed, and it was never written")
            .line(accepted.reply.at)
            .line(end.at)
    })
}

/// By its own log the charger was connected before, and neither left nor came.
fn stays_connected(world: &World, cp: Sym, from_m_us: u64, to_m_us: u64) -> bool {
    world.charger(cp).is_some_and(|charger| {
        let moves = |line: &&crate::event::Charger| matches!(line.seen, Seen::Connected | Seen::Disconnected);
        let mut within = charger.own(world).filter(moves).map(|line| line.at.m_us);
        charger.is_connected(world, from_m_us) && !within.any(|m_us| (from_m_us..=to_m_us).contains(&m_us))
    })
}

/// Another command of the charger was open meanwhile, or a call for it was under way: it may have been in the way.
fn has_company(world: &World, command: &Command, from_m_us: u64, to_m_us: u64) -> bool {
    let own = command.accepted(world).map(|a| (a.call.cp, a.call.key, a.call.n));
    let mut calls = world.log.calls.iter().filter(|call| {
        own.is_some_and(|(cp, key, n)| call.cp == cp && call.n != n && (key.is_none() || call.key != key))
    });
    calls.any(|call| {
        let other = world.commands.iter().find(|c| {
            c.accepted(world)
                .is_some_and(|a| (a.call.at.process, a.call.n) == (call.at.process, call.n))
        });
        let ended = other.and_then(Command::end).map(|end| end.at.m_us);
        call.at.m_us <= to_m_us && ended.is_none_or(|m_us| m_us >= from_m_us)
    })
}
