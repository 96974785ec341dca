//! Invariant 8: stale intents, notices, refusals and non-writes are refused by compare-and-set; an answer needs only
//! an open command.
//!
//! Evidence: the routers' `applied` lines against their claims. A claim's number is one above its Redis time, so a
//! claim numbered at or below an event's time was made before it: an event that names an older dispatch, or another
//! version than its dispatch was for, must not be applied. Exercised: such an event was refused (or, broken, was
//! not). An answer to an open command is never refused. Timers are not judged here: their script reads its own score,
//! and no line names one that was out of date. What a router does on waking from a pause is invariant 17's. Allowed:
//! nothing; under `relaxed`, claims made, and ends met, shortly before Redis was lost.

use super::{Judgement, Violation};
use crate::event::{Applied, Dispatch, Kind, Verdict};
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        for applied in command.applied(world) {
            if let Some(newer) = outdated_by(world, command, applied) {
                judgement.seen();
                if applied.verdict == Verdict::Applied && !super::takeover::is_woken(world, &applied.at) {
                    judgement.broken(wrongly_applied(applied, newer));
                }
            }
            if let Some(violation) = answer_refused(world, command, applied) {
                judgement.broken(violation.charger(command.charger(world)));
            }
        }
    }
    judgement
}

/// The claim that made what an event names out of date.
pub(super) fn outdated_by<'a>(
    world: &'a World,
    command: &'a Command,
    applied: &Applied,
) -> Option<&'a Dispatch> {
    if !applied.kind.is_fenced() || applied.dispatch == 0 {
        return None;
    }
    command.dispatches(world).find(|claim| {
        let newer = claim.dispatch > applied.dispatch && claim.dispatch <= applied.now_us;
        let elsewhere = claim.dispatch == applied.dispatch && claim.version != applied.version;
        (newer || elsewhere) && !world.may_be_forgotten(claim.at.m_us)
    })
}

/// How a stale event that took effect is told.
pub(super) fn wrongly_applied(applied: &Applied, newer: &Dispatch) -> Violation {
    let what = format!(
        "{:?} of an older dispatch or another version took effect",
        applied.kind
    );
    Violation::new(what)
        .command(applied.id)
        .charger(newer.cp)
        .line(newer.at)
        .line(applied.at)
}

/// Redis lost what it knew soon after the answer, and the end that is known came after that loss.
fn met_an_end_that_was_forgotten(world: &World, command: &Command, applied: &Applied) -> bool {
    let ended_us = command.end().and_then(|end| end.redis_us).unwrap_or_default();
    let met = applied.at.m_us;
    let end = met.saturating_add(ended_us.saturating_sub(applied.now_us));
    world.may_be_forgotten(met) && world.faults.redis_loses(met, end)
}

fn answer_refused(world: &World, command: &Command, applied: &Applied) -> Option<Violation> {
    if applied.kind != Kind::Answer {
        return None;
    }
    let ended_before = command
        .end()
        .and_then(|end| end.redis_us)
        .is_none_or(|ended_us| ended_us <= applied.now_us);
    let refused = match applied.verdict {
        Verdict::Stale | Verdict::Noted => true,
        Verdict::Ended => !ended_before && !met_an_end_that_was_forgotten(world, command, applied),
        Verdict::Applied | Verdict::Repeated => false,
    };
    refused.then(|| {
        Violation::new("an answer to an open command was refused")
            .command(command.id)
            .line(applied.at)
    })
}
