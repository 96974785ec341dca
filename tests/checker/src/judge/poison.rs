//! Invariant 20: a poison record is quarantined, the offset advances, the consumer lives.
//!
//! Evidence: the faults that put one on a topic, the `quarantine` lines of edges and routers, and what the same process
//! consumes afterwards (canaries, records taken, writes). Exercised: each quarantine.
//! Judged: a poison record of a known place is quarantined within `quarantine_ms` of quiet times; a life of a process
//! quarantines a place once; an edge that lives on for that long in quiet times consumes something. Routers consume no
//! topic, so of them only the first two are judged. Allowed: nothing else.

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::{At, Placed, Quarantine};
use crate::symbols::Sym;
use crate::world::World;

/// A place on a topic, as one life of a process met it.
type Met = (Sym, u32, Sym, i64, i64);

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    let mut first: HashMap<Met, &Quarantine> = HashMap::new();
    for line in &world.log.quarantines {
        judgement.seen();
        let place = (
            line.at.process,
            line.at.pid,
            line.topic,
            line.partition,
            line.offset,
        );
        if let Some(before) = first.insert(place, line) {
            judgement.broken(
                Violation::new("met again after it was put aside: the offset did not advance")
                    .line(before.at)
                    .line(line.at),
            );
        }
        if let Some(violation) = dead_consumer(world, line) {
            judgement.broken(violation);
        }
    }
    for inject in &world.log.injects {
        let Some((topic, partition, offset)) = inject.place else {
            continue;
        };
        let aside = |q: &&Quarantine| (q.topic, q.partition, q.offset) == (topic, partition, offset);
        let limit = limit_m_us(world, inject.at.m_us);
        let met = world.log.quarantines.iter().find(aside).map(|q| q.at.m_us);
        if limit.is_some_and(|limit| met.is_none_or(|m_us| m_us > limit)) {
            judgement.broken(Violation::new("a poison record was not put aside").line(inject.at));
        }
    }
    judgement
}

/// The edge lived on and consumed nothing any more.
fn dead_consumer(world: &World, line: &Quarantine) -> Option<Violation> {
    let limit = limit_m_us(world, line.at.m_us)?;
    let is_edge = world.name(line.at.process).starts_with("edge");
    let lives = any(&world.log.leases, &line.at, limit, u64::MAX)
        || any(&world.log.opens, &line.at, limit, u64::MAX)
        || any(&world.log.answers, &line.at, limit, u64::MAX);
    let consumes = any(&world.log.canaries, &line.at, line.at.m_us, limit)
        || any(&world.log.taken, &line.at, line.at.m_us, limit)
        || any(&world.log.writes, &line.at, line.at.m_us, limit);
    (is_edge && lives && !consumes)
        .then(|| Violation::new("nothing was consumed after a poison record").line(line.at))
}

/// The same life of a process wrote such a line within these moments.
fn any<T: Placed>(lines: &[T], of: &At, from_m_us: u64, to_m_us: u64) -> bool {
    let start = lines.partition_point(|line| line.at().m_us <= from_m_us);
    lines[start..]
        .iter()
        .take_while(|line| line.at().m_us <= to_m_us)
        .any(|line| line.at().same_process(of))
}

fn limit_m_us(world: &World, from_m_us: u64) -> Option<u64> {
    let span = world.run.quarantine_us;
    let limit = world.faults.quiet_after(from_m_us, span)?.saturating_add(span);
    (limit < world.last_m_us).then_some(limit)
}
