//! The router's configuration: defaults that run against the compose stack, and what must hold between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chassis::{
    AdminConfig, ChassisConfig, LogConfig, Problems, ServiceConfig, ShutdownConfig, TelemetryConfig,
};
use domain::action;
use domain::command::RedeliveryClass;
use domain::settings::DeliverySettings;
use domain::topics::TopicSettings;
use serde::{Deserialize, Serialize};

use crate::breaker::BreakerConfig;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// `grpc`: the port of the API and of the link.
    pub grpc: GrpcConfig,
    /// `router`: this replica.
    pub router: ReplicaConfig,
    /// `redis`: the store.
    pub redis: store::StoreConfig,
    /// `kafka`: the bus.
    pub kafka: bus::BusConfig,
    /// `breaker`: when Kafka is left to the other routers.
    pub breaker: BreakerConfig,
    /// `delivery`: how commands are delivered.
    pub delivery: DeliveryConfig,
    /// `topics`: how many shards and partitions there are; the same in every router.
    pub topics: TopicSettings,
    /// `log`.
    pub log: LogConfig,
    /// `telemetry`.
    pub telemetry: TelemetryConfig,
    /// `admin`.
    pub admin: AdminConfig,
    /// `shutdown`.
    pub shutdown: ShutdownConfig,
}

/// The gRPC port and its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Largest message that is read.
    pub max_message_bytes: usize,
    /// Streams at a time on one connection.
    pub max_streams: u32,
    /// Calls at a time on one connection; further ones wait.
    pub max_calls: usize,
    /// How often a silent connection is pinged.
    pub keepalive_ms: u64,
    /// How long a ping may stay unanswered before the connection counts as broken.
    pub keepalive_timeout_ms: u64,
}

/// This replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplicaConfig {
    /// Its name in logs and in drain leases; empty takes one from the process.
    pub id: String,
}

/// How commands are delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Most writes of a command.
    pub attempts: u32,
    /// How long a charger may take to answer.
    pub answer_timeout_ms: u64,
    /// The same for urgent commands.
    pub urgent_answer_timeout_ms: u64,
    /// The deadline of a command that names none, from its acceptance.
    pub deadline_default_ms: u64,
    /// No deadline may be further ahead.
    pub deadline_max_ms: u64,
    /// First step of the retry backoff.
    pub backoff_base_ms: u64,
    /// No step exceeds this.
    pub backoff_cap_ms: u64,
    /// How long a claim may stay without a notice.
    pub dispatch_lease_ms: u64,
    /// How long a grant permits the write.
    pub grant_ms: u64,
    /// The lease of an edge pod.
    pub pod_lease_ms: u64,
    /// How long a registration lasts unless it is renewed.
    pub connection_ttl_ms: u64,
    /// Most open commands of a charger.
    pub max_open_per_charger: u32,
    /// Most results that may wait for Kafka in a slot before acceptance refuses.
    pub max_outbox: u32,
    /// So many later commands overtake one that waits in the normal lane; then it is the next.
    pub max_overtakes: u32,
    /// How long an ended command can be read.
    pub retention_ms: u64,
    /// The same for dead letters.
    pub dead_letter_retention_ms: u64,
    /// Most dead letters in one part of the store; beyond, the oldest leave.
    pub max_dead_letters: u32,
    /// How long an idempotency key outlives its command.
    pub idempotency_retention_ms: u64,
    /// How often an unconfirmed kick or cancel is sent again.
    pub note_resend_ms: u64,
    /// How long, at most, what is of low priority waits in a slot for more of its kind, before it goes to the store or
    /// leaves it: until the slot's next moment, and those are so far apart; to leave it, until every second one.
    pub low_priority_linger_ms: u64,
    /// How long a record of low priority waits for others on its way to Kafka, if it comes so soon after another one.
    pub low_priority_produce_linger_ms: u64,
    /// Largest payload, in bytes.
    pub max_payload_bytes: usize,
    /// Redelivery classes by action, over the built-in table.
    pub redelivery: BTreeMap<String, RedeliveryOverride>,
}

