//! Invariants 2 and 3: what an idempotency key means.
//!
//! Evidence: the caller's calls and replies by charger and key. 2: all replies OK of one key and content name one
//! command. Exercised: a call failed without a final word, or was never answered, and a later one with its key was
//! answered OK. 3: one key is never answered OK for two contents, and once a content was accepted another one is
//! refused with ALREADY_EXISTS, or fails without a word. Exercised: a call with another content came after such an
//! acceptance. Allowed: under `relaxed` a key may be forgotten with its command.

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::{Call, Reply};
use crate::symbols::Sym;
use crate::world::World;

/// Codes after which nothing was accepted.
const FINAL: [&str; 6] = [
    "invalidargument",
    "alreadyexists",
    "resourceexhausted",
    "failedprecondition",
    "notfound",
    "unimplemented",
];

/// A call with its reply, if there was one.
type Try<'a> = (&'a Call, Option<&'a Reply>);

/// What a key stands for.
type Content = (Sym, Sym, bool);

/// Judges invariant 2.
pub(super) fn judge_same(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for tries in by_key(world).values() {
        let unsettled = tries.iter().position(|(_, reply)| is_open(world, *reply));
        let settled = tries.iter().rposition(|(_, reply)| reply.is_some_and(|r| r.ok));
        if unsettled.zip(settled).is_some_and(|(u, s)| u < s) {
            judgement.seen();
        }
        let mut first: HashMap<Content, &Reply> = HashMap::new();
        for (call, reply) in accepted(tries) {
            let known = *first.entry(content(call)).or_insert(reply);
            if known.id != reply.id && !world.may_be_forgotten(known.at.m_us) {
                judgement.broken(
                    Violation::new("one key, two commands")
                        .command(reply.id)
                        .charger(call.cp)
                        .line(known.at)
                        .line(reply.at),
                );
            }
        }
    }
    judgement
}

/// Judges invariant 3.
pub(super) fn judge_other(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for tries in by_key(world).values() {
        let Some((first_call, first)) = accepted(tries).min_by_key(|(_, reply)| reply.at.m_us) else {
            continue;
        };
        for (call, reply) in tries {
            let Some(reply) = reply.filter(|_| content(call) != content(first_call)) else {
                continue;
            };
            if call.at.m_us > first.at.m_us && (reply.ok || world.name(reply.code) == "alreadyexists") {
                judgement.seen();
            }
            if reply.ok && !world.may_be_forgotten(first.at.m_us) {
                judgement.broken(
                    Violation::new("one key, two contents, both accepted")
                        .command(reply.id)
                        .charger(call.cp)
                        .line(first.at)
                        .line(reply.at),
                );
            }
        }
        refused_itself(world, tries, &mut judgement);
    }
    judgement
}

/// A key that only ever had one content cannot be taken by another.
fn refused_itself(world: &World, tries: &[Try], judgement: &mut Judgement) {
    let one_content = tries
        .windows(2)
        .all(|pair| content(pair[0].0) == content(pair[1].0));
    for (call, reply) in tries.iter().filter(|_| one_content) {
        if let Some(reply) = reply.filter(|r| !r.ok && world.name(r.code) == "alreadyexists") {
            judgement.broken(
                Violation::new("a key is refused for the only content it ever had")
                    .charger(call.cp)
                    .line(call.at)
                    .line(reply.at),
            );
        }
    }
}

fn by_key(world: &World) -> HashMap<(Sym, Sym), Vec<Try<'_>>> {
    let replies = world.replies();
    let mut keys: HashMap<(Sym, Sym), Vec<Try>> = HashMap::new();
    for call in world.log.calls.iter().filter(|call| !call.key.is_none()) {
        let reply = replies.get(&(call.at.process, call.n)).copied();
        keys.entry((call.cp, call.key)).or_default().push((call, reply));
    }
    keys
}

fn accepted<'a, 'b>(tries: &'b [Try<'a>]) -> impl Iterator<Item = (&'a Call, &'a Reply)> + 'b {
    tries
        .iter()
        .filter_map(|(call, reply)| Some((*call, reply.filter(|r| r.ok)?)))
}

/// Nobody knows whether the call was accepted.
fn is_open(world: &World, reply: Option<&Reply>) -> bool {
    reply.is_none_or(|r| !r.ok && !FINAL.contains(&world.name(r.code)))
}

fn content(call: &Call) -> Content {
    (call.action, call.payload, call.is_unsafe)
}
