//! The edge's configuration. Its defaults run against the compose file of the repository.
//!
//! Leaves out what every service has (`chassis`) and how Kafka is reached (`bus`), which are embedded as sections.

use std::net::SocketAddr;

use bus::BusConfig;
use chassis::{
    AdminConfig, ChassisConfig, LogConfig, Problems, ServiceConfig, ShutdownConfig, TelemetryConfig,
};
use domain::ids::PodId;
use ocpp::{AnswerPolicy, AuthorizeStatus};
use serde::{Deserialize, Serialize};

/// Everything an operator may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeConfig {
    /// `log`.
    pub log: LogConfig,
    /// `telemetry`.
    pub telemetry: TelemetryConfig,
    /// `admin`.
    pub admin: AdminConfig,
    /// `shutdown`.
    pub shutdown: ShutdownConfig,
    /// `pod`: who this edge is.
    pub pod: PodConfig,
    /// `ocpp`: the chargers' side.
    pub ocpp: OcppConfig,
    /// `routers`: `host:port` of each, tried in a random order.
    pub routers: Vec<String>,
    /// `link`: how the link to a router behaves.
    pub link: LinkConfig,
    /// `kafka`.
    pub kafka: BusConfig,
    /// `canary`: how the consumer is watched.
    pub canary: CanaryConfig,
    /// `upstream`: what chargers say, on its way to Kafka.
    pub upstream: UpstreamConfig,
    /// `answers`: what the edge answers to chargers by itself.
    pub answers: AnswersConfig,
}

/// `pod`: who this edge is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodConfig {
    /// The name of the pod, unique among the edges that live at a time.
    pub id: String,
    /// How long before the end of its lease an edge stops writing: what a monotonic clock may be wrong by.
    pub lease_margin_ms: u64,
    /// How often the lease is renewed.
    pub renew_ms: u64,
    /// How long a place that the pod moved away from is still consumed: the routers' dispatch lease and their
    /// `kafka.message_timeout_ms` together, within which what they sent there has come.
    pub old_place_ms: u64,
}

/// `ocpp`: the chargers' side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OcppConfig {
    /// Where to listen for chargers.
    pub listen: SocketAddr,
    /// Open connections; further upgrades are answered 503.
    pub max_connections: usize,
    /// Connections that have not finished their handshake; further ones wait in the kernel's queue.
    pub max_handshakes: usize,
    /// From the accepted connection to the answered upgrade.
    pub handshake_timeout_ms: u64,
    /// The largest message of a charger; a larger one closes the connection with 1009.
    pub max_message_bytes: usize,
    /// What may wait to be written to one charger.
    pub max_write_buffer_bytes: usize,
    /// The read buffer of a connection, allocated for its whole life.
    pub read_buffer_bytes: usize,
    /// How often a silent charger is pinged.
    pub ping_interval_ms: u64,
    /// A charger from which nothing came for so long is disconnected.
    pub idle_timeout_ms: u64,
    /// How long a CALL waits for its answer where its record does not say.
    pub call_timeout_ms: u64,
    /// A charger that takes nothing of what is written to it for so long is disconnected.
    pub write_timeout_ms: u64,
    /// How long a closed connection may linger for the charger's own close.
    pub close_linger_ms: u64,
    /// Connections closed a second when the edge drains.
    pub drain_per_second: u32,
    /// Parts that the connections are divided into, each with a lock of its own.
    pub shards: usize,
}

/// `link`: how the link to a router behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkConfig {
    /// How long a connection to a router may take to come up.
    pub connect_timeout_ms: u64,
    /// A router that leaves a request unanswered for so long is left for another.
    pub reply_timeout_ms: u64,
    /// The longest pause between attempts.
    pub retry_max_ms: u64,
    /// Items that may wait for the router; beyond, the link is given up and said anew.
    pub max_queue: usize,
    /// Under load, what is said of commands of low priority waits up to so long, to be said together; 0 never waits.
    pub low_priority_linger_ms: u64,
}

/// `canary`: how the consumer is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryConfig {
    /// The age of the last canary up to which a lane counts as alive.
    pub fresh_ms: u64,
    /// Silence after which the consumer is replaced.
    pub rebuild_ms: u64,
}

/// `upstream`: what chargers say, on its way to Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamConfig {
    /// Events without a delivery report. Beyond, an event that must be durable is not answered, so that the
    /// charger repeats it, and any other is dropped; both are counted.
    pub max_in_flight: usize,
}

/// `answers`: what the edge answers to chargers by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersConfig {
    /// The heartbeat interval that BootNotification hands out.
    pub heartbeat_interval_s: u32,
    /// The verdict on every idTag and idToken.
    pub authorize_status: AuthorizeStatus,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        let admin = AdminConfig {
            listen: SocketAddr::from(([0, 0, 0, 0], 8100)),
            ..AdminConfig::default()
        };
        let kafka = BusConfig {
            bootstrap_servers: "kafka:9092".into(),
            client_id: "holdfast-edge".into(),
            ..BusConfig::default()
        };
        Self {
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            admin,
            shutdown: ShutdownConfig::default(),
            pod: PodConfig {
                id: "edge-1".into(),
                lease_margin_ms: 500,
                renew_ms: 3_000,
                old_place_ms: 12_000,
            },
            ocpp: OcppConfig::default(),
            routers: vec!["router-1:7000".into(), "router-2:7000".into()],
            link: LinkConfig {
                connect_timeout_ms: 2_000,
                reply_timeout_ms: 4_000,
                retry_max_ms: 1_000,
                max_queue: 100_000,
                low_priority_linger_ms: 25,
            },
            kafka,
            canary: CanaryConfig {
                fresh_ms: 5_000,
                rebuild_ms: 8_000,
            },
            upstream: UpstreamConfig {
                max_in_flight: 50_000,
            },
            answers: AnswersConfig::default(),
        }
    }
}