/// A redelivery class in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedeliveryOverride {
    /// Safe to repeat.
    Safe,
    /// Never written again after a possible write.
    Unsafe,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            grpc: GrpcConfig::default(),
            router: ReplicaConfig::default(),
            redis: store::StoreConfig::default(),
            kafka: bus::BusConfig::default(),
            breaker: BreakerConfig::default(),
            delivery: DeliveryConfig::default(),
            topics: TopicSettings::default(),
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            admin: AdminConfig {
                listen: SocketAddr::from(([0, 0, 0, 0], 7100)),
                ..AdminConfig::default()
            },
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7000)),
            max_message_bytes: 4 << 20,
            max_streams: 10_000,
            max_calls: 4_096,
            keepalive_ms: 5_000,
            keepalive_timeout_ms: 5_000,
        }
    }
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        let settings = DeliverySettings::default();
        Self {
            attempts: 3,
            answer_timeout_ms: 30_000,
            urgent_answer_timeout_ms: 10_000,
            deadline_default_ms: 300_000,
            deadline_max_ms: 86_400_000,
            backoff_base_ms: settings.backoff_base_us / 1_000,
            backoff_cap_ms: settings.backoff_cap_us / 1_000,
            dispatch_lease_ms: settings.dispatch_lease_us / 1_000,
            grant_ms: settings.grant_us / 1_000,
            pod_lease_ms: settings.pod_lease_us / 1_000,
            connection_ttl_ms: settings.connection_ttl_us / 1_000,
            max_open_per_charger: settings.max_open_per_charger,
            max_outbox: settings.max_outbox,
            max_overtakes: settings.max_overtakes,
            retention_ms: settings.retention_us / 1_000,
            dead_letter_retention_ms: settings.dead_letter_retention_us / 1_000,
            max_dead_letters: settings.max_dead_letters,
            idempotency_retention_ms: settings.idempotency_retention_us / 1_000,
            note_resend_ms: settings.note_resend_us / 1_000,
            low_priority_linger_ms: 500,
            low_priority_produce_linger_ms: 200,
            max_payload_bytes: 64 << 10,
            redelivery: BTreeMap::new(),
        }
    }
}

impl DeliveryConfig {
    /// The durations as the store and the domain use them.
    #[must_use]
    pub fn settings(&self) -> DeliverySettings {
        DeliverySettings {
            backoff_base_us: self.backoff_base_ms * 1_000,
            backoff_cap_us: self.backoff_cap_ms * 1_000,
            dispatch_lease_us: self.dispatch_lease_ms * 1_000,
            grant_us: self.grant_ms * 1_000,
            pod_lease_us: self.pod_lease_ms * 1_000,
            connection_ttl_us: self.connection_ttl_ms * 1_000,
            max_open_per_charger: self.max_open_per_charger,
            max_outbox: self.max_outbox,
            max_overtakes: self.max_overtakes,
            retention_us: self.retention_ms * 1_000,
            dead_letter_retention_us: self.dead_letter_retention_ms * 1_000,
            max_dead_letters: self.max_dead_letters,
            idempotency_retention_us: self.idempotency_retention_ms * 1_000,
            note_resend_us: self.note_resend_ms * 1_000,
        }
    }

    /// How long what is of low priority waits in a slot for more of its kind.
    #[must_use]
    pub fn low_priority_linger(&self) -> Duration {
        Duration::from_millis(self.low_priority_linger_ms)
    }

    /// How long a record of low priority waits for others on its way to Kafka.
    #[must_use]
    pub fn low_priority_produce_linger(&self) -> Duration {
        Duration::from_millis(self.low_priority_produce_linger_ms)
    }

    /// The class of an action: the configured one, or that of the built-in table.
    #[must_use]
    pub fn class(&self, action: &str) -> RedeliveryClass {
        match self.redelivery.get(action) {
            Some(RedeliveryOverride::Safe) => RedeliveryClass::Safe,
            Some(RedeliveryOverride::Unsafe) => RedeliveryClass::Unsafe,
            None => action::default_class(action),
        }
    }

