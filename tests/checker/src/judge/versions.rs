//! Invariant 9: a device's version strictly increases, whatever the store forgot.
//!
//! Evidence: the routers' `registered` lines in the order of Redis time. A registration is named by pod, incarnation
//! and sequence; the same one may be answered again with the same version. Exercised: a device registered anew after
//! the store might have forgotten its version: it had been unregistered, the edge had a new incarnation or was another
//! one, or Redis had been hit by a fault. Allowed: nothing.

use super::{Judgement, Violation};
use crate::event::Registered;
use crate::world::World;
use crate::world::chargers::Charger;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for charger in &world.chargers {
        let mut registered: Vec<&Registered> = charger.registered(world).collect();
        registered.sort_by_key(|r| (r.now_us, r.version));
        let mut highest: Option<&Registered> = None;
        for next in registered {
            let Some(before) = highest else {
                highest = Some(next);
                continue;
            };
            let same = name(before) == name(next);
            if same && before.version == next.version {
                continue;
            }
            if !same && may_be_forgotten(world, charger, before, next) {
                judgement.seen();
            }
            if next.version <= before.version {
                let what = format!("version {} was followed by {}", before.version, next.version);
                judgement.broken(
                    Violation::new(what)
                        .charger(charger.cp)
                        .line(before.at)
                        .line(next.at),
                );
            } else {
                highest = Some(next);
            }
        }
    }
    judgement
}

fn name(registered: &Registered) -> (crate::symbols::Sym, u64, u64) {
    (registered.pod, registered.inc, registered.seq)
}

fn may_be_forgotten(world: &World, charger: &Charger, before: &Registered, next: &Registered) -> bool {
    let other_life = (before.pod, before.inc) != (next.pod, next.inc);
    let unregistered = charger
        .unregistered(world)
        .any(|u| u.applied && u.version == before.version);
    let redis_hit = world
        .faults
        .all
        .iter()
        .any(|f| f.hits_redis() && f.overlaps(before.at.m_us, next.at.m_us));
    other_life || unregistered || redis_hit
}
