//! The timers: once a second every slot is asked for what is due. Every router does so; a script that finds
//! its work done by another one does nothing.
//!
//! A cycle over the slots begins with a look at all of them, since most have nothing to ask for: waking up for each of them
//! is what a router without work would spend its time on. Those that want a round have one at a moment of their own,
//! whether the one before has answered or not: a script that comes meanwhile waits in Redis for one slot's round at
//! most, and what is claimed comes spread over the second. The order is this router's own, so routers do not run in step.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chassis::{Period, every};
use domain::ids::Slot;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use store::StoreError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::account;
use crate::engine::Engine;
use crate::precedence::Haste;
use crate::slots::MOST_PATIENT;

/// Timers of one call, as many as a patient call has events: whoever is in a hurry waits behind it, and where many
/// commands expire together each of these calls is full.
const LIMIT: usize = MOST_PATIENT;
/// From the first slot's moment in a cycle to the last one's.
const SPREAD: Duration = Duration::from_millis(900);
/// From the end of a cycle to the next one, so that a slot's rounds are about a second apart and never two, which
/// the store would take for a stall.
const PAUSE: Period = Period {
    every: Duration::from_millis(80),
    jitter: 0.25,
};
/// Each so many cycles one goes without a look: its rounds forget what is listed beyond its retention.
const WHOLE: usize = 16;
/// Slots of one look, which keeps Redis for less than a millisecond then.
const LOOKED_AT: usize = 64;

/// Asks for ever, until `token` is cancelled.
pub async fn run(engine: Arc<Engine>, token: CancellationToken) {
    let first = SPREAD.mul_f64(rand::random());
    if token.run_until_cancelled(sleep(first)).await.is_none() {
        return;
    }
    let mut slots: Vec<Slot> = engine.store.all_slots().collect();
    slots.shuffle(&mut rand::rng());
    let mut cycles = (0..WHOLE).cycle();
    every(PAUSE, &token, "due", || {
        let whole = cycles.next() == Some(0);
        let (engine, slots, token) = (&engine, &slots, &token);
        async move {
            let wanted = match whole {
                true => slots.iter().copied().collect(),
                false => wanted(engine, slots).await,
            };
            cycle(slots, &wanted, token, |slot| slot_round(engine, slot)).await
        }
    })
    .await;
}

/// The slots among these that want a round: all where that cannot be told, so that a round says what is wrong.
async fn wanted(engine: &Engine, slots: &[Slot]) -> HashSet<Slot> {
    let mut wanted = HashSet::new();
    for slots in slots.chunks(LOOKED_AT) {
        let entry = engine.precedence.enter_round().await;
        let looks = engine.store.look_at(slots).await;
        drop(entry);
        let Ok(Some(looks)) = looks else {
            wanted.extend(slots);
            continue;
        };
        for look in looks {
            engine.hub.told(look.slot, look.outbox_numbers);
            wanted.extend(look.wants_round.then_some(look.slot));
        }
    }
    wanted
}

/// Asks those slots that are wanted, each at its moment. One that fails does not keep the others from their round; the
/// first failure is reported. However few there are, and however soon they answer, a cycle takes its time; once `token`
/// is cancelled it begins no round.
async fn cycle<F>(
    slots: &[Slot],
    wanted: &HashSet<Slot>,
    token: &CancellationToken,
    ask: impl Fn(Slot) -> F,
) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let gap = SPREAD / u32::try_from(slots.len()).unwrap_or(u32::MAX).max(1);
    let (ask, moments) = (&ask, (0..).zip(slots));
    let rounds = moments
        .filter(|(_, slot)| wanted.contains(slot))
        .map(|(n, slot)| async move {
            match token.run_until_cancelled(sleep(gap * n)).await {
                Some(()) => ask(*slot).await,
                None => Ok(()),
            }
        });
    let (rounds, _) = tokio::join!(join_all(rounds), token.run_until_cancelled(sleep(SPREAD)));
    rounds.into_iter().collect()
}

/// Everything that is due in a slot.
async fn slot_round(engine: &Engine, slot: Slot) -> Result<(), StoreError> {
    loop {
        let late_us = engine.breaker.leaves_timers_us();
        let entry = engine.precedence.enter_round().await;
        let asked_us = engine.clock.now_us();
        let mut reply = engine.store.run_overdue(slot, LIMIT, late_us).await?;
        drop(entry);
        account::swept(&reply.value.handled, reply.redis_now);
        let claimed = std::mem::take(&mut reply.value.claimed);
        engine.follow_up(slot, asked_us, &reply, claimed);
        engine.hub.told(slot, reply.value.outbox_numbers);
        if reply.value.outbox > 0 || reply.value.notes > 0 {
            engine.wakes.wake(slot, Haste::Patient);
        }
        if reply.value.handled.len() < LIMIT {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_rounds_of_a_slot_are_far_from_the_two_seconds_that_count_as_a_stall() {
        let period = SPREAD + PAUSE.every.mul_f64(1.0 + PAUSE.jitter);
        assert!(period < Duration::from_millis(1_500));
    }

    /// When each slot was asked in a cycle over four, and how long that took.
    async fn asked(wanted: &[u16], token: &CancellationToken) -> (Vec<(Slot, Duration)>, Duration, bool) {
        let (begun, asked) = (Instant::now(), Mutex::new(Vec::new()));
        let ask = |slot: Slot| {
            asked.lock().unwrap().push((slot, begun.elapsed()));
            async move {
                match slot {
                    Slot(0) => Err(StoreError::OutOfMemory),
                    _ => Ok(()),
                }
            }
        };
        let slots: Vec<_> = (0..4).map(Slot).collect();
        let wanted = wanted.iter().copied().map(Slot).collect();
        let failed = cycle(&slots, &wanted, token, ask).await.is_err();
        let asked = asked.into_inner().unwrap();
        (asked, begun.elapsed(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_has_the_same_moment_whichever_others_are_asked_and_a_cycle_takes_its_time() {
        let token = CancellationToken::new();
        let at = |n: u16| (Slot(n), SPREAD / 4 * u32::from(n));
        let all = (0..4).map(at).collect();
        assert_eq!(asked(&[0, 1, 2, 3], &token).await, (all, SPREAD, true));
        assert_eq!(asked(&[1, 3], &token).await, (vec![at(1), at(3)], SPREAD, false));
        assert_eq!(asked(&[], &token).await, (vec![], SPREAD, false));
    }

    #[tokio::test(start_paused = true)]
    async fn no_round_begins_at_the_end() {
        let token = CancellationToken::new();
        let end = async {
            sleep(SPREAD / 3).await;
            token.cancel();
        };
        let ((asked, took, _), ()) = tokio::join!(asked(&[0, 1, 2, 3], &token), end);
        assert_eq!((asked.len(), took), (2, SPREAD / 3));
    }
}
