//! What a service waits for before it may take work: named conditions, read by `/readyz`.
//!
//! A service is ready while all its conditions are. Every change is logged once. Leaves out liveness, which
//! needs no conditions: a process that waits for Redis is alive.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::clock::MonoClock;

/// The reason of a condition that has not been set yet.
const NOT_TRIED: &str = "not tried yet";

/// All conditions of a service. Clones are handles of the same list.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Shared>);

/// One thing a service waits for; it begins as waiting.
#[derive(Clone, Debug)]
pub struct Condition {
    name: Cow<'static, str>,
    shared: Arc<Shared>,
}

/// What is known about a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionState {
    /// Its name, such as `redis`.
    pub name: Cow<'static, str>,
    /// Why it is waited for; `None` if it is ready.
    pub waiting: Option<String>,
    /// When it last turned from ready to waiting or back, by the monotonic clock.
    pub since_us: u64,
}

#[derive(Debug)]
struct Shared {
    clock: MonoClock,
    conditions: Mutex<Vec<ConditionState>>,
    ready: watch::Sender<bool>,
}

impl Readiness {
    /// A list without conditions, which is ready.
    pub fn new(clock: MonoClock) -> Self {
        let (ready, _) = watch::channel(true);
        Self(Arc::new(Shared {
            clock,
            conditions: Mutex::default(),
            ready,
        }))
    }

    /// The condition `name`; one that is new begins as waiting. The same name is the same condition.
    pub fn condition(&self, name: impl Into<Cow<'static, str>>) -> Condition {
        let name = name.into();
        let mut conditions = self.0.lock();
        if !conditions.iter().any(|condition| condition.name == name) {
            let (since_us, waiting) = (self.0.clock.now_us(), Some(NOT_TRIED.into()));
            conditions.push(ConditionState {
                name: name.clone(),
                waiting,
                since_us,
            });
        }
        self.0.publish(&conditions);
        Condition {
            name,
            shared: Arc::clone(&self.0),
        }
    }

    /// True if nothing is waited for.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// All conditions in the order they were made.
    pub fn snapshot(&self) -> Vec<ConditionState> {
        self.0.lock().clone()
    }

    /// Sees each change between ready and not ready.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Returns once nothing is waited for.
    pub async fn wait_ready(&self) {
        // The sender lives in `self`, so the channel cannot close meanwhile.
        let _ = self.watch().wait_for(|ready| *ready).await;
    }

    /// The clock that `since_us` is read from.
    pub fn clock(&self) -> &MonoClock {
        &self.0.clock
    }
}

impl Condition {
    /// The condition holds.
    pub fn ready(&self) {
        self.set(None);
    }

