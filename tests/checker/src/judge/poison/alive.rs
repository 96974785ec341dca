//! Whether an edge that met poison goes on consuming.

use super::super::{Judgement, Violation};
use crate::event::{At, Inject, Place, Placed, Quarantine};
use crate::world::World;

/// A canary of late: the edge consumed there when the poison came.
const LATELY_US: u64 = 5_000_000;

/// An edge consumed the poison's partition when it came, lived on, and consumed nothing any more.
pub(super) fn judge(world: &World, inject: &Inject, (topic, partition, _): Place, judgement: &mut Judgement) {
    let from = inject.at.m_us;
    let Some(limit) = limit_m_us(world, from) else {
        return;
    };
    let mut told = Vec::new();
    let before = world.log.canaries.iter().filter(|c| {
        let here = c
            .place
            .is_some_and(|place| (place.0, place.1) == (topic, partition));
        here && c.at.m_us <= from && c.at.m_us.saturating_add(LATELY_US) >= from
    });
    for canary in before {
        if told.contains(&(canary.at.process, canary.at.pid)) {
            continue;
        }
        told.push((canary.at.process, canary.at.pid));
        if lives(world, &canary.at, limit) && !consumes(world, &canary.at, from, limit) {
            let violation = Violation::new("nothing was consumed any more where poison was put");
            judgement.broken(violation.line(canary.at).line(inject.at));
        }
    }
}

/// The edge put poison aside, lived on and consumed nothing any more.
pub(super) fn dead_consumer(world: &World, line: &Quarantine) -> Option<Violation> {
    let limit = limit_m_us(world, line.at.m_us)?;
    let is_edge = world.name(line.at.process).starts_with("edge");
    let dead = is_edge && lives(world, &line.at, limit) && !consumes(world, &line.at, line.at.m_us, limit);
    dead.then(|| Violation::new("nothing was consumed after a poison record").line(line.at))
}

/// The end of the quiet times within which poison must be put aside, if the run says anything about it.
pub(super) fn limit_m_us(world: &World, from_m_us: u64) -> Option<u64> {
    let span = world.run.quarantine_us;
    let limit = world.faults.quiet_after(from_m_us, span)?.saturating_add(span);
    (limit < world.last_m_us).then_some(limit)
}

fn lives(world: &World, life: &At, from_m_us: u64) -> bool {
    any(&world.log.leases, life, from_m_us, u64::MAX)
        || any(&world.log.opens, life, from_m_us, u64::MAX)
        || any(&world.log.answers, life, from_m_us, u64::MAX)
}

fn consumes(world: &World, life: &At, from_m_us: u64, to_m_us: u64) -> bool {
    any(&world.log.canaries, life, from_m_us, to_m_us)
        || any(&world.log.taken, life, from_m_us, to_m_us)
        || any(&world.log.writes, life, from_m_us, to_m_us)
}

/// The same life of a process wrote such a line within these moments.
fn any<T: Placed>(lines: &[T], of: &At, from_m_us: u64, to_m_us: u64) -> bool {
    let start = lines.partition_point(|line| line.at().m_us <= from_m_us);
    lines[start..]
        .iter()
        .take_while(|line| line.at().m_us <= to_m_us)
        .any(|line| line.at().same_process(of))
}
