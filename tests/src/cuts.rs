//! Cuts of one link while both of its ends live and are reached by everybody else.

use std::net::SocketAddr;

use crate::faults::Forwarder;
use crate::spec::BrokerNeed;
use crate::system::System;

impl System {
    /// Cuts the first router off from Kafka; nobody else notices.
    pub async fn cut_first_router_from_kafka(&mut self) {
        self.way_of_first_router().close().await;
    }

    /// Kafka can be reached by the first router again.
    pub async fn heal_first_router(&mut self) {
        self.way_of_first_router().reopen().await;
    }

    /// What the `number`-th router is told of Kafka.
    pub(crate) fn kafka_of(&self, number: usize) -> SocketAddr {
        match (&self.forwarder, self.spec.broker) {
            (Some(way), BrokerNeed::CutFromFirstRouter) if number == 1 => way.address(),
            _ => self.kafka(),
        }
    }

    fn way_of_first_router(&mut self) -> &mut Forwarder {
        assert_eq!(self.spec.broker, BrokerNeed::CutFromFirstRouter);
        self.forwarder.as_mut().expect("a way that can be cut")
    }
}
