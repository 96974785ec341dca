//! Invariant 16: every open command has exactly one timer or live lease.
//!
//! Evidence: the auditor's line of each second, and the dump: every open command is in its slot's `due`, and `due`
//! holds nothing else. Exercised: the auditor, or the dump, saw an open command. Allowed: nothing; the auditor looks
//! at a slot in one script.

use std::collections::HashSet;

use super::{Judgement, Violation};
use crate::symbols::Sym;
use crate::world::World;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for audit in &world.log.audits {
        if audit.open > 0 {
            judgement.seen();
        }
        let counts = [
            (audit.untimed, "open commands without a timer"),
            (audit.doubly_timed, "open commands with two timers"),
        ];
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            judgement.broken(Violation::new(format!("{count} {what}")).line(audit.at));
        }
        for finding in &audit.findings {
            judgement.broken(Violation::new(format!("the auditor found: {finding}")).line(audit.at));
        }
    }
    at_the_end(world, &mut judgement);
    judgement
}

fn at_the_end(world: &World, judgement: &mut Judgement) {
    let timed: HashSet<(Sym, Sym)> = world
        .dump
        .timers
        .iter()
        .flat_map(|(&slot, ids)| ids.iter().map(move |&id| (id, slot)))
        .collect();
    let open: HashSet<(Sym, Sym)> = world.dump.open.iter().copied().collect();
    for &(id, _) in world.dump.open.iter().filter(|pair| !timed.contains(pair)) {
        judgement.broken(Violation::new("open in the dump, and without a timer").command(id));
    }
    let mut stray: Vec<Sym> = timed.difference(&open).map(|(id, _)| *id).collect();
    stray.sort_by_key(|&id| world.name(id));
    for id in stray {
        judgement.broken(Violation::new("a timer in the dump for what is not open").command(id));
    }
    judgement.exercised += open.len() as u64;
}