impl Default for OcppConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            max_connections: 100_000,
            max_handshakes: 1_024,
            handshake_timeout_ms: 10_000,
            max_message_bytes: 64 * 1024,
            max_write_buffer_bytes: 256 * 1024,
            read_buffer_bytes: 512,
            ping_interval_ms: 60_000,
            idle_timeout_ms: 900_000,
            call_timeout_ms: 30_000,
            write_timeout_ms: 10_000,
            close_linger_ms: 2_000,
            drain_per_second: 5_000,
            shards: 8,
        }
    }
}

impl Default for AnswersConfig {
    fn default() -> Self {
        let policy = AnswerPolicy::default();
        Self {
            heartbeat_interval_s: policy.heartbeat_interval_s,
            authorize_status: policy.authorize_status,
        }
    }
}

impl From<&AnswersConfig> for AnswerPolicy {
    fn from(config: &AnswersConfig) -> Self {
        Self {
            heartbeat_interval_s: config.heartbeat_interval_s,
            authorize_status: config.authorize_status,
        }
    }
}

impl LinkConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.range("link.connect_timeout_ms", self.connect_timeout_ms, 1..=60_000);
        problems.range("link.reply_timeout_ms", self.reply_timeout_ms, 100..=60_000);
        problems.range("link.retry_max_ms", self.retry_max_ms, 1..=60_000);
        problems.range("link.max_queue", self.max_queue, 100..=10_000_000);
        problems.range(
            "link.low_priority_linger_ms",
            self.low_priority_linger_ms,
            0..=1_000,
        );
    }
}

impl ServiceConfig for EdgeConfig {
    fn validate(&self, problems: &mut Problems) {
        if let Err(error) = PodId::parse(&self.pod.id) {
            problems.add("pod.id", error.to_string());
        }
        problems.range("pod.renew_ms", self.pod.renew_ms, 100..=60_000);
        problems.range("pod.old_place_ms", self.pod.old_place_ms, 0..=600_000);
        problems.range("pod.lease_margin_ms", self.pod.lease_margin_ms, 0..=60_000);
        problems.check(
            !self.routers.is_empty(),
            "routers",
            "must name at least one router",
        );
        for router in &self.routers {
            let port = router.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            let valid = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            problems.check(valid, "routers", format!("must be host:port, not {router:?}"));
        }
        self.link.validate(problems);
        problems.range(
            "upstream.max_in_flight",
            self.upstream.max_in_flight,
            1..=10_000_000,
        );
        problems.range("canary.fresh_ms", self.canary.fresh_ms, 100..=600_000);
        problems.range(
            "canary.rebuild_ms",
            self.canary.rebuild_ms,
            self.canary.fresh_ms..=600_000,
        );
        self.ocpp.validate(problems);
        for (key, problem) in self.kafka.problems() {
            problems.add(format!("kafka.{key}"), problem);
        }
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

impl OcppConfig {
    fn validate(&self, problems: &mut Problems) {
        problems.range("ocpp.max_connections", self.max_connections, 1..=10_000_000);
        problems.range("ocpp.max_handshakes", self.max_handshakes, 1..=1_000_000);
        problems.range(
            "ocpp.handshake_timeout_ms",
            self.handshake_timeout_ms,
            10..=60_000,
        );
        problems.range(
            "ocpp.max_message_bytes",
            self.max_message_bytes,
            1_024..=1024 * 1024,
        );
        let least = self.max_message_bytes;
        problems.range(
            "ocpp.max_write_buffer_bytes",
            self.max_write_buffer_bytes,
            least..=16 * 1024 * 1024,
        );
        problems.range(
            "ocpp.read_buffer_bytes",
            self.read_buffer_bytes,
            128..=1024 * 1024,
        );
        problems.range("ocpp.ping_interval_ms", self.ping_interval_ms, 1_000..=3_600_000);
        problems.range(
            "ocpp.idle_timeout_ms",
            self.idle_timeout_ms,
            self.ping_interval_ms..=86_400_000,
        );
        problems.range("ocpp.call_timeout_ms", self.call_timeout_ms, 100..=600_000);
        problems.range("ocpp.write_timeout_ms", self.write_timeout_ms, 100..=600_000);
        problems.range("ocpp.close_linger_ms", self.close_linger_ms, 0..=60_000);
        problems.range("ocpp.drain_per_second", self.drain_per_second, 1..=10_000_000);
        problems.range("ocpp.shards", self.shards, 1..=1_024);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_pinned() {
        let config = EdgeConfig::default();
        let mut problems = Problems::new();
        config.validate(&mut problems);
        assert!(problems.is_empty(), "{:?}", problems.into_sorted());
        insta::assert_snapshot!(chassis::config::dump(&config));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let mut config = EdgeConfig::default();
        config.pod.id = "no spaces".into();
        config.routers = vec!["router".into()];
        config.ocpp.shards = 0;
        let mut problems = Problems::new();
        config.validate(&mut problems);
        let keys: Vec<_> = problems.into_sorted().into_iter().map(|p| p.key).collect();
        assert_eq!(keys, ["ocpp.shards", "pod.id", "routers"]);
    }
}
