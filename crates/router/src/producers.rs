//! The two ways to Kafka: one for what is urgent and one for the rest. A broker serves the requests of a connection one
//! after the other, so a backlog that leaves by the same connection stands before whatever comes after it.
//!
//! Each has the bounds of `kafka` for itself, and the urgent one a client id that ends in `-urgent`.
//!
//! What has an order, as the results of a charger, is sent one after the other by whoever sends it; the ways keep
//! order only each by itself.

use std::time::Duration;

use bus::{BusConfig, BusError, DeliveryFuture, Message, Producer, SendError};

/// The producers; clones share them.
#[derive(Clone)]
pub struct Producers {
    urgent: Producer,
    rest: Producer,
}

impl Producers {
    /// Builds the clients. No broker needs to be there yet.
    pub fn new(config: &BusConfig) -> Result<Self, BusError> {
        let urgent = BusConfig {
            client_id: format!("{}-urgent", config.client_id),
            ..config.clone()
        };
        Ok(Self {
            urgent: Producer::new(&urgent)?,
            rest: Producer::new(config)?,
        })
    }

    /// Queues a record, see [`Producer::send`].
    pub fn send(&self, message: &Message, urgent: bool) -> Result<DeliveryFuture, SendError> {
        let way = if urgent { &self.urgent } else { &self.rest };
        way.send(message)
    }

    /// Learns where topics are, see [`Producer::warm`].
    pub async fn warm(&self, topics: &[&str]) -> Result<(), BusError> {
        let (urgent, rest) = tokio::join!(self.urgent.warm(topics), self.rest.warm(topics));
        urgent.and(rest)
    }

    /// Flushes and ends the clients, see [`Producer::close`].
    pub async fn close(self, deadline: Duration) -> Result<(), BusError> {
        let (urgent, rest) = tokio::join!(self.urgent.close(deadline), self.rest.close(deadline));
        urgent.and(rest)
    }
}
