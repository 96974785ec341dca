//! What registry sweepers repair: each repair is a compare-and-set, so of two sweepers one makes it, none makes it twice,
//! and neither takes from the living. Judged: the registration of one version, or the record of one life of a pod, is
//! ended once; a repair of anything else is not made twice within a millisecond of Redis time; what was ended was not
//! replaced by a newer version before, and its life's lease was not held, by the word of the store and by its edge's;
//! a pass that came to its end leaves no record of a pod that had been dead for `forget_pod_ms` when it began. What a
//! sweeper mends that only a bug can break is invariant 16's. Allowed: ε between the clocks of two processes.

use std::collections::HashMap;

use super::super::{Judgement, Violation};
use super::within_a_moment;
use crate::event::{At, Repair};
use crate::symbols::Sym;
use crate::world::World;

/// Judges the repairs, and counts the passes that overlapped.
pub(super) fn judge(world: &World, judgement: &mut Judgement) {
    let passes = passes(world);
    judgement.exercised += overlapping(&passes);
    let applied: Vec<&Repair> = world.log.repairs.iter().filter(|r| r.applied).collect();
    let derived = applied.iter().filter(|r| !ends_something(r));
    let moments = derived.map(|r| ((r.what, r.about), r.now_us, r.at)).collect();
    for (_, first, later) in within_a_moment(moments) {
        judgement.broken(
            Violation::new("one repair was made twice")
                .line(first)
                .line(later),
        );
    }
    let mut made: HashMap<(Sym, Sym, u64, u64), At> = HashMap::new();
    for repair in applied.into_iter().filter(|r| ends_something(r)) {
        let what = (repair.what, repair.about, repair.inc, repair.version);
        if let Some(first) = made.insert(what, repair.at) {
            judgement.broken(
                Violation::new("one repair was made twice")
                    .line(first)
                    .line(repair.at),
            );
        }
        if let Some(violation) = taken_from_the_living(world, repair) {
            judgement.broken(violation.line(repair.at));
        }
    }
    left_lying(world, &passes, judgement);
}

/// It ends a registration or a pod's record, and names its life.
fn ends_something(repair: &Repair) -> bool {
    repair.inc > 0
}

/// The passes that came to their end, each from the beginning on.
fn passes(world: &World) -> Vec<(At, At)> {
    let mut begun: HashMap<(Sym, u32), At> = HashMap::new();
    let mut passes = Vec::new();
    for line in &world.log.passes {
        let life = (line.at.process, line.at.pid);
        if line.begins {
            begun.insert(life, line.at);
        } else if let Some(from) = begun.remove(&life) {
            passes.push((from, line.at));
        }
    }
    passes
}

/// How many pairs of passes were under way at once.
fn overlapping(passes: &[(At, At)]) -> u64 {
    let pairs = passes
        .iter()
        .enumerate()
        .flat_map(|(i, a)| passes[..i].iter().map(move |b| (a, b)));
    let at_once = pairs.filter(|(a, b)| a.0.m_us <= b.1.m_us && b.0.m_us <= a.1.m_us);
    at_once.count() as u64
}

/// What was ended had a successor, or its life's lease was held.
fn taken_from_the_living(world: &World, repair: &Repair) -> Option<Violation> {
    let newer = world.charger(repair.about).and_then(|charger| {
        let mut registered = charger.registered(world);
        registered.find(|r| r.version > repair.version && r.now_us < repair.now_us)
    });
    if let Some(newer) = newer.filter(|_| repair.version > 0) {
        return Some(Violation::new("a repair ended a newer registration than it had seen").line(newer.at));
    }
    let given = world.log.leased.iter().find(|l| {
        let before = l.at.m_us <= repair.at.m_us;
        before && (l.pod, l.inc) == (repair.pod, repair.inc) && l.expires_us > repair.now_us
    });
    let held = world.log.leases.iter().find(|l| {
        let by_now = l.at.m_us <= repair.at.m_us;
        by_now
            && (l.at.process, l.inc) == (repair.pod, repair.inc)
            && l.until_m_us > repair.at.m_us.saturating_add(world.run.epsilon_us)
    });
    let line = given.map(|l| l.at).or(held.map(|l| l.at))?;
    Some(Violation::new("a repair took from a life whose lease was held").line(line))
}

/// A pass came to its end, and the record of a pod that was dead for long when it began is still there.
fn left_lying(world: &World, passes: &[(At, At)], judgement: &mut Judgement) {
    let last = passes
        .iter()
        .filter_map(|(from, to)| Some((world.clock.redis_at_least(from.m_us)?, to)));
    let Some((began_us, end)) = last.max_by_key(|(began_us, _)| *began_us) else {
        return;
    };
    for (&pod, &until_us) in &world.dump.pods {
        if until_us.saturating_add(world.run.forget_pod_us) < began_us {
            let what = format!("a pass left the record of {}, dead for long", world.name(pod));
            judgement.broken(Violation::new(what).line(*end));
        }
    }
}
