//! Configuration of every Kafka client: where the brokers are, how to authenticate, which timeouts hold.
//!
//! Settings that the delivery protocol rests on (no idempotence, acks, no auto-created topics, no group) are not
//! here: they are constants of the clients, and the extra properties may not touch them.

mod security;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

pub use self::security::{SaslMechanism, Secret, Security, SecurityProtocol};

/// How to reach and use Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// Named in the brokers' logs and quotas; also the stem of the consumer's `group.id`.
    pub client_id: String,
    /// Transport security and authentication.
    pub security: Security,
    /// How long a record may wait for its delivery report. Must stay below the router's dispatch lease.
    pub message_timeout_ms: u64,
    /// Upper bound of the pause between attempts to reconnect.
    pub reconnect_backoff_max_ms: u64,
    /// How long a broker may hold a fetch that has nothing to give. Kafka answers early when records come;
    /// the embedded broker does not, so latency there is this value.
    pub fetch_wait_max_ms: u64,
    /// Bound of one metadata, offset or admin request.
    pub request_timeout_ms: u64,
    /// Records that may wait for their delivery report before `send` refuses.
    pub queue_max_records: u32,
    /// Further librdkafka properties, applied to every client.
    pub properties: BTreeMap<String, String>,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            client_id: "holdfast".to_owned(),
            security: Security::default(),
            message_timeout_ms: 4_000,
            reconnect_backoff_max_ms: 500,
            fetch_wait_max_ms: 100,
            request_timeout_ms: 5_000,
            queue_max_records: 100_000,
            properties: BTreeMap::new(),
        }
    }
}

/// Properties that the clients set themselves because the design rests on them.
const RESERVED: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "client.id",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "reconnect.backoff.max.ms",
    "fetch.wait.max.ms",
    "queue.buffering.max.messages",
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "linger.ms",
    "queue.buffering.max.ms",
    "allow.auto.create.topics",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "partitioner",
    "transactional.id",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "test.mock.num.brokers",
];

/// Produce requests that wait for an answer on one connection: as far as a retried one may fall behind.
const MOST_IN_FLIGHT: &str = "5";

