//! The ways to Kafka: one for what is urgent, one for what is of low priority, and one for the rest. A broker serves the
//! requests of a connection one after the other, so a backlog that leaves by the same connection stands before whatever
//! comes after it. What is of low priority waits a moment for more of its kind where there is some, which saves the
//! broker and the edges most of their work for it.
//!
//! Each has the bounds of `kafka` for itself; the client ids of the first two end in `-urgent` and `-low`.
//!
//! What has an order, as the results of a charger, is sent one after the other by whoever sends it; the ways keep
//! order only each by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{BusConfig, BusError, DeliveryFuture, Message, Producer, SendError};
use domain::command::Priority;

/// The producers; clones share them.
#[derive(Clone)]
pub struct Producers {
    urgent: Producer,
    rest: Producer,
    low: Producer,
    crowd: Arc<Crowd>,
}

/// By which producer a record leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Urgent,
    Rest,
    /// It waits for others.
    Low,
}

/// Tells a record that has company from one that is alone in its topic.
#[derive(Debug)]
struct Crowd {
    /// One that comes less than this after another has company.
    within: Duration,
    last: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Crowd {
    fn new(within: Duration) -> Self {
        Self {
            within,
            last: Mutex::default(),
        }
    }

    /// What is of low priority waits where it has company.
    fn way(&self, priority: Priority, topic: &Arc<str>, now: Instant) -> Way {
        match priority {
            Priority::Urgent => Way::Urgent,
            Priority::Low if self.joined(topic, now) => Way::Low,
            Priority::High | Priority::Normal | Priority::Low => Way::Rest,
        }
    }

    /// One more of low priority comes now. True if it has company.
    fn joined(&self, topic: &Arc<str>, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(Arc::clone(topic), now);
        before.is_some_and(|before| now.saturating_duration_since(before) < self.within)
    }
}

impl Producers {
    /// Builds the clients. No broker needs to be there yet.
    pub fn new(config: &BusConfig, low_priority_linger: Duration) -> Result<Self, BusError> {
        let named = |name: &str| BusConfig {
            client_id: format!("{}-{name}", config.client_id),
            ..config.clone()
        };
        Ok(Self {
            urgent: Producer::new(&named("urgent"))?,
            rest: Producer::new(config)?,
            low: Producer::lingering(&named("low"), low_priority_linger)?,
            crowd: Arc::new(Crowd::new(low_priority_linger)),
        })
    }

    /// Queues a record, see [`Producer::send`].
    pub fn send(&self, message: &Message, priority: Priority) -> Result<DeliveryFuture, SendError> {
        let producer = match self.crowd.way(priority, &message.topic, Instant::now()) {
            Way::Urgent => &self.urgent,
            Way::Rest => &self.rest,
            Way::Low => &self.low,
        };
        producer.send(message)
    }

    /// Learns where topics are, see [`Producer::warm`].
    pub async fn warm(&self, topics: &[&str]) -> Result<(), BusError> {
        let (urgent, rest, low) = tokio::join!(
            self.urgent.warm(topics),
            self.rest.warm(topics),
            self.low.warm(topics)
        );
        urgent.and(rest).and(low)
    }

    /// Flushes and ends the clients, see [`Producer::close`].
    pub async fn close(self, deadline: Duration) -> Result<(), BusError> {
        let (urgent, rest, low) = tokio::join!(
            self.urgent.close(deadline),
            self.rest.close(deadline),
            self.low.close(deadline)
        );
        urgent.and(rest).and(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_soon_after_another_has_company() {
        let (crowd, begun) = (Crowd::new(Duration::from_millis(200)), Instant::now());
        let at = |ms| begun + Duration::from_millis(ms);
        let topic = Arc::from("results");
        let joined = [0, 100, 299, 499, 500].map(|ms| crowd.joined(&topic, at(ms)));
        assert_eq!(joined, [false, true, true, false, true]);
    }

    #[test]
    fn only_what_is_of_low_priority_and_not_alone_waits_for_others() {
        let (crowd, now) = (Crowd::new(Duration::from_millis(200)), Instant::now());
        let ways = [
            Priority::Normal,
            Priority::Low,
            Priority::Low,
            Priority::High,
            Priority::Urgent,
        ]
        .map(|priority| crowd.way(priority, &"results".into(), now));
        assert_eq!(ways, [Way::Rest, Way::Rest, Way::Low, Way::Rest, Way::Urgent]);
    }

    #[test]
    fn a_record_of_another_topic_is_no_company() {
        let (crowd, now) = (Crowd::new(Duration::from_millis(200)), Instant::now());
        let joined = ["shard", "results", "shard"].map(|topic| crowd.joined(&topic.into(), now));
        assert_eq!(joined, [false, false, true]);
    }

    #[test]
    fn without_a_linger_everything_is_alone() {
        let (crowd, now) = (Crowd::new(Duration::ZERO), Instant::now());
        assert_eq!([0; 2].map(|_| crowd.joined(&"results".into(), now)), [false; 2]);
    }
}
