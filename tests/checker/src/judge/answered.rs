//! Invariant 5: a command is `Acknowledged` only if the charger's own log holds its CALL and, after that, its reply; and
//! what the caller reads as the answer is what the charger said.
//!
//! Evidence: lines that tell of the end, and the last read, against the log of the charger that the command is for. Of an
//! answer its status, or error code, is compared; a refusal that is read as something else is invariant 6's. Exercised: each
//! acknowledged command. Allowed: a millisecond, by which readings of one clock in two processes may be rounded.

use super::{Judgement, Violation};
use crate::event::State;
use crate::world::World;
use crate::world::commands::Command;

/// Two readings of one clock.
const ROUNDING_US: u64 = 1_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        let Some(end) = command.end().filter(|e| e.state == State::Acknowledged) else {
            continue;
        };
        judgement.seen();
        let latest = end.at.m_us.saturating_add(ROUNDING_US);
        let charger = command.charger(world);
        let asked = command.received(world).find(|line| line.cp == charger);
        let what = match (asked, command.replied(world).find(|line| line.cp == charger)) {
            (None, _) => "acknowledged, but the charger never received it",
            (Some(_), None) => "acknowledged, but the charger never replied",
            (Some(call), Some(reply)) if reply.at.m_us < call.at.m_us || reply.at.m_us > latest => {
                "acknowledged, but the charger replied at another time"
            }
            (Some(_), Some(_)) if is_invented(world, command) => {
                "acknowledged, with an answer that the charger never gave"
            }
            (Some(_), Some(_)) => continue,
        };
        judgement.broken(
            Violation::new(what)
                .command(command.id)
                .charger(charger)
                .line(end.at),
        );
    }
    judgement
}

/// The caller reads an answer that none of the charger's replies gave.
fn is_invented(world: &World, command: &Command) -> bool {
    let mut gets = command.gets(world);
    let Some(read) = gets.rfind(|get| get.state == Some(State::Acknowledged)) else {
        return false;
    };
    let refused = command.refusal(world, u64::MAX).is_some();
    !refused && !command.replied(world).any(|reply| reply.said == read.answer)
}