    /// The condition does not hold, for this reason.
    pub fn waiting(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Takes the condition off the list, as when the part it stood for is gone for good.
    pub fn retire(self) {
        let mut conditions = self.shared.lock();
        conditions.retain(|condition| condition.name != self.name);
        self.shared.publish(&conditions);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores the state, and logs it if it is news.
    fn set(&self, waiting: Option<String>) {
        let mut conditions = self.shared.lock();
        let Some(state) = conditions.iter_mut().find(|state| state.name == self.name) else {
            return;
        };
        match state.update(waiting, &self.shared.clock) {
            Some(News::Ready(line)) => tracing::info!(condition = %self.name, "{line}"),
            Some(News::Waiting(line)) => tracing::warn!(condition = %self.name, "{line}"),
            Some(News::OtherReason(line)) => tracing::debug!(condition = %self.name, "{line}"),
            None => {}
        }
        self.shared.publish(&conditions);
    }
}

/// What is worth a line about a condition.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// It holds now.
    Ready(String),
    /// It does not hold any more, or is found not to hold at the first try.
    Waiting(String),
    /// It still does not hold, in other words. No transition: a flapping part would fill the log.
    OtherReason(String),
}

impl ConditionState {
    /// Takes the new state over and tells what is news about it.
    fn update(&mut self, waiting: Option<String>, clock: &MonoClock) -> Option<News> {
        let name = &self.name;
        let news = match (&self.waiting, &waiting) {
            (Some(_), None) => {
                let waited_s = clock.since(self.since_us).as_secs_f64();
                Some(News::Ready(format!("{name} is ready after {waited_s:.1} s")))
            }
            (None, Some(reason)) => Some(News::Waiting(format!("waiting for {name}: {reason}"))),
            (Some(old), Some(reason)) if old == reason => None,
            (Some(old), Some(reason)) if old == NOT_TRIED => {
                Some(News::Waiting(format!("waiting for {name}: {reason}")))
            }
            (Some(_), Some(reason)) => Some(News::OtherReason(format!("still waiting for {name}: {reason}"))),
            (None, None) => None,
        };
        if self.waiting.is_some() != waiting.is_some() {
            self.since_us = clock.now_us();
        }
        self.waiting = waiting;
        news
    }
}

impl Shared {
    /// The list, also after a panic of another holder: each change to it is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Vec<ConditionState>> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the watchers if the whole changed. Called under the lock, so that changes arrive in order.
    fn publish(&self, conditions: &[ConditionState]) {
        let now = conditions.iter().all(|condition| condition.waiting.is_none());
        let turned = self
            .ready
            .send_if_modified(|ready| std::mem::replace(ready, now) != now);
        if turned {
            crate::history::note("ready", || serde_json::json!({ "value": now }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_service_is_ready_only_while_all_conditions_are() {
        let readiness = Readiness::new(MonoClock::system());
        assert!(readiness.is_ready());
        let (redis, kafka) = (readiness.condition("redis"), readiness.condition("kafka"));
        assert!(!readiness.is_ready());
        redis.ready();
        assert!(!readiness.is_ready());
        kafka.ready();
        assert!(readiness.is_ready());
        redis.waiting("connection refused");
        assert!(!readiness.is_ready());
        redis.retire();
        assert!(readiness.is_ready());
    }

    #[test]
    fn the_time_of_waiting_begins_at_the_transition_and_not_at_the_last_reason() {
        let (clock, hand) = MonoClock::manual();
        let readiness = Readiness::new(clock);
        let redis = readiness.condition("redis");
        redis.ready();
        hand.advance(Duration::from_secs(1));
        redis.waiting("refused");
        hand.advance(Duration::from_secs(1));
        redis.waiting("timed out");
        let state = &readiness.snapshot()[0];
        assert_eq!(
            (state.since_us, state.waiting.as_deref()),
            (1_000_000, Some("timed out"))
        );
    }

    #[tokio::test]
    async fn watchers_see_changes_of_the_whole_and_nothing_else() {
        let readiness = Readiness::new(MonoClock::system());
        let redis = readiness.condition("redis");
        let mut watch = readiness.watch();
        redis.waiting("refused");
        assert!(!watch.has_changed().unwrap());
        redis.ready();
        assert!(*watch.wait_for(|ready| *ready).await.unwrap());
        readiness.wait_ready().await;
    }

    #[test]
    fn the_same_name_is_the_same_condition() {
        let readiness = Readiness::new(MonoClock::system());
        readiness.condition("redis");
        readiness.condition(String::from("redis")).ready();
        assert!(readiness.is_ready());
    }

    #[test]
    fn each_transition_is_logged_once_with_its_reason_and_its_length() {
        let (clock, hand) = MonoClock::manual();
        let (name, waiting) = (Cow::Borrowed("redis"), Some(NOT_TRIED.into()));
        let mut state = ConditionState {
            name,
            waiting,
            since_us: 0,
        };
        let mut update = |waiting: Option<&str>| state.update(waiting.map(Into::into), &clock);
        let refused = || Some(News::Waiting("waiting for redis: refused".into()));
        assert_eq!(update(Some("refused")), refused());
        assert_eq!(update(Some("refused")), None);
        let other = News::OtherReason("still waiting for redis: timed out".into());
        assert_eq!(update(Some("timed out")), Some(other));
        hand.advance(Duration::from_millis(3_200));
        assert_eq!(
            update(None),
            Some(News::Ready("redis is ready after 3.2 s".into()))
        );
        assert_eq!(update(None), None);
        assert_eq!(update(Some("refused")), refused());
    }
}
