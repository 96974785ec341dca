//! Invariant 12: at most one CALL is in flight on a connection.
//!
//! Evidence: the edges' `write` lines on one socket; a CALL is out until the edge or the charger's log tells of its
//! reply, or until its answer timeout has passed, after which OCPP permits the next. Exercised: the next command was
//! on its way to the edge while the one before was out. Allowed: ε on the timeout.

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::Write;
use crate::symbols::Sym;
use crate::world::World;

/// A socket of a life of an edge.
type Socket = (Sym, u32, Sym, u64);

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    let mut last: HashMap<Socket, &Write> = HashMap::new();
    for write in &world.log.writes {
        let socket = (write.at.process, write.at.pid, write.cp, write.socket);
        if let Some(before) = last.insert(socket, write) {
            judge_pair(world, before, write, &mut judgement);
        }
    }
    judgement
}

fn judge_pair(world: &World, before: &Write, next: &Write, judgement: &mut Judgement) {
    let replied = reply_m_us(world, before);
    let timeout = world.run.answer_timeout(before.priority);
    let over = before.at.m_us.saturating_add(timeout);
    // What the socket did not take is not out.
    if world
        .command(before.id)
        .is_some_and(|c| c.is_unwritten(world, before))
    {
        return;
    }
    let out_until = replied.unwrap_or(over).min(over);
    let waited = world.command(next.id).is_some_and(|command| {
        command
            .dispatches(world)
            .any(|d| d.dispatch == next.dispatch && d.at.m_us < out_until)
    });
    if waited {
        judgement.seen();
    }
    if next.at.m_us < out_until && next.at.m_us.saturating_add(world.run.epsilon_us) < over {
        judgement.broken(
            Violation::new("written while another CALL was out")
                .command(next.id)
                .charger(next.cp)
                .line(before.at)
                .line(next.at),
        );
    }
}

/// When the reply to a CALL was first told of, by the edge or by the charger.
fn reply_m_us(world: &World, write: &Write) -> Option<u64> {
    let command = world.command(write.id)?;
    let heard = command
        .answers(world)
        .map(|a| a.at)
        .find(|at| at.same_process(&write.at) && at.m_us >= write.at.m_us);
    let said = command
        .replied(world)
        .map(|r| r.at)
        .find(|at| at.m_us >= write.at.m_us);
    heard.into_iter().chain(said).map(|at| at.m_us).min()
}
