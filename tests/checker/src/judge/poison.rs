//! Invariant 20: a poison record is quarantined, the offset advances, the consumer lives.
//!
//! Evidence: the faults that put one on a topic, the `quarantine` lines, and what the same process consumes afterwards.
//! Canaries tell their place: a life of an edge that met one before and the next one behind the poison, on the same
//! partition, has consumed the poison as well, whatever else happened. Judged: it put aside exactly that topic,
//! partition and offset, once; nothing is put aside that nobody injected (a good record would be lost); an edge that
//! lives on for `quarantine_ms` in quiet times consumes something (`poison/alive.rs`). Exercised: each quarantine, and
//! each poison record that an edge passed. Where canaries do not tell their place, a poison record of a known place must
//! be put aside by anybody within `quarantine_ms` of quiet times. Routers consume no topic. Allowed: what was put on a
//! topic while Kafka was disturbed may lie there twice, or at a place that nobody was told.

mod alive;

use std::collections::{HashMap, HashSet};

use super::{Judgement, Violation};
use crate::event::{At, Canary, Inject, Lane, Place, Quarantine};
use crate::symbols::Sym;
use crate::world::World;
use crate::world::faults::Class;

/// A life of a process.
type Life = (Sym, u32);

/// How long a doubled record may have been under way.
const PUTTING_US: u64 = 20_000_000;

/// How far behind the first a doubled record lies at most.
const DOUBLED: i64 = 3;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    let mut aside: HashMap<(Life, Place), &Quarantine> = HashMap::new();
    let injected: HashSet<Place> = world.log.injects.iter().filter_map(|i| i.place).collect();
    for line in &world.log.quarantines {
        judgement.seen();
        if let Some(before) = aside.insert((life(&line.at), place(line)), line) {
            judgement.broken(
                Violation::new("met again after it was put aside: the offset did not advance")
                    .line(before.at)
                    .line(line.at),
            );
        }
        if !injected.contains(&place(line)) && !is_unplaced(world, line) {
            judgement.broken(Violation::new("put aside, and nobody had injected it").line(line.at));
        }
        if let Some(violation) = alive::dead_consumer(world, line) {
            judgement.broken(violation);
        }
    }
    let passages = Passages::of(world);
    for inject in &world.log.injects {
        let Some(place) = inject.place else {
            continue;
        };
        if passages.is_empty() {
            nowhere_aside(world, inject, place, &mut judgement);
        }
        for (life, behind) in passages.over(place) {
            judgement.seen();
            if !aside.contains_key(&(life, place)) {
                let violation = Violation::new("a poison record was consumed, and not put aside");
                judgement.broken(violation.line(inject.at).line(behind));
            }
        }
        alive::judge(world, inject, place, &mut judgement);
    }
    judgement
}

fn life(at: &At) -> Life {
    (at.process, at.pid)
}

fn place(line: &Quarantine) -> Place {
    (line.topic, line.partition, line.offset)
}

/// Poison lies where nobody was told: its producer gave up on an answer, or sent it twice.
fn is_unplaced(world: &World, line: &Quarantine) -> bool {
    world.log.injects.iter().any(|inject| {
        let since = inject.at.m_us.saturating_sub(PUTTING_US);
        let doubled = inject.place.is_none_or(|(topic, partition, offset)| {
            (topic, partition) == (line.topic, line.partition) && (line.offset - offset).abs() <= DOUBLED
        });
        let poison = world
            .faults
            .all
            .iter()
            .any(|f| f.at == inject.at && f.class == Class::Poison);
        let named = world.name(inject.kind).contains("poison");
        let unsure = inject.place.is_none() || world.faults.disturb(since, inject.at.m_us);
        poison && named && doubled && unsure && line.at.m_us >= since
    })
}

/// Nobody put it aside in time, of those that do not tell what they passed.
fn nowhere_aside(
    world: &World,
    inject: &Inject,
    (topic, partition, offset): Place,
    judgement: &mut Judgement,
) {
    let here = |q: &&Quarantine| place(q) == (topic, partition, offset);
    let met = world.log.quarantines.iter().find(here).map(|q| q.at.m_us);
    let limit = alive::limit_m_us(world, inject.at.m_us);
    if limit.is_some_and(|limit| met.is_none_or(|m_us| m_us > limit)) {
        judgement.broken(Violation::new("a poison record was not put aside").line(inject.at));
    }
}

/// Two canaries that a life met on a partition, one right after the other on its lane: it consumed what lies between.
struct Passage {
    life: Life,
    /// The offset of the first.
    from: i64,
    /// The offset of the second.
    to: i64,
    /// Where the second was told.
    behind: At,
}

/// All of them, by topic and partition.
struct Passages(HashMap<(Sym, i64), Vec<Passage>>);

impl Passages {
    fn of(world: &World) -> Self {
        let mut last: HashMap<(Life, bool), &Canary> = HashMap::new();
        let mut passages: HashMap<_, Vec<_>> = HashMap::new();
        for canary in &world.log.canaries {
            let Some((topic, partition, offset)) = canary.place else {
                continue;
            };
            let life = life(&canary.at);
            let before = last.insert((life, canary.lane == Lane::Urgent), canary);
            let before = before.and_then(|before| before.place);
            if let Some((_, _, from)) = before.filter(|b| (b.0, b.1) == (topic, partition)) {
                let list = passages.entry((topic, partition)).or_default();
                list.push(Passage {
                    life,
                    from,
                    to: offset,
                    behind: canary.at,
                });
            }
        }
        Self(passages)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lives that consumed a place, each with the canary behind it.
    fn over(&self, (topic, partition, offset): Place) -> impl Iterator<Item = (Life, At)> {
        let passages = self.0.get(&(topic, partition)).into_iter().flatten();
        let over = passages.filter(move |p| p.from < offset && offset < p.to);
        over.map(|p| (p.life, p.behind))
    }
}
