//! Which event is which line of the log. Leaves out what a line must hold (`fields`).

use super::fields::{Fields, Problem};
use super::row::{Row, Text};
use crate::event::{At, Mark, Milestone};
use crate::log::Log;
use crate::symbols::Symbols;

/// Puts one row into the log.
pub(super) fn take(row: &Row, at: At, symbols: &mut Symbols, log: &mut Log) -> Result<(), Problem> {
    let mut fields = Fields { row, symbols, at };
    let Some(Text(event)) = &row.ev else {
        // The chargers' log names a kind where the others name an event.
        log.chargers.push(fields.charger()?);
        return Ok(());
    };
    match event.as_ref() {
        "call" => log.calls.push(fields.call()?),
        "reply" => log.replies.push(fields.reply()?),
        "get" => log.gets.push(fields.get()?),
        "registered" => log.registered.push(fields.registered()?),
        "leased" => log.leased.push(fields.leased()?),
        "unregistered" => log.unregistered.push(fields.unregistered()?),
        "dispatch" => log.dispatches.push(fields.dispatch()?),
        "applied" => log.applied.push(fields.applied()?),
        "ended" => log.ended.push(fields.ended()?),
        "swept" => log.swept.push(fields.swept()?),
        "published" => log.published.push(fields.published()?),
        "open" => log.opens.push(fields.open()?),
        "close" => log.closes.push(fields.close()?),
        "version" => log.versions.push(fields.version()?),
        "lease" => log.leases.push(fields.lease()?),
        "lapsed" => log.lapsed.push(fields.lapsed()?),
        "taken" => log.taken.push(fields.taken()?),
        "write" => log.writes.push(fields.write()?),
        "unwritten" => log.unwritten.push(fields.unwritten()?),
        "answer" => log.answers.push(fields.answer()?),
        _ => return around(event, &mut fields, log),
    }
    Ok(())
}

/// What is told of the surroundings of a command.
fn around(event: &str, fields: &mut Fields, log: &mut Log) -> Result<(), Problem> {
    let at = fields.at;
    let reached = |milestone| Mark { at, milestone };
    match event {
        "canary" => log.canaries.push(fields.canary()?),
        "ready" => log.readies.push(fields.ready()?),
        "quarantine" => log.quarantines.push(fields.quarantine()?),
        "record" => log.records.push(fields.record()?),
        "audit" => log.audits.push(fields.audit()?),
        "inject" => log.injects.push(fields.inject()?),
        "heal" => log.heals.push(fields.heal()?),
        "healed_all" => log.marks.push(reached(Milestone::Healed)),
        "drained" => log.marks.push(reached(Milestone::Drained)),
        "dumped" => log.marks.push(reached(Milestone::Dumped)),
        "pass" => log.passes.push(fields.pass()?),
        "repair" => log.repairs.push(fields.repair()?),
        other => return Err(format!("unknown event `{other}`")),
    }
    Ok(())
}
