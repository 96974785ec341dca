//! Invariant 4: an end never changes, and there is one.
//!
//! Evidence: every line that tells of a command's end must tell the same state and reason, the same Redis time, and
//! on the results topic there is one record id per command; nothing is said to have changed it, and nobody reads it
//! as open, after its end. Exercised: something came for a command that had ended, and was told so. Allowed: under
//! `relaxed`, an end shortly before Redis was lost is taken back.

use super::{Judgement, Violation};
use crate::event::{Record, Verdict};
use crate::world::World;
use crate::world::commands::{Command, End};

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for command in &world.commands {
        let tried = command
            .applied(world)
            .filter(|a| a.verdict == Verdict::Ended)
            .count();
        judgement.exercised += tried as u64;
        let Some(end) = command.end() else {
            continue;
        };
        if world.may_be_forgotten(end.at.m_us) {
            continue;
        }
        let found = other_end(&command.ends(world))
            .or_else(|| two_records(world, command))
            .or_else(|| taken_back(world, command, &end));
        if let Some(violation) = found {
            judgement.broken(violation.command(command.id).charger(command.charger(world)));
        }
    }
    judgement
}

/// Two lines that tell of different ends.
fn other_end(ends: &[End]) -> Option<Violation> {
    let first = ends.first()?;
    let reason = ends.iter().find(|e| e.reason.is_some());
    let timed = ends.iter().find(|e| e.redis_us.is_some());
    for end in ends {
        if end.state != first.state {
            let what = format!("ended as {:?}, then as {:?}", first.state, end.state);
            return Some(Violation::new(what).line(first.at).line(end.at));
        }
        if let Some(known) = reason.filter(|r| end.reason.is_some() && end.reason != r.reason) {
            return Some(
                Violation::new("ended for two reasons")
                    .line(known.at)
                    .line(end.at),
            );
        }
        if let Some(known) = timed.filter(|t| end.redis_us.is_some() && end.redis_us != t.redis_us) {
            return Some(Violation::new("ended at two times").line(known.at).line(end.at));
        }
    }
    None
}

/// Two different records of its end on one topic.
fn two_records(world: &World, command: &Command) -> Option<Violation> {
    let mut first: [Option<&Record>; 2] = [None, None];
    for record in command.records(world) {
        let known = *first[usize::from(record.dead)].get_or_insert(record);
        if known.record_id != record.record_id || known.seq != record.seq {
            return Some(
                Violation::new("two different records of one end")
                    .line(known.at)
                    .line(record.at),
            );
        }
    }
    None
}

/// It was seen open, or changed, after it had ended.
fn taken_back(world: &World, command: &Command, end: &End) -> Option<Violation> {
    let read = command
        .gets(world)
        .find(|get| get.at.m_us > end.at.m_us && get.state.is_some_and(|s| !s.is_terminal()));
    if let Some(get) = read {
        return Some(
            Violation::new("ended, and then read as open")
                .line(end.at)
                .line(get.at),
        );
    }
    let ended_us = end.redis_us?;
    let changed = command.applied(world).find(|a| {
        a.verdict == Verdict::Applied && a.now_us > ended_us && a.status.is_some_and(|s| !s.is_terminal())
    });
    changed.map(|a| Violation::new("ended, and then changed").line(end.at).line(a.at))
}
