//! Invariant 21: a ready edge has consumed a canary on each lane within the bound.
//!
//! Evidence: the `ready` and `canary` lines of the edges, each life of a process by itself. Judged: when an edge becomes
//! ready, and all the time until it says that it is not any more, the last canary of either lane is no older than
//! `canary_ms`. Exercised: an edge became ready, or ceased to be. Allowed: ε, readiness that is taken back within ε,
//! a second between two looks of the edge at its canaries, and the pauses of the process; after its last line a
//! process is not judged.

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::{At, Canary, Lane, Ready};
use crate::symbols::Sym;
use crate::world::World;

/// How often an edge looks at the age of its canaries, at the least.
const LOOK_US: u64 = 1_000_000;

/// One life of an edge: what it told, in order.
#[derive(Default)]
struct Life {
    ready: Option<At>,
    canaries: [Option<At>; 2],
}

/// A line that matters here.
enum Told<'a> {
    Ready(&'a Ready),
    Canary(&'a Canary),
}

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    let mut told: Vec<(At, Told)> = world
        .log
        .readies
        .iter()
        .filter(|line| !is_flicker(world, line))
        .map(|line| (line.at, Told::Ready(line)))
        .chain(
            world
                .log
                .canaries
                .iter()
                .map(|line| (line.at, Told::Canary(line))),
        )
        .collect();
    told.sort_by_key(|(at, _)| (at.m_us, at.file, at.line));
    let mut lives: HashMap<(Sym, u32), Life> = HashMap::new();
    for (at, line) in told {
        if !world.name(at.process).starts_with("edge") {
            continue;
        }
        let life = lives.entry((at.process, at.pid)).or_default();
        match line {
            Told::Ready(ready) => turned(world, life, ready, &mut judgement),
            Told::Canary(canary) => {
                let lane = usize::from(canary.lane == Lane::Urgent);
                if life.ready.is_some() {
                    look(world, life, lane, &at, &mut judgement);
                }
                life.canaries[lane] = Some(at);
            }
        }
    }
    judgement
}

/// It was taken back within ε: a service that has not named all its conditions yet waits for none.
fn is_flicker(world: &World, ready: &Ready) -> bool {
    let until = ready.at.m_us.saturating_add(world.run.epsilon_us);
    let mut own = world.log.readies.iter().filter(|r| r.at.same_process(&ready.at));
    ready.value && own.any(|r| !r.value && r.at.m_us >= ready.at.m_us && r.at.m_us <= until)
}

fn turned(world: &World, life: &mut Life, ready: &Ready, judgement: &mut Judgement) {
    if ready.value == life.ready.is_some() {
        return;
    }
    judgement.seen();
    if ready.value {
        life.ready = Some(ready.at);
    }
    for lane in [0, 1] {
        look(world, life, lane, &ready.at, judgement);
    }
    if !ready.value {
        life.ready = None;
    }
}

/// The lane's last canary must be young enough.
fn look(world: &World, life: &Life, lane: usize, now: &At, judgement: &mut Judgement) {
    let name = ["normal", "urgent"][lane];
    let Some(last) = life.canaries[lane] else {
        let what = format!("ready without a canary on the {name} lane");
        judgement.broken(Violation::new(what).line(*now));
        return;
    };
    let allowed = world
        .run
        .canary_us
        .saturating_add(LOOK_US)
        .saturating_add(world.allowance(now, last.m_us));
    let age = now.m_us.saturating_sub(last.m_us);
    if age > allowed {
        let what = format!("ready while the {name} lane's canary was {} ms old", age / 1_000);
        judgement.broken(Violation::new(what).line(last).line(*now));
    }
}
