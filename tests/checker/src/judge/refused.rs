//! Invariant 6: a charger's `Rejected` or CALLERROR is the command's answer, and is not retried.
//!
//! Evidence: the charger's log for what it said, the reads for what was recorded, the edges' `answer` and `write`
//! lines, the routers' claims and decisions. A claim's number is its Redis time, so one above the end's was made after
//! it. Judged: an answer that takes effect acknowledges the command, whatever it says; in quiet times a refusal that
//! an edge heard is recorded within `takeover_ms`; what is recorded has the status or the error code that the charger
//! gave (the rest of the payload is not in its log's digest, and not compared); nothing is claimed after the end; the
//! edge that heard the refusal does not write again. Exercised: a refusal reached an edge. Allowed: a refusal that was
//! lost with its connection or its edge is asked for again; another edge may write a safe command that was on its way
//! (declared bound 2); under `relaxed`, a claim after an end that Redis forgot; an end within `takeover_ms` of the
//! answer, which may still have been under way.

use super::{Judgement, Violation};
use crate::event::{Charger, Kind, State, Verdict};
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        let Some(refusal) = command.refusal(world, u64::MAX) else {
            continue;
        };
        if command.answers(world).any(|a| a.at.m_us >= refusal.at.m_us) {
            judgement.seen();
        }
        let found = otherwise_ended(world, command)
            .or_else(|| unrecorded(world, command, refusal))
            .or_else(|| otherwise_recorded(world, command, refusal))
            .or_else(|| claimed_again(world, command, refusal))
            .or_else(|| written_again(world, command));
        if let Some(violation) = found {
            judgement.broken(violation.command(command.id).charger(refusal.cp));
        }
    }
    judgement
}

/// The store took an answer, and did not acknowledge the command by it.
fn otherwise_ended(world: &World, command: &Command) -> Option<Violation> {
    let taken = command.applied(world).find(|a| {
        let took_effect = a.kind == Kind::Answer && a.verdict == Verdict::Applied;
        took_effect && a.status.is_some_and(|status| status != State::Acknowledged)
    })?;
    Some(Violation::new("refused by the charger, and ended otherwise").line(taken.at))
}

/// An edge heard the refusal, nothing hindered it, and it is not what the command ended by.
fn unrecorded(world: &World, command: &Command, refusal: &Charger) -> Option<Violation> {
    let heard = command.answers(world).find(|a| a.at.m_us >= refusal.at.m_us)?;
    let by = heard.at.m_us.saturating_add(world.run.takeover_us);
    let is_told = by <= world.last_m_us && !world.faults.disturb(heard.at.m_us, by);
    let is_open = command.end().is_none_or(|end| end.at.m_us > by);
    (is_told && is_open).then(|| {
        Violation::new("refused by the charger, and not ended by that")
            .line(refusal.at)
            .line(heard.at)
    })
}

/// The answer that was recorded is none that the charger gave.
fn otherwise_recorded(world: &World, command: &Command, refusal: &Charger) -> Option<Violation> {
    let get = command
        .gets(world)
        .rfind(|get| get.state == Some(State::Acknowledged))?;
    if command.replied(world).any(|reply| reply.said == get.answer) {
        return None;
    }
    Some(
        Violation::new("refused by the charger, and recorded otherwise")
            .line(refusal.at)
            .line(get.at),
    )
}

fn claimed_again(world: &World, command: &Command, refusal: &Charger) -> Option<Violation> {
    let end = command.end().filter(|e| e.state == State::Acknowledged)?;
    let ended_us = end.redis_us?;
    // An end that was taken back is none.
    if world.may_be_forgotten(end.at.m_us) {
        return None;
    }
    let claim = command
        .dispatches(world)
        .find(|d| d.dispatch > ended_us.saturating_add(1))?;
    Some(
        Violation::new("refused by the charger, and dispatched again")
            .line(refusal.at)
            .line(end.at)
            .line(claim.at),
    )
}

/// The same life of an edge wrote it after it heard the refusal.
fn written_again(world: &World, command: &Command) -> Option<Violation> {
    command.answers(world).find_map(|answer| {
        command.refusal(world, answer.at.m_us)?;
        let write = super::late_answer::write_after(world, command, answer)?;
        Some(
            Violation::new("refused by the charger, and written again")
                .line(answer.at)
                .line(write.at),
        )
    })
}
