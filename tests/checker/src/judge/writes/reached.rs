//! What reached a charger, against what was asked and what was told: a CALL is for its command's charger, with its
//! action and its payload; and who is told that a command was surely not written, never finds it in the charger's log.
//! A history has only a number for the payload that was sent, so payloads are compared among the commands that share
//! one. No declared bound weakens the word "surely": it is given only for what was never claimed, or never granted.

use std::collections::HashMap;

use super::super::{Judgement, Violation};
use crate::event::{Charger, State};
use crate::symbols::Sym;
use crate::world::World;
use crate::world::commands::Command;

/// Judges what reached chargers.
pub(super) fn judge(world: &World, judgement: &mut Judgement) {
    let mut payloads: HashMap<(Sym, Sym), &Charger> = HashMap::new();
    for command in &world.commands {
        if let Some(violation) = strange_call(world, command, &mut payloads) {
            judgement.broken(violation.command(command.id).charger(command.charger(world)));
        }
        let Some(told) = surely_unwritten(world, command) else {
            continue;
        };
        if command.dispatches(world).next().is_some() {
            judgement.seen();
        }
        // Under `relaxed` the grant, and with it the word of it, may be forgotten.
        let kept = |call: &&Charger| !world.may_be_forgotten(call.at.m_us);
        if let Some(call) = command.received(world).find(kept) {
            judgement.broken(
                Violation::new("told as surely unwritten, and the charger received it")
                    .command(command.id)
                    .charger(call.cp)
                    .line(call.at)
                    .line(told),
            );
        }
    }
}

/// A CALL that is not what the caller asked for.
fn strange_call<'a>(
    world: &'a World,
    command: &'a Command,
    payloads: &mut HashMap<(Sym, Sym), &'a Charger>,
) -> Option<Violation> {
    let asked = command.accepted(world)?.call;
    command.received(world).find_map(|call| {
        if call.cp != asked.cp {
            let what = "a CALL reached another charger than its command's";
            return Some(Violation::new(what).line(asked.at).line(call.at));
        }
        if call.action.is_none() {
            return None;
        }
        if call.action != asked.action {
            let what = "a CALL has another action than was asked for";
            return Some(Violation::new(what).line(asked.at).line(call.at));
        }
        let first = *payloads.entry((asked.action, asked.payload)).or_insert(call);
        (first.payload != call.payload).then(|| {
            Violation::new("a CALL has another payload than its like")
                .line(first.at)
                .line(call.at)
        })
    })
}

/// Where it is told that the command ended without ever having been written.
fn surely_unwritten(world: &World, command: &Command) -> Option<crate::event::At> {
    let is_sure = |state: State, possibly: Option<bool>| {
        matches!(state, State::Expired | State::Cancelled) && possibly == Some(false)
    };
    let end = command.end()?;
    if world.may_be_forgotten(end.at.m_us) {
        return None;
    }
    let mut records = command.records(world);
    let record = records
        .find(|r| is_sure(r.state, r.possibly_written))
        .map(|r| r.at);
    let mut gets = command.gets(world);
    record.or_else(|| {
        gets.find(|g| g.state.is_some_and(|s| is_sure(s, g.possibly_written)))
            .map(|g| g.at)
    })
}
