//! The ways to Kafka: one for what is urgent, one for what is of low priority, and one for the rest. A broker serves the
//! requests of a connection one after the other, so a backlog that leaves by the same connection stands before whatever
//! comes after it. What is of low priority waits a moment for more of its kind, which saves the broker and the edges
//! most of their work for it.
//!
//! Each has the bounds of `kafka` for itself; the client ids of the first two end in `-urgent` and `-low`.
//!
//! What has an order, as the results of a charger, is sent one after the other by whoever sends it; the ways keep
//! order only each by itself.

use std::time::Duration;

use bus::{BusConfig, BusError, DeliveryFuture, Message, Producer, SendError};
use domain::command::Priority;

/// The producers; clones share them.
#[derive(Clone)]
pub struct Producers {
    urgent: Producer,
    rest: Producer,
    low: Producer,
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
        })
    }

    /// Queues a record, see [`Producer::send`].
    pub fn send(&self, message: &Message, priority: Priority) -> Result<DeliveryFuture, SendError> {
        let way = match priority {
            Priority::Urgent => &self.urgent,
            Priority::High | Priority::Normal => &self.rest,
            Priority::Low => &self.low,
        };
        way.send(message)
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
