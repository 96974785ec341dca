//! Invariant 7: a late CALLRESULT for attempt n while n+1 is pending ends the command, and suppresses n+1.
//!
//! Evidence: an edge's `answer` line for a command that by then had gone back to `Pending` or had been claimed for a
//! next attempt, unwritten. Each such line exercises. Judged: the same life of that edge does not write it
//! afterwards, and in quiet times the command ends as acknowledged. Allowed: ε and the edge's pauses between a check
//! and a write on another socket; writes by other edges (declared bound 2); an answer that is lost because something
//! is disturbed within `takeover_ms`. Refusals are invariant 6's.

use super::{Judgement, Violation};
use crate::event::{Answered, State, Verdict, Write};
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        for answer in command.answers(world) {
            let pending = next_is_pending(world, command, answer);
            if pending {
                judgement.seen();
            }
            if command.refusal(world, answer.at.m_us).is_some() {
                continue;
            }
            let found = if let Some(write) = write_after(world, command, answer) {
                Some(
                    Violation::new("answered, and then written again by the same edge")
                        .line(answer.at)
                        .line(write.at),
                )
            } else if pending {
                not_ended(world, command, answer)
            } else {
                None
            };
            if let Some(violation) = found {
                judgement.broken(violation.command(command.id).charger(answer.cp));
            }
        }
    }
    judgement
}

/// The command was written, is open, and waits for its next attempt.
fn next_is_pending(world: &World, command: &Command, answer: &Answered) -> bool {
    let heard = answer.at.m_us;
    let Some(written) = command.writes(world).rfind(|w| w.at.m_us < heard) else {
        return false;
    };
    let is_open = command.end().is_none_or(|end| end.at.m_us >= heard);
    let claimed = command
        .dispatches(world)
        .any(|d| d.at.m_us < heard && d.dispatch > written.dispatch);
    let returned = command.applied(world).any(|a| {
        let after = a.at.m_us > written.at.m_us && a.at.m_us < heard;
        after && a.verdict == Verdict::Applied && a.status == Some(State::Pending)
    });
    is_open && (claimed || returned)
}

/// A write by the same life of the edge that is late enough to know of the answer.
pub(super) fn write_after<'a>(
    world: &'a World,
    command: &'a Command,
    answer: &Answered,
) -> Option<&'a Write> {
    command.writes(world).find(|write| {
        let slack = if write.socket == answer.socket {
            0
        } else {
            world.allowance(&write.at, answer.at.m_us)
        };
        write.at.same_process(&answer.at) && write.at.m_us > answer.at.m_us.saturating_add(slack)
    })
}

fn not_ended(world: &World, command: &Command, answer: &Answered) -> Option<Violation> {
    let heard = answer.at.m_us;
    let by = heard.saturating_add(world.run.takeover_us);
    if by > world.last_m_us || world.faults.disturb(heard, by) {
        return None;
    }
    match command.end() {
        Some(end) if end.state == State::Acknowledged || end.at.m_us <= heard => None,
        Some(end) => Some(
            Violation::new("answered late, and ended otherwise")
                .line(answer.at)
                .line(end.at),
        ),
        None => Some(Violation::new("answered late, and not ended").line(answer.at)),
    }
}