    /// Every duration with its key and its upper bound.
    fn durations(&self) -> [(&'static str, u64, u64); 14] {
        const DAY: u64 = 86_400_000;
        [
            ("answer_timeout_ms", self.answer_timeout_ms, DAY),
            ("urgent_answer_timeout_ms", self.urgent_answer_timeout_ms, DAY),
            (
                "deadline_default_ms",
                self.deadline_default_ms,
                self.deadline_max_ms,
            ),
            ("deadline_max_ms", self.deadline_max_ms, 30 * DAY),
            ("backoff_base_ms", self.backoff_base_ms, self.backoff_cap_ms),
            ("backoff_cap_ms", self.backoff_cap_ms, DAY),
            ("dispatch_lease_ms", self.dispatch_lease_ms, DAY),
            ("grant_ms", self.grant_ms, DAY),
            ("pod_lease_ms", self.pod_lease_ms, DAY),
            ("connection_ttl_ms", self.connection_ttl_ms, 30 * DAY),
            ("retention_ms", self.retention_ms, 365 * DAY),
            (
                "dead_letter_retention_ms",
                self.dead_letter_retention_ms,
                365 * DAY,
            ),
            (
                "idempotency_retention_ms",
                self.idempotency_retention_ms,
                365 * DAY,
            ),
            ("note_resend_ms", self.note_resend_ms, DAY),
        ]
    }

    fn validate(&self, problems: &mut Problems) {
        problems.range("delivery.attempts", self.attempts, 1..=100);
        problems.range(
            "delivery.max_open_per_charger",
            self.max_open_per_charger,
            1..=100_000,
        );
        problems.range("delivery.max_outbox", self.max_outbox, 1..=10_000_000);
        problems.range("delivery.max_overtakes", self.max_overtakes, 1..=100_000);
        problems.range("delivery.max_dead_letters", self.max_dead_letters, 1..=1_000_000);
        for (key, linger) in [
            ("low_priority_linger_ms", self.low_priority_linger_ms),
            (
                "low_priority_produce_linger_ms",
                self.low_priority_produce_linger_ms,
            ),
        ] {
            problems.range(&format!("delivery.{key}"), linger, 0..=1_000);
        }
        problems.range("delivery.max_payload_bytes", self.max_payload_bytes, 2..=900_000);
        for (key, value, most) in self.durations() {
            problems.range(&format!("delivery.{key}"), value, 1..=most);
        }
        problems.check(
            self.connection_ttl_ms > self.pod_lease_ms,
            "delivery.connection_ttl_ms",
            format!(
                "must exceed delivery.pod_lease_ms, which is {}",
                self.pod_lease_ms
            ),
        );
    }
}

impl GrpcConfig {
    /// How often a silent connection is pinged.
    #[must_use]
    pub fn keepalive(&self) -> Duration {
        Duration::from_millis(self.keepalive_ms)
    }

    /// Most bytes of a page: what is left of a message is for the caller's own bounds, which are often the same.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.max_message_bytes / 4 * 3
    }

    /// How long a ping may stay unanswered.
    #[must_use]
    pub fn keepalive_timeout(&self) -> Duration {
        Duration::from_millis(self.keepalive_timeout_ms)
    }

    fn validate(&self, problems: &mut Problems) {
        problems.range(
            "grpc.max_message_bytes",
            self.max_message_bytes,
            64 << 10..=64 << 20,
        );
        problems.range("grpc.max_streams", self.max_streams, 1..=1_000_000);
        problems.range("grpc.max_calls", self.max_calls, 1..=1_000_000);
        problems.range("grpc.keepalive_ms", self.keepalive_ms, 100..=3_600_000);
        problems.range(
            "grpc.keepalive_timeout_ms",
            self.keepalive_timeout_ms,
            100..=3_600_000,
        );
    }
}

impl ServiceConfig for RouterConfig {
    fn validate(&self, problems: &mut Problems) {
        self.grpc.validate(problems);
        self.breaker.validate(problems);
        self.delivery.validate(problems);
        for (key, problem) in self.redis.problems() {
            problems.add(format!("redis.{key}"), problem);
        }
        for (key, problem) in self.kafka.problems() {
            problems.add(format!("kafka.{key}"), problem);
        }
        // A record may still be produced until its message timeout: never beyond the claim that it is for.
        let late = self
            .kafka
            .problem_with_dispatch_lease(self.delivery.dispatch_lease_ms);
        let lingering = self
            .kafka
            .problem_with_linger(self.delivery.low_priority_produce_linger());
        for (key, problem) in late.into_iter().chain(lingering) {
            problems.add(format!("kafka.{key}"), problem);
        }
        problems.range("topics.shards", self.topics.shards, 1..=10_000);
        problems.range(
            "topics.shard_partitions",
            self.topics.shard_partitions,
            2..=10_000,
        );
        problems.check(
            self.topics.shard_partitions.is_multiple_of(2),
            "topics.shard_partitions",
            "must be even",
        );
        problems.range("topics.up_partitions", self.topics.up_partitions, 1..=10_000);
        problems.range("topics.replication", self.topics.replication, 1..=100);
    }

    fn chassis(&self) -> ChassisConfig {
        ChassisConfig {
            log: self.log.clone(),
            telemetry: self.telemetry.clone(),
            admin: self.admin.clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
