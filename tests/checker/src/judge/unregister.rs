//! Invariant 11: closing an old socket never removes the newer registration.
//!
//! Evidence: the routers' `unregistered` lines: one that names a version below one that had been registered by then
//! must not be applied. Exercised: each such line, and each socket that closed at an edge when a newer version than
//! its own had been registered. And at the end of a run in liveness mode the dump must hold, as connected, the
//! version of each socket that stood, by its edge's history and by the charger's log, from `drained` to `dumped`; a
//! run that tells of neither, or a dump without any device, says nothing. Allowed: where a line carries no Redis time, a second, ε and the pauses of the router.

use super::{Judgement, Violation};
use crate::event::{Close, Registered, Unregistered};
use crate::world::World;
use crate::world::chargers::Charger;

/// Between a script and the line about it, where only the line's time is known.
const TOLD_US: u64 = 1_000_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for charger in &world.chargers {
        for line in charger.unregistered(world) {
            let newer = charger
                .registered(world)
                .find(|r| r.version > line.version && was_before(world, r, line));
            let Some(newer) = newer else {
                continue;
            };
            judgement.seen();
            if line.applied {
                judgement.broken(
                    Violation::new("an old socket's end removed a newer registration")
                        .charger(charger.cp)
                        .line(newer.at)
                        .line(line.at),
                );
            }
        }
        judgement.exercised += charger
            .closes(world)
            .filter(|close| is_outlived(world, charger, close))
            .count() as u64;
        if let Some(violation) = missing_at_the_end(world, charger) {
            judgement.broken(violation.charger(charger.cp));
        }
    }
    judgement
}

/// The socket that closed carried an older version than one that had been registered by then.
fn is_outlived(world: &World, charger: &Charger, close: &Close) -> bool {
    let own = charger
        .versions(world)
        .rfind(|v| v.socket == close.socket && v.at.same_process(&close.at) && v.at.m_us <= close.at.m_us);
    own.is_some_and(|own| {
        charger
            .registered(world)
            .any(|r| r.version > own.version && r.at.m_us < close.at.m_us)
    })
}

fn was_before(world: &World, registered: &Registered, unregistered: &Unregistered) -> bool {
    match unregistered.now_us {
        Some(now_us) => registered.now_us < now_us,
        // A refused one may count on thin evidence, an applied one may not.
        None if !unregistered.applied => registered.at.m_us < unregistered.at.m_us,
        None => {
            let since = registered.at.m_us;
            let told = world.allowance(&unregistered.at, since).saturating_add(TOLD_US);
            unregistered.at.m_us > since.saturating_add(told)
        }
    }
}

/// The charger is connected and its edge holds the newest version, but the store does not.
fn missing_at_the_end(world: &World, charger: &Charger) -> Option<Violation> {
    let (drained, dumped) = (world.drained?.m_us, world.dumped?.m_us);
    if world.dump.devices.is_empty() {
        return None;
    }
    let device = world.dump.devices.get(&charger.cp);
    let newest = charger.registered(world).max_by_key(|r| r.version)?;
    let held = charger.versions(world).find(|v| v.version == newest.version)?;
    let closed = charger
        .closes(world)
        .any(|c| c.socket == held.socket && c.at.same_process(&held.at) && c.at.m_us <= dumped);
    let settled = held.at.m_us < drained && charger.is_connected(world, dumped) && !closed;
    let stored = device.is_some_and(|d| d.connected && d.version == newest.version);
    // An edge that died took its sockets along without a word.
    let died = world.log.leases.iter().any(|lease| {
        lease.at.process == held.at.process && lease.at.pid != held.at.pid && lease.at.m_us > held.at.m_us
    });
    (settled && !stored && !died).then(|| {
        Violation::new("the charger is connected, and the store has no registration of it")
            .line(newest.at)
            .line(held.at)
    })
}
