//! Invariant 24: two sweepers at once are safe; every repair is a compare-and-set.
//!
//! Evidence: the rounds over due timers that every router makes (`swept` lines, and `applied` ones of timers and
//! deadlines), and the passes of the registry sweepers with each `repair` they tried. Exercised: two rounds within the
//! same second; two passes that overlapped and both came to their end. Judged: one timer or deadline of a command takes
//! effect once, whoever looks at it: no two processes handle one within a millisecond of Redis time, in which no timer
//! is set and due again, and no two apply an end; what sweepers repair is judged in `sweepers/repairs.rs`. Two rounds
//! further apart look like two timers. Allowed: under `relaxed`, what was done shortly before Redis was lost; and the
//! deadline of an unsafe command, which is noted once, before its timer, where a stall made both due.

mod repairs;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::{Judgement, Violation};
use crate::event::{Applied, At, Kind, State, Verdict};
use crate::symbols::Sym;
use crate::world::World;

/// Sweepers that work within this long work at once.
const AT_ONCE_US: u64 = 1_000_000;

/// What is handled twice within this long is one timer: the next one is not set and due again so soon.
const ONE_TIMER_US: u64 = 1_000;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement {
        exercised: at_once(world),
        ..Judgement::default()
    };
    for command in &world.commands {
        let swept: Vec<&Applied> = command.applied(world).filter(|a| is_sweep(a)).collect();
        for (i, later) in swept.iter().enumerate() {
            let twice = swept[..i].iter().find(|first| is_twice(first, later));
            if let Some(first) = twice.filter(|first| !world.may_be_forgotten(first.at.m_us)) {
                judgement.broken(
                    Violation::new("two sweepers fired the same timer")
                        .command(command.id)
                        .charger(command.charger(world))
                        .line(first.at)
                        .line(later.at),
                );
            }
        }
    }
    let handled = world.log.swept.iter().map(|s| (s.id, s.now_us, s.at));
    for (id, first, later) in within_a_moment(handled.collect()) {
        let excused = || world.may_be_forgotten(first.m_us) || notes_a_deadline(world, id, first);
        if !first.same_process(&later) && !excused() {
            let violation = Violation::new("two rounds handled the same timer at once");
            judgement.broken(violation.command(id).line(first).line(later));
        }
    }
    repairs::judge(world, &mut judgement);
    judgement
}

/// Neighbours in Redis time about the same thing, close enough to be about one timer.
fn within_a_moment<K: Copy + Eq + Hash>(mut lines: Vec<(K, u64, At)>) -> Vec<(K, At, At)> {
    lines.sort_by_key(|(_, now_us, at)| (*now_us, at.m_us));
    let mut last: HashMap<K, (u64, At)> = HashMap::new();
    let pairs = lines.into_iter().filter_map(|(what, now_us, at)| {
        let (before_us, before) = last.insert(what, (now_us, at))?;
        (now_us - before_us < ONE_TIMER_US).then_some((what, before, at))
    });
    pairs.collect()
}

/// A round came first since the deadline of an unsafe command: it may have noted that, and left the timer to the next.
fn notes_a_deadline(world: &World, id: Sym, round: At) -> bool {
    let Some(command) = world.command(id).filter(|c| c.is_unsafe(world)) else {
        return false;
    };
    let Some(deadline) = command.deadline_us(world) else {
        return false;
    };
    let rounds = world.log.swept.iter().filter(|s| s.id == id);
    let since = rounds.filter(|s| s.now_us >= deadline);
    since
        .min_by_key(|s| (s.now_us, s.at.m_us))
        .is_some_and(|first| first.at == round)
}

fn is_sweep(applied: &Applied) -> bool {
    let effective = matches!(applied.verdict, Verdict::Applied | Verdict::Noted);
    effective && matches!(applied.kind, Kind::Timer | Kind::Deadline)
}

/// Two processes made the same thing happen.
fn is_twice(first: &Applied, later: &Applied) -> bool {
    let same = first.kind == later.kind && first.dispatch == later.dispatch;
    let both_end = first.status.is_some_and(State::is_terminal) && first.status == later.status;
    !first.at.same_process(&later.at)
        && same
        && (both_end || first.now_us.abs_diff(later.now_us) < ONE_TIMER_US)
}

/// The seconds in which two rounds were made.
fn at_once(world: &World) -> u64 {
    let rounds = world.log.applied.iter().filter(|a| is_sweep(a)).map(|a| a.at);
    let rounds = rounds.chain(world.log.swept.iter().map(|s| s.at));
    let mut seconds: HashMap<u64, HashSet<(Sym, u32)>> = HashMap::new();
    for at in rounds {
        let second = at.m_us / AT_ONCE_US;
        seconds.entry(second).or_default().insert((at.process, at.pid));
    }
    seconds.values().filter(|sweepers| sweepers.len() > 1).count() as u64
}
