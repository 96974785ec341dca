//! Invariant 5: a command is `Acknowledged` only if the charger's own log holds its CALL and, after that, its reply.
//!
//! Evidence: lines that tell of the end, against the log of the charger that the command is for. Exercised: each
//! acknowledged command. Allowed: a millisecond, by which readings of one clock in two processes may be rounded.

use super::{Judgement, Violation};
use crate::event::State;
use crate::world::World;

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
