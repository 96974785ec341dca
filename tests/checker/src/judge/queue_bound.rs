//! Invariant 19: a charger's queue of open commands is bounded, and the overflow error comes before acceptance.
//!
//! Evidence: replies OK (a command counts as open from then on), ends (it counts until then, by the Redis time of the
//! end), and what refusals say. Judged: a charger never has more open commands than `max_open_per_charger`; a key whose
//! every call was refused for that bound is not in the dump; a refusal for that bound names it, and was due: counting
//! everything that may have been open while the call lasted, the bound was reached (`queue_bound/due.rs`). Exercised: a
//! refusal that was due for certain: so many were open throughout the call. One that says it is for another bound, such
//! as the outbox's, is neither. Allowed: ε; under `relaxed`, what Redis forgot.

mod due;

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::At;
use crate::symbols::Sym;
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    due::judge(world, &mut judgement);
    over_the_bound(world, &mut judgement);
    accepted_all_the_same(world, &mut judgement);
    judgement
}

fn over_the_bound(world: &World, judgement: &mut Judgement) {
    let mut steps: HashMap<Sym, Vec<(u64, i64, At)>> = HashMap::new();
    for command in &world.commands {
        let Some(accepted) = command.accepted(world) else {
            continue;
        };
        let from = accepted.reply.at;
        if world.may_be_forgotten(from.m_us) {
            continue;
        }
        let list = steps.entry(accepted.call.cp).or_default();
        list.push((from.m_us, 1, from));
        if let Some(until) = ended_m_us(world, command) {
            list.push((until.max(from.m_us), -1, from));
        }
    }
    let most = i64::try_from(world.run.max_open).unwrap_or(i64::MAX);
    for (cp, mut list) in steps {
        // At one moment the ends come first.
        list.sort_by_key(|&(m_us, step, _)| (m_us, step));
        let mut open = 0;
        for (_, step, at) in list {
            open += step;
            if step > 0 && open > most {
                judgement.broken(
                    Violation::new(format!("{open} open commands, {most} are allowed"))
                        .charger(cp)
                        .line(at),
                );
                break;
            }
        }
    }
}

/// The earliest moment at which it may have ended.
fn ended_m_us(world: &World, command: &Command) -> Option<u64> {
    let end = command.end()?;
    let by_redis = end.redis_us.and_then(|us| world.clock.machine_at_most(us));
    let told = by_redis.map_or(end.at.m_us, |m| m.min(end.at.m_us));
    Some(told.saturating_sub(world.run.epsilon_us))
}

fn accepted_all_the_same(world: &World, judgement: &mut Judgement) {
    let replies = world.replies();
    let mut keys: HashMap<(Sym, Sym), (bool, At)> = HashMap::new();
    for call in world.log.calls.iter().filter(|call| !call.key.is_none()) {
        let reply = replies.get(&(call.at.process, call.n));
        let refused = reply.is_some_and(|r| due::is_for_the_queue(world, r));
        let entry = keys.entry((call.cp, call.key)).or_insert((true, call.at));
        entry.0 &= refused;
    }
    for ((cp, key), (_, at)) in keys.into_iter().filter(|(_, (refused, _))| *refused) {
        let name = format!("{}:{}", world.name(cp), world.name(key));
        if world.dump.keys.contains(&name) {
            judgement.broken(
                Violation::new("refused for the bound, and stored all the same")
                    .charger(cp)
                    .line(at),
            );
        }
    }
}
