//! Who goes first to the store. Redis does one thing at a time, and sends the answers of calls that came together only
//! after the last of them: whoever is in a hurry waits for every patient call that is there before his or begins
//! beside it. So there is one patient call at a time, whatever it is for, and none begins beside one in haste.

use std::time::Duration;

use domain::command::Priority;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a patient call that has its turn waits at most for a moment in which nobody is in a hurry: for about as long
/// as one hasty call takes. More would not help where there are always some, and patient work must go on there too.
const LONGEST_WAIT: Duration = Duration::from_millis(3);

/// How long a patient call waits for its turn: for longer than every slot's calls together take on a busy machine. Then
/// the server of other slots hangs, and it goes without.
pub(crate) const LONGEST_TURN: Duration = Duration::from_millis(500);

/// The same of the rounds of timers: two rounds of a slot that are far apart look to the store like a stall.
const LONGEST_TURN_OF_ROUND: Duration = Duration::from_millis(20);

/// How soon something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// In its turn: what is of low priority, and timers.
    Patient,
    /// At once.
    Now,
}

/// The calls to the store that are under way.
#[derive(Debug)]
pub struct Precedence {
    /// How many of them somebody is in a hurry for.
    hasty: watch::Sender<usize>,
    /// The turn of patient calls, which one of them has.
    turn: Semaphore,
    /// The place that the slots' events have among those who wait for the turn.
    place: Semaphore,
}

/// A call that has begun: patient ones wait until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Entry<'a> {
    hasty: Option<&'a watch::Sender<usize>>,
    _turn: Option<SemaphorePermit<'a>>,
    _place: Option<SemaphorePermit<'a>>,
}

impl Default for Precedence {
    fn default() -> Self {
        Self {
            hasty: watch::Sender::new(0),
            turn: Semaphore::new(1),
            place: Semaphore::new(1),
        }
    }
}

impl Precedence {
    /// A call begins: at once if it is hasty, else in its turn and as soon as no hasty one is under way.
    pub async fn enter(&self, haste: Haste) -> Entry<'_> {
        if haste == Haste::Patient {
            return self.in_turn(Instant::now() + LONGEST_TURN, None).await;
        }
        self.hasty.send_if_modified(|hasty| {
            *hasty += 1;
            false
        });
        Entry {
            hasty: Some(&self.hasty),
            _turn: None,
            _place: None,
        }
    }

    /// A round of timers begins, which is patient.
    pub async fn enter_round(&self) -> Entry<'_> {
        self.in_turn(Instant::now() + LONGEST_TURN_OF_ROUND, None).await
    }

    /// A call with patient events of a slot begins. All slots have one place together among those who wait for their
    /// turn: however many have events, a drain or a round waits behind one of them.
    pub async fn enter_events(&self) -> Entry<'_> {
        let until = Instant::now() + LONGEST_TURN;
        let place = timeout_at(until, self.place.acquire()).await;
        self.in_turn(until, place.ok().and_then(Result::ok)).await
    }

    async fn in_turn<'a>(&'a self, until: Instant, place: Option<SemaphorePermit<'a>>) -> Entry<'a> {
        let turn = timeout_at(until, self.turn.acquire()).await;
        let mut hasty = self.hasty.subscribe();
        let _ = timeout(LONGEST_WAIT, hasty.wait_for(|hasty| *hasty == 0)).await;
        Entry {
            hasty: None,
            _turn: turn.ok().and_then(Result::ok),
            _place: place,
        }
    }

    /// The acceptance of a command begins: at once, since its caller waits, but only for more than low priority do
    /// others wait.
    pub async fn accept(&self, priority: Priority) -> Option<Entry<'_>> {
        match priority {
            Priority::Low => None,
            Priority::Normal | Priority::High | Priority::Urgent => Some(self.enter(Haste::Now).await),
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if let Some(hasty) = self.hasty {
            hasty.send_if_modified(|hasty| {
                *hasty -= 1;
                *hasty == 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_patient_call_begins_when_the_last_hasty_one_ended() {
        let precedence = Precedence::default();
        assert!(precedence.enter(Haste::Patient).now_or_never().is_some());
        let first = precedence.enter(Haste::Now).await;
        let second = precedence.accept(Priority::Normal).await;
        let begun = Instant::now();
        let patient = async {
            drop(precedence.enter(Haste::Patient).await);
            begun.elapsed()
        };
        let hasty = async {
            sleep(Duration::from_millis(1)).await;
            drop(first);
            sleep(Duration::from_millis(1)).await;
            drop(second);
        };
        assert_eq!(tokio::join!(patient, hasty).0, Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_ever() {
        let precedence = Precedence::default();
        let _hasty = precedence.enter(Haste::Now).await;
        let begun = Instant::now();
        drop(precedence.enter(Haste::Patient).await);
        assert_eq!(begun.elapsed(), LONGEST_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn patient_calls_go_one_after_the_other_and_their_turn_is_not_waited_for_long() {
        let precedence = Precedence::default();
        let first = precedence.enter(Haste::Patient).await;
        let second = precedence.enter(Haste::Patient);
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(precedence.enter(Haste::Now).now_or_never().is_some());
        drop(first);
        let second = second.now_or_never().expect("its turn has come");

        let begun = Instant::now();
        drop(precedence.enter_round().await);
        assert_eq!(begun.elapsed(), LONGEST_TURN_OF_ROUND);
        drop(precedence.enter(Haste::Patient).await);
        assert_eq!(begun.elapsed(), LONGEST_TURN_OF_ROUND + LONGEST_TURN);
        drop(second);
        assert!(precedence.enter_round().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_drain_waits_behind_the_events_of_one_slot_however_many_have_some() {
        let precedence = Precedence::default();
        let first = precedence.enter_events().await;
        let (second, third) = (precedence.enter_events(), precedence.enter_events());
        let drain = precedence.enter(Haste::Patient);
        tokio::pin!(second, third, drain);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(drain.as_mut().now_or_never().is_none());
        drop(first);
        drop(drain.now_or_never().expect("no slot has its turn before it"));
        let second = second.as_mut().now_or_never();
        assert!(second.is_some() && third.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn nobody_waits_for_the_acceptance_of_what_is_low_or_for_a_call_that_was_given_up() {
        let precedence = Precedence::default();
        let _low = precedence.accept(Priority::Low).await;
        let given_up = async {
            let _entry = precedence.enter(Haste::Now).await;
            std::future::pending::<()>().await;
        };
        assert!(given_up.now_or_never().is_none());
        assert!(precedence.enter(Haste::Patient).now_or_never().is_some());
    }
}
