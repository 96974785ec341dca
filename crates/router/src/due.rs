//! The timers: once a second every slot is asked for what is due. Every router does so; a script that finds
//! its work done by another one does nothing.
//!
//! The slots take turns, in an order and at moments of this router's own: so routers do not run in step. Those of a turn
//! are asked one after the other, whether the one before has answered or not: a script that comes meanwhile waits in
//! Redis for one slot's round at most, and what is claimed comes spread over the second.

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
/// Turns until every slot has been asked.
const TURNS: usize = 4;
/// From the first slot of a turn to its last.
const SPREAD: Duration = Duration::from_millis(200);
/// From the end of a turn to the next one, so that a slot's rounds are about a second apart and never two, which
/// the store would take for a stall.
const TURN: Period = Period {
    every: Duration::from_millis(45),
    jitter: 0.25,
};

/// Asks for ever, until `token` is cancelled.
pub async fn run(engine: Arc<Engine>, token: CancellationToken) {
    let first = TURN.next(&mut rand::rng()).mul_f64(rand::random());
    if token.run_until_cancelled(sleep(first)).await.is_none() {
        return;
    }
    let turns = turns(engine.store.all_slots().collect(), &mut rand::rng());
    let mut at = turns.iter().cycle();
    every(TURN, &token, "due", || {
        let slots = at.next().cloned().unwrap_or_default();
        let engine = Arc::clone(&engine);
        async move { turn(slots, |slot| slot_round(&engine, slot)).await }
    })
    .await;
}

/// The slots in an order of this router's own, dealt into turns.
fn turns(mut slots: Vec<Slot>, rng: &mut impl rand::Rng) -> Vec<Vec<Slot>> {
    slots.shuffle(rng);
    let each = slots.len().div_ceil(TURNS).max(1);
    slots.chunks(each).map(<[Slot]>::to_vec).collect()
}

/// Asks the slots of a turn, spread over it. One that fails does not keep the others from their round; the first failure
/// is reported. However few slots there are, and however soon they answer, a turn takes its time.
async fn turn<F>(slots: Vec<Slot>, ask: impl Fn(Slot) -> F) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let gap = SPREAD / u32::try_from(slots.len()).unwrap_or(u32::MAX).max(1);
    let ask = &ask;
    let rounds = (0..).zip(slots).map(|(n, slot)| async move {
        sleep(gap * n).await;
        ask(slot).await
    });
    let (rounds, ()) = tokio::join!(join_all(rounds), sleep(SPREAD));
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
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn every_slot_has_its_turn_and_routers_do_not_run_in_step() {
        for count in [1, 2, 64, 255] {
            let all: Vec<_> = (0..count).map(Slot).collect();
            let dealt = turns(all.clone(), &mut rand::rng());
            assert!(dealt.len() <= TURNS);
            let seen: BTreeSet<_> = dealt.concat().into_iter().collect();
            assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
        }
        let all: Vec<_> = (0..64).map(Slot).collect();
        assert_ne!(turns(all.clone(), &mut rand::rng()), turns(all, &mut rand::rng()));
        // The rounds of a slot: about a second apart, and far from the two that count as a stall.
        let period = (SPREAD + TURN.every.mul_f64(1.0 + TURN.jitter)) * u32::try_from(TURNS).unwrap();
        assert!(period < Duration::from_millis(1_500));
    }

    #[tokio::test(start_paused = true)]
    async fn the_slots_of_a_turn_are_spread_over_it_and_one_alone_takes_as_long() {
        for count in [1, 4] {
            let (begun, asked) = (Instant::now(), Mutex::new(Vec::new()));
            let ask = |slot: Slot| {
                asked.lock().unwrap().push(begun.elapsed());
                async move {
                    match slot {
                        Slot(0) => Err(StoreError::OutOfMemory),
                        _ => Ok(()),
                    }
                }
            };
            let failed = turn((0..count).map(Slot).collect(), ask).await;
            assert!(matches!(failed, Err(StoreError::OutOfMemory)));
            let gap = SPREAD / u32::from(count);
            let expected: Vec<_> = (0..u32::from(count)).map(|n| gap * n).collect();
            assert_eq!(*asked.lock().unwrap(), expected);
            assert_eq!(begun.elapsed(), SPREAD);
        }
    }
}
