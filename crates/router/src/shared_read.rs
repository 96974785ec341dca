//! A value that many want and one reads: whoever finds it too old begins a reading, and all who come while it
//! is under way share its outcome, also a failure. Left out: what is read, and how old is too old.
//!
//! The reading belongs to no caller: any of those who wait drives it, so one that is polled no more (its edge
//! takes no answers) holds up nobody.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::MonoClock;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

/// A value with the time at which its reading began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dated<T> {
    /// When the reading began, by the process's monotonic clock: the value is no older than this.
    pub(crate) read_us: u64,
    /// What was read.
    pub(crate) value: T,
}

/// A reading that began longer ago than this is not joined any more: all who drove it may have left.
const JOINED_WITHIN: Duration = Duration::from_secs(2);

type Reading<T, E> = Shared<BoxFuture<'static, Result<Dated<T>, Arc<E>>>>;

/// The value as last read, and the reading under way.
pub(crate) struct SharedRead<T: Clone, E> {
    state: Mutex<State<T, E>>,
}

struct State<T: Clone, E> {
    last: Option<Dated<T>>,
    under_way: Option<(u64, Reading<T, E>)>,
}

impl<T: Clone, E> Default for SharedRead<T, E> {
    fn default() -> Self {
        let state = State {
            last: None,
            under_way: None,
        };
        Self {
            state: Mutex::new(state),
        }
    }
}

impl<T, E> SharedRead<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The value, no older than `max_age` allows for it; `read` is called if one has to be read.
    pub(crate) async fn get<F>(
        &self,
        clock: &MonoClock,
        max_age: impl Fn(&T) -> Duration,
        read: impl FnOnce() -> F,
    ) -> Result<Dated<T>, Arc<E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let reading = {
            let mut state = self.state();
            let fresh = state
                .last
                .as_ref()
                .filter(|last| clock.since(last.read_us) < max_age(&last.value));
            if let Some(fresh) = fresh {
                return Ok(fresh.clone());
            }
            // One that ended is no longer under way; those who waited for it take it out.
            let joined = state
                .under_way
                .as_ref()
                .filter(|(begun_us, r)| r.peek().is_none() && clock.since(*begun_us) < JOINED_WITHIN);
            match joined {
                Some((_, reading)) => reading.clone(),
                None => {
                    let (begun_us, reading) = begin(clock, read());
                    state.under_way = Some((begun_us, reading.clone()));
                    reading
                }
            }
        };
        let outcome = reading.clone().await;
        self.ended(&reading, &outcome);
        outcome
    }

    /// Whether a value was read lately.
    pub(crate) fn is_fresh(&self, clock: &MonoClock, max_age: Duration) -> bool {
        let state = self.state();
        let last = state.last.as_ref();
        last.is_some_and(|last| clock.since(last.read_us) < max_age)
    }

    /// Keeps what a reading gave, unless a later one was quicker.
    fn ended(&self, reading: &Reading<T, E>, outcome: &Result<Dated<T>, Arc<E>>) {
        let mut state = self.state();
        if state.under_way.as_ref().is_some_and(|(_, r)| r.ptr_eq(reading)) {
            state.under_way = None;
        }
        if let Ok(read) = outcome
            && state.last.as_ref().is_none_or(|last| last.read_us < read.read_us)
        {
            state.last = Some(read.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn begin<T, E, F>(clock: &MonoClock, reading: F) -> (u64, Reading<T, E>)
where
    T: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let read_us = clock.now_us();
    let dated = async move {
        match reading.await {
            Ok(value) => Ok(Dated { read_us, value }),
            Err(error) => Err(Arc::new(error)),
        }
    };
    (read_us, dated.boxed().shared())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    const AGE: Duration = Duration::from_millis(250);

    /// Readings, counted, each of which ends when it is told how.
    #[derive(Default)]
    struct Source {
        begun: AtomicU32,
        ends: Mutex<Vec<oneshot::Sender<Result<u32, &'static str>>>>,
    }

    impl Source {
        fn read(&self) -> impl Future<Output = Result<u32, &'static str>> + Send + 'static {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let (end, told) = oneshot::channel();
            self.ends.lock().unwrap().push(end);
            async { told.await.unwrap() }
        }

        fn end(&self, how: Result<u32, &'static str>) {
            self.ends.lock().unwrap().remove(0).send(how).unwrap();
        }
    }

    #[tokio::test]
    async fn all_who_wait_share_the_failure_of_one_reading() {
        let ((clock, _hand), source, shared) =
            (MonoClock::manual(), Source::default(), SharedRead::default());
        let mut waiting: Vec<_> = (0..1_000)
            .map(|_| Box::pin(shared.get(&clock, |_| AGE, || source.read())))
            .collect();
        for one in &mut waiting {
            assert!(one.as_mut().now_or_never().is_none());
        }
        source.end(Err("away"));
        let outcomes = join_all(waiting).await;
        assert!(outcomes.iter().all(|o| o.as_ref().is_err_and(|e| **e == "away")));
        assert_eq!(source.begun.load(Ordering::SeqCst), 1);
        // Who comes after the failure begins anew.
        let mut next = Box::pin(shared.get(&clock, |_| AGE, || source.read()));
        assert!(next.as_mut().now_or_never().is_none());
        source.end(Ok(7));
        assert_eq!(next.await.unwrap().value, 7);
    }

    #[tokio::test]
    async fn one_who_is_polled_no_more_holds_up_nobody() {
        let ((clock, _hand), source, shared) =
            (MonoClock::manual(), Source::default(), SharedRead::default());
        let mut stalled = Box::pin(shared.get(&clock, |_| AGE, || source.read()));
        assert!(stalled.as_mut().now_or_never().is_none());
        source.end(Ok(1));
        let other = shared.get(&clock, |_| AGE, || source.read()).await;
        assert_eq!(other.unwrap().value, 1);
        assert_eq!(source.begun.load(Ordering::SeqCst), 1);
        drop(stalled);
    }

    #[tokio::test]
    async fn a_reading_that_everybody_left_is_not_waited_for() {
        let ((clock, hand), source, shared) = (MonoClock::manual(), Source::default(), SharedRead::default());
        assert!(
            shared
                .get(&clock, |_| AGE, || source.read())
                .now_or_never()
                .is_none()
        );
        hand.advance(JOINED_WITHIN);
        let mut next = Box::pin(shared.get(&clock, |_| AGE, || source.read()));
        assert!(next.as_mut().now_or_never().is_none());
        source.ends.lock().unwrap().remove(0);
        source.end(Ok(2));
        assert_eq!(next.await.unwrap().value, 2);
    }

    #[tokio::test]
    async fn a_value_is_read_again_when_it_is_too_old_counted_from_the_begin_of_its_reading() {
        let ((clock, hand), source, shared) = (MonoClock::manual(), Source::default(), SharedRead::default());
        let mut first = Box::pin(shared.get(&clock, |_| AGE, || source.read()));
        assert!(first.as_mut().now_or_never().is_none());
        hand.advance(Duration::from_millis(200));
        source.end(Ok(1));
        assert_eq!(first.await.unwrap().read_us, 0);
        let get = || shared.get(&clock, |_| AGE, || source.read());
        assert_eq!(get().now_or_never().unwrap().unwrap().value, 1);
        hand.advance(Duration::from_millis(50));
        assert!(get().now_or_never().is_none());
        assert_eq!(source.begun.load(Ordering::SeqCst), 2);
    }
}
