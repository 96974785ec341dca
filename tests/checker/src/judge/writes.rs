//! Invariant 15: writes are bounded by the attempts; an unsafe command is never repeated after a possible write, nor
//! written after its end, nor without the grant that keeps it from both.
//!
//! Evidence: the edges' `write` lines and the CALLs in the charger's own log, whichever are more; a CALL that no
//! edge's history told of before is a violation by itself, and so is one that the command did not ask for, or of which
//! the caller was told that it surely was not written (`writes/reached.rs`). A write line counts unless the edge says that the socket took no
//! byte, or the store applied its word for that. Exercised: a command was written again; an unsafe one was written and its reply did
//! not reach that edge. Allowed for a safe command (declared bound 1): the attempts, one for each new version of
//! the connection between its first and last write, one more, and the attempts again for each roll-back of the store.
//! For an unsafe one nothing, except under `relaxed` around the loss of Redis, and that the line about a non-write
//! may be lost with a router that died then, if the charger received one CALL at most.

mod reached;

use super::{Judgement, Violation};
use crate::event::{Kind, Verdict, Write};
use crate::world::World;
use crate::world::commands::Command;

/// Two readings of one clock.
const ROUNDING_US: u64 = 1_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        let writes: Vec<&Write> = command.writes(world).collect();
        let is_unsafe = command.is_unsafe(world);
        if writes.len() > 1 || (is_unsafe && writes.first().is_some_and(|w| !is_heard(world, command, w))) {
            judgement.seen();
        }
        let found = untold(world, command).or_else(|| {
            if is_unsafe {
                ungranted(&writes)
                    .or_else(|| repeated(world, command, &writes))
                    .or_else(|| after_the_end(world, command, &writes))
            } else {
                too_many(world, command, &writes)
            }
        });
        if let Some(violation) = found {
            judgement.broken(violation.command(command.id).charger(command.charger(world)));
        }
    }
    reached::judge(world, &mut judgement);
    judgement
}

/// An unsafe command whose CALL the charger received twice.
#[must_use]
pub fn is_duplicated(world: &World, command: &Command) -> bool {
    command.is_unsafe(world)
        && command.received(world).count() > 1
        && command
            .received(world)
            .next()
            .is_none_or(|first| !world.may_be_forgotten(first.at.m_us))
}

/// A CALL reached the charger before any edge wrote it by its history.
fn untold(world: &World, command: &Command) -> Option<Violation> {
    let mut told = 0;
    let mut writes = command.writes(world).peekable();
    for (i, call) in command.received(world).enumerate() {
        let by = call.at.m_us.saturating_add(ROUNDING_US);
        while writes.next_if(|w| w.at.m_us <= by).is_some() {
            told += 1;
        }
        if told <= i {
            return Some(Violation::new("the charger received a CALL that no edge told of").line(call.at));
        }
    }
    None
}

/// An unsafe command was written without a grant: what keeps it from being written twice was not asked.
fn ungranted(writes: &[&Write]) -> Option<Violation> {
    let bare = writes.iter().find(|w| w.nonce.is_none())?;
    Some(Violation::new("unsafe, and written without a grant").line(bare.at))
}

fn repeated(world: &World, command: &Command, writes: &[&Write]) -> Option<Violation> {
    let received: Vec<_> = command.received(world).collect();
    if let [first, second, ..] = received[..]
        && !world.may_be_forgotten(first.at.m_us)
    {
        return Some(
            Violation::new("unsafe, and the charger received it twice")
                .line(first.at)
                .line(second.at),
        );
    }
    writes.windows(2).find_map(|pair| {
        let (first, second) = (pair[0], pair[1]);
        let excused = was_taken_back(world, command, first)
            || world.may_be_forgotten(first.at.m_us)
            || (received.len() < 2 && router_died(world, first.at.m_us, second.at.m_us));
        (!excused).then(|| {
            Violation::new("unsafe, and written again after a possible write")
                .line(first.at)
                .line(second.at)
        })
    })
}

fn after_the_end(world: &World, command: &Command, writes: &[&Write]) -> Option<Violation> {
    let end = command.end().filter(|end| !world.may_be_forgotten(end.at.m_us))?;
    let ended = world.clock.machine_at_most(end.redis_us?)?;
    let late = writes
        .iter()
        .find(|w| w.at.m_us > ended.saturating_add(world.allowance(&w.at, ended)))?;
    Some(
        Violation::new("unsafe, and written after its end")
            .line(end.at)
            .line(late.at),
    )
}

fn too_many(world: &World, command: &Command, writes: &[&Write]) -> Option<Violation> {
    let counted = writes
        .iter()
        .filter(|w| !was_taken_back(world, command, w))
        .count()
        .max(command.received(world).count()) as u64;
    let (first, last) = (writes.first()?, writes.last()?);
    let versions = world.charger(first.cp).map_or(0, |charger| {
        charger
            .registered(world)
            .filter(|r| r.at.m_us >= first.at.m_us && r.at.m_us <= last.at.m_us)
            .count() as u64
    });
    let lost = world.faults.roll_backs().saturating_mul(world.run.max_attempts);
    let most = world.run.max_attempts + versions + 1 + lost;
    (counted > most).then(|| {
        Violation::new(format!("written {counted} times, {most} are allowed"))
            .line(first.at)
            .line(last.at)
    })
}

/// The write did not happen, by the word of its edge, or of the store that took note of that.
fn was_taken_back(world: &World, command: &Command, write: &Write) -> bool {
    let applied = command.applied(world).any(|a| {
        let says = matches!(a.kind, Kind::NonWrite | Kind::NotReady);
        says && a.verdict == Verdict::Applied && a.dispatch == write.dispatch
    });
    applied || command.is_unwritten(world, write)
}

fn router_died(world: &World, from_m_us: u64, to_m_us: u64) -> bool {
    let mut faults = world.faults.all.iter();
    faults.any(|f| f.stops_router() && f.at.m_us <= to_m_us && f.at.m_us >= from_m_us)
}

/// The edge that wrote it heard its answer.
fn is_heard(world: &World, command: &Command, write: &Write) -> bool {
    let mut answers = command.answers(world);
    answers.any(|a| a.at.same_process(&write.at) && a.at.m_us >= write.at.m_us)
}
