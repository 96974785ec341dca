//! Invariant 16: every open command has exactly one timer or live lease.
//!
//! Evidence: the auditor's line of each second; what sweepers had to mend; and the dump itself, from which this judge
//! derives again what the auditor, a program of the product, says (`timers/stored.rs`): nobody's word is taken for it.
//! Judged besides: while commands are open and Redis answers, nobody looks away for longer than `audit_ms`, since what
//! is broken and mended in between would be hidden. Exercised: the auditor, or the dump, saw an open command. Allowed:
//! nothing; the auditor looks at a slot in one script. A run without any auditor shows the dump only.

mod stored;

use super::{Judgement, Violation};
use crate::event::{At, Audit};
use crate::world::World;

/// What a sweeper mends that must never be broken. A registration may lapse, and a pod may die.
const CONTRADICTIONS: [&str; 6] = ["timer", "queue", "lane", "count", "listing", "retention"];

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for audit in &world.log.audits {
        if audit.open > 0 {
            judgement.seen();
        }
        told(audit, &mut judgement);
    }
    mended(world, &mut judgement);
    unwatched(world, &mut judgement);
    stored::judge(world, &mut judgement);
    judgement
}

fn told(audit: &Audit, judgement: &mut Judgement) {
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

/// A sweeper mended what can only be broken by a bug.
fn mended(world: &World, judgement: &mut Judgement) {
    for repair in world.log.repairs.iter().filter(|r| r.applied) {
        let what = world.name(repair.what);
        if CONTRADICTIONS.contains(&what) && !world.may_be_forgotten(repair.at.m_us) {
            let about = world.name(repair.about);
            judgement
                .broken(Violation::new(format!("a sweeper had to mend a {what} of {about}")).line(repair.at));
        }
    }
}

/// A span in which commands were open and nobody looked.
fn unwatched(world: &World, judgement: &mut Judgement) {
    if world.log.audits.is_empty() {
        return;
    }
    let accepted = world.commands.iter().filter_map(|c| c.accepted(world));
    let first = accepted.map(|a| a.reply.at).min_by_key(|at| at.m_us);
    let last = world.drained.or(world.dumped);
    let looks: Vec<At> = first
        .into_iter()
        .chain(world.log.audits.iter().map(|a| a.at))
        .chain(last)
        .collect();
    for pair in looks.windows(2) {
        let (from, to) = (pair[0].m_us, pair[1].m_us);
        // Before the first command, or behind the last look, there is nothing to see.
        let answered = to
            .saturating_sub(from)
            .saturating_sub(redis_away_us(world, from, to));
        if answered > world.run.audit_us && anything_open(world, from, to) {
            let violation = Violation::new(format!("nobody looked for {} ms", answered / 1_000));
            judgement.broken(violation.line(pair[0]).line(pair[1]));
        }
    }
}

/// How long Redis was hurt within these moments, at most.
fn redis_away_us(world: &World, from_m_us: u64, to_m_us: u64) -> u64 {
    let hurt = world.faults.all.iter().filter(|f| f.hits_redis());
    hurt.map(|f| {
        let until = f.to_m_us.unwrap_or(to_m_us).min(to_m_us);
        until.saturating_sub(f.at.m_us.max(from_m_us))
    })
    .sum()
}

fn anything_open(world: &World, from_m_us: u64, to_m_us: u64) -> bool {
    world.commands.iter().any(|command| {
        let accepted = command.accepted(world).map(|a| a.reply.at.m_us);
        let open_at = accepted.filter(|&m_us| m_us < to_m_us);
        open_at.is_some() && command.end().is_none_or(|end| end.at.m_us > from_m_us)
    })
}
