//! Who goes first to the store. Redis does one thing at a time, and sends the answers of calls that came together only
//! after the last of them: whoever is in a hurry would wait for patient calls that begin beside his as well, not only for
//! those that were there before.

use std::time::Duration;

use domain::command::Priority;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long patient work waits at most for a moment in which nobody is in a hurry: for about as long as one hasty call
/// takes. More would not help where there are always some, and patient work must go on there too.
const LONGEST_WAIT: Duration = Duration::from_millis(3);

/// How soon something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Haste {
    /// In its turn: what is of low priority, and timers.
    Patient,
    /// At once.
    Now,
}

/// The calls to the store that somebody is in a hurry for and that are under way.
#[derive(Debug)]
pub struct Precedence {
    hasty: watch::Sender<usize>,
}

/// A call that has begun; if it is hasty, patient ones wait until this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Entry<'a> {
    hasty: Option<&'a watch::Sender<usize>>,
}

impl Default for Precedence {
    fn default() -> Self {
        Self {
            hasty: watch::Sender::new(0),
        }
    }
}

impl Precedence {
    /// A call begins: at once if it is hasty, else as soon as no hasty one is under way.
    pub async fn enter(&self, haste: Haste) -> Entry<'_> {
        if haste == Haste::Patient {
            let mut hasty = self.hasty.subscribe();
            let _ = timeout(LONGEST_WAIT, hasty.wait_for(|hasty| *hasty == 0)).await;
            return Entry { hasty: None };
        }
        self.hasty.send_if_modified(|hasty| {
            *hasty += 1;
            false
        });
        Entry {
            hasty: Some(&self.hasty),
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
    use tokio::time::{Instant, sleep};

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
