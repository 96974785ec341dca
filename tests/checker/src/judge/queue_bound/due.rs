//! Whether a refusal for the bound of a charger's queue was due: from below by what was surely open throughout the call,
//! from above by what may have been open at any moment of it.

use std::collections::HashMap;

use super::super::{Judgement, Violation};
use crate::event::{Call, Reply};
use crate::symbols::Sym;
use crate::world::World;
use crate::world::commands::Command;

/// Codes after which the call has surely not been accepted.
const REFUSALS: [&str; 5] = [
    "invalidargument",
    "notfound",
    "alreadyexists",
    "failedprecondition",
    "unimplemented",
];

/// Judges each refusal.
pub(super) fn judge(world: &World, judgement: &mut Judgement) {
    let calls: HashMap<(Sym, u64), &Call> = world
        .log
        .calls
        .iter()
        .map(|call| ((call.at.process, call.n), call))
        .collect();
    let mut lives = None;
    for reply in world.log.replies.iter().filter(|r| is_for_the_queue(world, r)) {
        let Some(call) = calls.get(&(reply.at.process, reply.n)) else {
            continue;
        };
        if bound_told(world, reply).is_some_and(|told| told != world.run.max_open) {
            let violation = Violation::new("refused for another bound than is set");
            judgement.broken(violation.charger(call.cp).line(call.at).line(reply.at));
        }
        let lives: &HashMap<Sym, Vec<Life>> = lives.get_or_insert_with(|| lives_of(world));
        let own = lives.get(&call.cp).map_or(&[][..], |own| own);
        let (from, to) = (call.at.m_us, reply.at.m_us);
        let surely = own.iter().filter(|life| life.surely_covers(from, to)).count() as u64;
        let perhaps = own.iter().filter(|life| life.may_touch(from, to)).count() as u64;
        if surely >= world.run.max_open {
            judgement.seen();
        } else if perhaps < world.run.max_open && says_so(world, reply) && !world.may_be_forgotten(from) {
            let what = format!("refused for the bound, and {perhaps} commands were open at most");
            judgement.broken(Violation::new(what).charger(call.cp).line(call.at).line(reply.at));
        }
    }
}

/// A refusal for the bound of the charger's queue, or one that does not say why: a connection that is given up because of
/// too many calls ends them by the same code, and so does a full outbox.
pub(super) fn is_for_the_queue(world: &World, reply: &Reply) -> bool {
    let perhaps = says_so(world, reply) || world.name(reply.why).is_empty();
    !reply.ok && perhaps && world.name(reply.code) == "resourceexhausted"
}

/// It names the open commands of the charger as the reason.
fn says_so(world: &World, reply: &Reply) -> bool {
    world.name(reply.why).contains("open commands")
}

/// The call has surely not been accepted. A broken connection may look like an exhausted resource, too: only what says
/// which bound it was for comes from the store.
fn is_certain(world: &World, reply: &Reply) -> bool {
    let full = says_so(world, reply) || world.name(reply.why).contains("results wait");
    REFUSALS.contains(&world.name(reply.code)) || full
}

/// The bound that a refusal names.
fn bound_told(world: &World, reply: &Reply) -> Option<u64> {
    let mut words = world.name(reply.why).split(|c: char| !c.is_ascii_digit());
    words.find_map(|word| word.parse().ok())
}

/// When a command, or what may have become one, was open.
struct Life {
    /// It cannot have been accepted before.
    called: u64,
    /// It was accepted by then, if it ever was.
    accepted: Option<u64>,
    /// It may have ended from then on.
    ends: Option<u64>,
    /// It had ended by then.
    ended: Option<u64>,
}

impl Life {
    fn surely_covers(&self, from_m_us: u64, to_m_us: u64) -> bool {
        self.accepted.is_some_and(|m_us| m_us <= from_m_us) && self.ends.is_none_or(|m_us| m_us >= to_m_us)
    }

    fn may_touch(&self, from_m_us: u64, to_m_us: u64) -> bool {
        self.called <= to_m_us && self.ended.is_none_or(|m_us| m_us >= from_m_us)
    }
}

/// The lives of each charger's commands.
fn lives_of(world: &World) -> HashMap<Sym, Vec<Life>> {
    let mut lives: HashMap<Sym, Vec<Life>> = HashMap::new();
    let mut first: HashMap<(Sym, Sym), u64> = HashMap::new();
    for call in world.log.calls.iter().filter(|call| !call.key.is_none()) {
        first.entry((call.cp, call.key)).or_insert(call.at.m_us);
    }
    for command in &world.commands {
        let Some(accepted) = command.accepted(world) else {
            continue;
        };
        let (cp, key) = (accepted.call.cp, accepted.call.key);
        let called = first.remove(&(cp, key)).unwrap_or(accepted.call.at.m_us);
        lives.entry(cp).or_default().push(Life {
            called,
            accepted: Some(accepted.reply.at.m_us),
            ends: super::ended_m_us(world, command),
            ended: ended_by_m_us(world, command),
        });
    }
    for (cp, called) in indeterminate(world, &first) {
        lives.entry(cp).or_default().push(Life {
            called,
            accepted: None,
            ends: None,
            ended: None,
        });
    }
    lives
}

/// Calls that nobody can tell the outcome of: a key of which no call was accepted and one was not refused for certain,
/// and each such call without a key.
fn indeterminate(world: &World, keys: &HashMap<(Sym, Sym), u64>) -> Vec<(Sym, u64)> {
    let replies = world.replies();
    let unsure = |call: &&Call| {
        let reply = replies.get(&(call.at.process, call.n));
        reply.is_none_or(|r| !r.ok && !is_certain(world, r))
    };
    let mut found: HashMap<(Sym, Sym, u64), (Sym, u64)> = HashMap::new();
    for call in world.log.calls.iter().filter(unsure) {
        if call.key.is_none() {
            found.insert((call.cp, call.key, call.n), (call.cp, call.at.m_us));
        } else if let Some(&called) = keys.get(&(call.cp, call.key)) {
            found.insert((call.cp, call.key, 0), (call.cp, called));
        }
    }
    found.into_values().collect()
}

/// The latest moment at which it may have ended.
fn ended_by_m_us(world: &World, command: &Command) -> Option<u64> {
    let end = command.end()?;
    let by_redis = end.redis_us.and_then(|us| world.clock.machine_at_most(us));
    Some(
        by_redis
            .map_or(end.at.m_us, |m_us| m_us.min(end.at.m_us))
            .saturating_add(world.run.epsilon_us),
    )
}