impl BusConfig {
    /// A default configuration for these brokers; for tests and tools.
    pub fn at(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            ..Self::default()
        }
    }

    /// Every problem as (key, what is wrong); empty when the configuration can be used.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = self.number_problems();
        found.extend(self.text_problems());
        found.extend(self.security.problems());
        for key in self
            .properties
            .keys()
            .filter(|key| RESERVED.contains(&key.as_str()))
        {
            found.push((
                format!("properties.{key}"),
                "is set by the gateway itself".to_owned(),
            ));
        }
        if found.is_empty()
            && let Err(error) = self.probe()
        {
            found.push(("properties".to_owned(), error));
        }
        found
    }

    /// The problem of a message timeout that outlives the lease under which records are dispatched: a record
    /// could then still be produced after its command went to another attempt.
    pub fn problem_with_dispatch_lease(&self, dispatch_lease_ms: u64) -> Option<(String, String)> {
        (self.message_timeout_ms >= dispatch_lease_ms).then(|| {
            let problem = format!("must be below the dispatch lease of {dispatch_lease_ms} ms");
            ("message_timeout_ms".to_owned(), problem)
        })
    }

    /// The problem of a record that would wait for others until it has timed out; librdkafka refuses that.
    pub fn problem_with_linger(&self, linger: Duration) -> Option<(String, String)> {
        (u128::from(self.message_timeout_ms) <= linger.as_millis()).then(|| {
            let problem = format!("must exceed the linger of {} ms", linger.as_millis());
            ("message_timeout_ms".to_owned(), problem)
        })
    }

    /// Bound of one metadata, offset or admin request.
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// The properties of a producer: a record waits for others of its partition at most this long, a confirmation is an answer of the broker about this very
    /// record, and a missing topic is reported after a second instead of only by the message timeout.
    ///
    /// Not idempotent: librdkafka 2.x confirms records of such a producer by inference from later ones, and after a
    /// time-out it infers wrongly (its issue 4134).
    pub(crate) fn producer(&self, linger: Duration) -> Result<ClientConfig, rdkafka::error::KafkaError> {
        let mut native = self.common()?;
        native
            .set("enable.idempotence", "false")
            .set("acks", "all")
            .set("max.in.flight", MOST_IN_FLIGHT)
            .set("linger.ms", linger.as_millis().to_string())
            .set("message.timeout.ms", self.message_timeout_ms.to_string())
            .set("request.timeout.ms", self.message_timeout_ms.to_string())
            .set("queue.buffering.max.messages", self.queue_max_records.to_string())
            .set("retry.backoff.ms", "50")
            .set(
                "retry.backoff.max.ms",
                self.reconnect_backoff_max_ms.max(50).to_string(),
            )
            .set("topic.metadata.propagation.max.ms", "1000")
            .set("partitioner", "murmur2_random");
        Ok(native)
    }

    /// The properties of a lane consumer: a group name without a group, explicit offsets, no commits.
    pub(crate) fn consumer(&self) -> Result<ClientConfig, rdkafka::error::KafkaError> {
        let mut native = self.common()?;
        native
            .set("group.id", format!("{}-lanes", self.client_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "false")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", self.fetch_wait_max_ms.to_string())
            .set("fetch.error.backoff.ms", "50")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        Ok(native)
    }

    /// The properties of an admin or metadata client.
    pub(crate) fn admin(&self) -> Result<ClientConfig, rdkafka::error::KafkaError> {
        self.common()
    }

    /// What every client has. `socket.timeout.ms` bounds how long a stopped broker goes unnoticed.
    fn common(&self) -> Result<ClientConfig, rdkafka::error::KafkaError> {
        let mut native = ClientConfig::new();
        native
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", &self.client_id)
            .set("allow.auto.create.topics", "false")
            .set(
                "reconnect.backoff.ms",
                self.reconnect_backoff_max_ms.min(50).to_string(),
            )
            .set(
                "reconnect.backoff.max.ms",
                self.reconnect_backoff_max_ms.to_string(),
            )
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("socket.timeout.ms", "6000")
            .set("socket.connection.setup.timeout.ms", "3000");
        self.security.apply(&mut native)?;
        for (key, value) in &self.properties {
            native.set(key, value);
        }
        Ok(native)
    }

    /// Lets librdkafka itself check names and values.
    fn probe(&self) -> Result<(), String> {
        for native in [self.producer(Duration::ZERO), self.consumer()] {
            native
                .and_then(|native| native.create_native_config().map(drop))
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// Numbers out of their range.
    fn number_problems(&self) -> Vec<(String, String)> {
        let ranges = [
            ("message_timeout_ms", self.message_timeout_ms, 100, 300_000),
            (
                "reconnect_backoff_max_ms",
                self.reconnect_backoff_max_ms,
                10,
                60_000,
            ),
            ("fetch_wait_max_ms", self.fetch_wait_max_ms, 1, 5_000),
            ("request_timeout_ms", self.request_timeout_ms, 100, 60_000),
            (
                "queue_max_records",
                u64::from(self.queue_max_records),
                1,
                10_000_000,
            ),
        ];
        ranges
            .iter()
            .filter(|(_, value, low, high)| value < low || value > high)
            .map(|(key, value, low, high)| {
                ((*key).to_owned(), format!("{value} is not within {low}..={high}"))
            })
            .collect()
    }

    /// Addresses and names.
    fn text_problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for server in self.bootstrap_servers.split(',') {
            let port = server
                .trim()
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty());
            if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|p| p > 0)) {
                found.push((
                    "bootstrap_servers".to_owned(),
                    format!("\"{server}\" is not host:port"),
                ));
            }
        }
        if self.client_id.trim().is_empty() {
            found.push(("client_id".to_owned(), "is empty".to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests;
