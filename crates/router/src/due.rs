//! The timers: every slot with open commands is asked once a second for what is due. Every router does so; a script
//! that finds its work done by another one does nothing.
//!
//! The slots take turns. A turn begins with a look at all of its slots, since most have nothing to ask for: waking up for
//! each of them is what a router without work would spend its time on. Those that want a round have one at a moment of
//! their own, whether the one before has answered or not: a script that comes meanwhile waits in Redis for one slot's
//! round at most, and what is claimed comes spread over the second. The order is this router's own, so routers do
//! not run in step.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chassis::{Period, every};
use domain::ids::Slot;
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use store::{Look, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::account;
use crate::engine::Engine;
use crate::precedence::Haste;
use crate::slots::MOST_PATIENT;

/// Timers of one call, as many as a patient call has events: whoever is in a hurry waits behind it, and where many
/// commands expire together each of these calls is full.
const LIMIT: usize = MOST_PATIENT;
/// Turns until every slot has had one. The fewer, the longer a slot that gets its first command just after a look may
/// wait for its first round, which the store would take for a stall after two seconds.
const TURNS: usize = 2;
/// From the first slot's moment in a turn to the last one's.
const SPREAD: Duration = Duration::from_millis(450);
/// From the end of a turn to the next one.
const PAUSE: Period = Period {
    every: Duration::from_millis(45),
    jitter: 0.25,
};
/// Each so many turns a slot has one without a look. Its round begins a walk over what is listed, to forget what is
/// beyond its retention; the walk goes on with each round.
const WHOLE: usize = 60;

/// Asks for ever, until `token` is cancelled.
pub async fn run(engine: Arc<Engine>, token: CancellationToken) {
    let first = SPREAD.mul_f64(rand::random());
    if token.run_until_cancelled(sleep(first)).await.is_none() {
        return;
    }
    let turns = turns(engine.store.all_slots().collect(), &mut rand::rng());
    let mut schedule = schedule(turns.len());
    every(PAUSE, &token, "due", || {
        let (whole, n) = schedule.next().unwrap_or_default();
        let (engine, slots, token) = (&engine, turns.get(n).map_or(&[][..], Vec::as_slice), &token);
        async move {
            let looks = match whole || engine.store.is_cluster() {
                true => None,
                false => token.run_until_cancelled(Box::pin(look(engine, slots))).await,
            };
            let (wanted, looked) = wanted(slots, looks, |slot, numbers| engine.hub.told(slot, numbers));
            let asked = turn(slots, &wanted, token, |slot| slot_round(engine, slot)).await;
            looked.and(asked)
        }
    })
    .await;
}

/// The slots in an order of this router's own, dealt into turns.
fn turns(mut slots: Vec<Slot>, rng: &mut impl rand::Rng) -> Vec<Vec<Slot>> {
    slots.shuffle(rng);
    let each = slots.len().div_ceil(TURNS).max(1);
    slots.chunks(each).map(<[Slot]>::to_vec).collect()
}

/// Which turn comes when, and whether that is without a look.
fn schedule(turns: usize) -> impl Iterator<Item = (bool, usize)> {
    let cycles = (0..WHOLE).cycle();
    cycles.flat_map(move |cycle| (0..turns).map(move |n| (cycle == 0, n)))
}

async fn look(engine: &Engine, slots: &[Slot]) -> Result<Vec<Look>, StoreError> {
    let _entry = engine.precedence.enter_round().await;
    engine.store.look_at(slots).await
}

/// The slots of a turn that want a round: all of them without a look, and where it failed. What a look at the others
/// tells, a round does not.
fn wanted(
    slots: &[Slot],
    looks: Option<Result<Vec<Look>, StoreError>>,
    told: impl Fn(Slot, u64),
) -> (HashSet<Slot>, Result<(), StoreError>) {
    let all = || slots.iter().copied().collect();
    match looks {
        None => (all(), Ok(())),
        Some(Err(error)) => (all(), Err(error)),
        Some(Ok(looks)) => {
            let (wanted, others): (Vec<_>, Vec<_>) = looks.into_iter().partition(|look| look.wants_round);
            others
                .iter()
                .for_each(|look| told(look.slot, look.outbox_numbers));
            (wanted.iter().map(|look| look.slot).collect(), Ok(()))
        }
    }
}

/// Asks those slots of a turn that are wanted, each at its moment. One that fails does not keep the others from their
/// round; the first failure is reported. However few there are, and however soon they answer, a turn takes its time;
/// once `token` is cancelled it begins no round.
async fn turn<F>(
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
    }

    #[test]
    fn the_first_round_of_a_slot_is_far_from_the_two_seconds_that_count_as_a_stall() {
        // Its first command comes just after a look; in the next turn its moment is the last one.
        let period = (SPREAD + PAUSE.every.mul_f64(1.0 + PAUSE.jitter)) * u32::try_from(TURNS).unwrap();
        assert!(period + SPREAD < Duration::from_millis(1_500));
    }

    #[test]
    fn each_turn_goes_without_a_look_again_and_again() {
        let schedule: Vec<_> = schedule(2).take(4 * WHOLE).collect();
        let whole = schedule.iter().enumerate().filter(|(_, (whole, _))| *whole);
        let whole: Vec<_> = whole.map(|(at, (_, n))| (at, *n)).collect();
        assert_eq!(whole, [(0, 0), (1, 1), (2 * WHOLE, 0), (2 * WHOLE + 1, 1)]);
        assert!(schedule.iter().zip(0..).all(|((_, n), at)| *n == at % 2));
    }

    #[test]
    fn what_a_look_cannot_tell_has_a_round_and_what_it_passes_over_is_told_of() {
        let slots = [Slot(3), Slot(5)];
        let told = Mutex::new(Vec::new());
        let wanted = |looks| {
            let (wanted, looked) = wanted(&slots, looks, |slot, n| told.lock().unwrap().push((slot, n)));
            (wanted, looked.is_ok())
        };
        assert_eq!(wanted(None), (HashSet::from(slots), true));
        assert_eq!(
            wanted(Some(Err(StoreError::OutOfMemory))),
            (HashSet::from(slots), false)
        );
        let look = |n: u16| Look {
            slot: Slot(n),
            wants_round: n == 5,
            outbox_numbers: u64::from(n) * 10,
        };
        assert_eq!(
            wanted(Some(Ok(vec![look(3), look(5)]))),
            (HashSet::from([Slot(5)]), true)
        );
        assert_eq!(*told.lock().unwrap(), [(Slot(3), 30)]);
    }

    /// When each slot was asked in a turn of five, how long that took, and whether it failed, as the first slot does.
    async fn asked(wanted: &[u16], token: &CancellationToken) -> (Vec<(Slot, Duration)>, Duration, bool) {
        let (begun, seen) = (Instant::now(), Mutex::new(Vec::new()));
        let ask = |slot: Slot| {
            seen.lock().unwrap().push((slot, begun.elapsed()));
            async move {
                match slot {
                    Slot(0) => Err(StoreError::OutOfMemory),
                    _ => Ok(()),
                }
            }
        };
        let slots: Vec<_> = (0..5).map(Slot).collect();
        let wanted = wanted.iter().copied().map(Slot).collect();
        let failed = turn(&slots, &wanted, token, ask).await.is_err();
        (seen.into_inner().unwrap(), begun.elapsed(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_has_the_same_moment_whichever_others_are_asked_and_a_turn_takes_its_time() {
        let token = CancellationToken::new();
        let at = |n: u16| (Slot(n), SPREAD / 5 * u32::from(n));
        let all = (0..5).map(at).collect();
        assert_eq!(asked(&[0, 1, 2, 3, 4], &token).await, (all, SPREAD, true));
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
        let ((asked, took, _), ()) = tokio::join!(asked(&[0, 1, 2, 3, 4], &token), end);
        assert_eq!((asked.len(), took), (2, SPREAD / 3));
    }
}
