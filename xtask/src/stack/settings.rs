//! The only place that knows the services' flags, configuration keys, ready files and URLs.
//!
//! Left out: process handling. When a service renames a key, this file is what follows.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Every binary that a stack with a broker, routers, edges and chargers may start, as `(package, binary)`.
pub const BINARIES: [(&str, &str); 7] = [
    ("router", ROUTER),
    ("edge", EDGE),
    ("registry-sweeper", "registry-sweeper"),
    ("gatewayctl", "gatewayctl"),
    ("simulator", SIMULATOR),
    ("bus", EMBEDDED_BROKER),
    ("bus", TOPIC_TAIL),
];

/// What the bench starts.
pub const BENCH_BINARIES: [(&str, &str); 6] = [
    ("router", ROUTER),
    ("edge", EDGE),
    ("simulator", SIMULATOR),
    ("bus", EMBEDDED_BROKER),
    ("bus", TOPIC_TAIL),
    ("bus", KAFKA_LATENCY),
];

/// The router's binary.
pub const ROUTER: &str = "router";

/// The edge's binary.
pub const EDGE: &str = "edge";

/// The simulated chargers' binary.
pub const SIMULATOR: &str = "simulator";

/// The stand-in broker's binary.
pub const EMBEDDED_BROKER: &str = "embedded-broker";

/// The binary that prints a topic as it grows.
pub const TOPIC_TAIL: &str = "topic-tail";

/// The binary that times records on their way through Kafka.
pub const KAFKA_LATENCY: &str = "kafka-latency";

/// The simulator's log in the scratch folder of a stack.
pub const SIMULATOR_LOG: &str = "simulator.jsonl";

/// What the ids of simulated chargers begin with; a number of six digits follows.
pub const CHARGER_PREFIX: &str = "CP-";

/// The gauge that an edge's metrics have of its open connections.
pub const CONNECTIONS_METRIC: &str = "gateway_active_connections";

/// The counter that a router has of what edges told it and it did, registrations among them.
pub const ITEMS_DONE_METRIC: &str = "gateway_router_link_items_total{outcome=\"done\"}";

/// What a service used of a processor's time since its start, in seconds.
pub const PROCESSOR_METRIC: &str = "process_cpu_seconds_total";

/// The path of the readiness probe on a service's admin port.
pub const READY_PATH: &str = "/readyz";

/// The path of the metrics on a service's admin port.
pub const METRICS_PATH: &str = "/metrics";

/// How long a service of a stack on a developer's machine may drain.
pub const DRAIN_MS: u64 = 5_000;

/// The arguments that print the topics as JSON.
pub const LIST_TOPICS: [&str; 3] = ["topics", "--output", "json"];

/// The arguments that make the topics on a broker; `--set` flags follow.
pub const CREATE_TOPICS: [&str; 1] = ["create-topics"];

/// Configuration keys with their values, in the order of the `--set` flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<(&'static str, String)>);

/// Where one router listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterAddresses {
    /// The command API and the edges' links.
    pub grpc: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
}

/// Where one edge listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeAddresses {
    /// The chargers' WebSockets.
    pub ocpp: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
}

impl Settings {
    /// What a router is told.
    #[must_use]
    pub fn router(id: &str, listen: RouterAddresses, redis: SocketAddr, kafka: SocketAddr) -> Self {
        Self::default()
            .with("router.id", id)
            .with("grpc.listen", listen.grpc)
            .with("admin.listen", listen.admin)
            .with("redis.url", redis_url(redis))
            .with("kafka.bootstrap_servers", kafka)
            .with("shutdown.drain_ms", DRAIN_MS)
    }

    /// What an edge is told; it never learns where Redis is.
    #[must_use]
    pub fn edge(id: &str, listen: EdgeAddresses, routers: &[SocketAddr], kafka: SocketAddr) -> Self {
        Self::default()
            .with("pod.id", id)
            .with("ocpp.listen", listen.ocpp)
            .with("admin.listen", listen.admin)
            .with("routers", join(routers))
            .with("kafka.bootstrap_servers", kafka)
            .with("shutdown.drain_ms", DRAIN_MS)
    }

    /// What `router create-topics` is told.
    #[must_use]
    pub fn topics(kafka: SocketAddr) -> Self {
        Self::default().with("kafka.bootstrap_servers", kafka)
    }

    /// Adds or overrides one key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.0.retain(|(known, _)| *known != key);
        self.0.push((key, format!("{value}")));
        self
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> Vec<OsString> {
        let pairs = self.0.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.flat_map(|pair| ["--set".into(), pair.into()]).collect()
    }
}

/// The flags that every supervised service takes.
#[must_use]
pub fn supervised_flags(ready_file: &Path) -> Vec<OsString> {
    vec![
        "--exit-on-stdin-close".into(),
        "--ready-file".into(),
        ready_file.into(),
    ]
}

/// The simulator's flags: `chargers` chargers over the edges' URLs, with a log of all they saw.
///
/// It writes no ready file: it is ready when it runs, since its chargers connect again and again anyway.
#[must_use]
pub fn simulator_flags(edges: &[SocketAddr], chargers: u32, log: &Path) -> Vec<OsString> {
    let mut flags: Vec<OsString> = vec!["--count".into(), chargers.to_string().into()];
    for edge in edges {
        flags.extend(["--url".into(), ocpp_url(*edge).into()]);
    }
    flags.extend(
        [
            "--prefix",
            CHARGER_PREFIX,
            "--answer-delay-ms",
            "0..50",
            "--heartbeat-s",
            "60",
        ]
        .map(Into::into),
    );
    flags.extend(["--exit-on-stdin-close".into(), "--log".into(), log.into()]);
    flags
}

/// Chargers of the bench: they connect as fast as they can and then say nothing.
#[derive(Debug, Clone, Copy)]
pub struct Swarm<'a> {
    /// An edge or a sink.
    pub target: SocketAddr,
    /// What the ids begin with; a number of six digits follows.
    pub prefix: &'a str,
    /// How many.
    pub count: u32,
    /// They come from 127.0.`network`.1 to 8, with ports of the simulator's choice.
    pub network: u8,
    /// How long each takes for an answer, on average: from nothing to twice that.
    pub delay: Duration,
    /// Where they log what they see, if anywhere.
    pub log: Option<&'a Path>,
}

impl Swarm<'_> {
    /// The simulator's flags.
    #[must_use]
    pub fn flags(&self) -> Vec<OsString> {
        let sources: Vec<String> = (1..=8)
            .map(|host| format!("127.0.{}.{host}", self.network))
            .collect();
        let pairs = [
            ("--url", ocpp_url(self.target)),
            ("--prefix", self.prefix.to_owned()),
            ("--count", self.count.to_string()),
            ("--source-ips", sources.join(",")),
            ("--heartbeat-s", "0".to_owned()),
            ("--answer-delay-ms", format!("0..{}", 2 * self.delay.as_millis())),
            ("--max-connecting", "256".to_owned()),
        ];
        let switches = ["--quiet", "--time-connects", "--exit-on-stdin-close"];
        let pairs = pairs
            .into_iter()
            .flat_map(|(flag, value)| [flag.into(), value.into()]);
        let log = self.log.map(|path| ["--log".into(), path.into()]);
        let log = log.into_iter().flatten();
        pairs.chain(log).chain(switches.map(OsString::from)).collect()
    }
}

/// The simulator's flags when it is the bare server that a gateway is compared with.
#[must_use]
pub fn sink_flags(address: SocketAddr) -> Vec<OsString> {
    vec![
        "--sink".into(),
        address.to_string().into(),
        "--exit-on-stdin-close".into(),
    ]
}

/// The flags of the tool that times records. It writes where nobody reads while chargers answer, since only the
/// host of the embedded broker can make a topic of its own for it.
#[must_use]
pub fn kafka_latency_flags(
    kafka: SocketAddr,
    records: usize,
    rate: u32,
    fetch_wait_ms: Option<u64>,
) -> Vec<OsString> {
    let mut flags = vec!["--bootstrap".to_owned(), kafka.to_string()];
    flags.extend(["--topic", "commands-dead-letter", "--records"].map(str::to_owned));
    flags.push(records.to_string());
    flags.extend(["--rate".to_owned(), rate.to_string()]);
    if let Some(wait) = fetch_wait_ms {
        flags.extend(["--fetch-wait-ms".to_owned(), wait.to_string()]);
    }
    flags.into_iter().map(OsString::from).collect()
}

/// The flags of the tool that prints `command-results` as it grows.
#[must_use]
pub fn tail_flags(kafka: SocketAddr) -> Vec<OsString> {
    let flags = [
        "--bootstrap",
        &kafka.to_string(),
        "--topic",
        "command-results",
        "--exit-on-stdin-close",
    ];
    flags.into_iter().map(OsString::from).collect()
}

/// Where a client of Redis connects.
#[must_use]
pub fn redis_url(address: SocketAddr) -> String {
    format!("redis://{address}")
}

/// The URL to which a charger appends its identity.
#[must_use]
pub fn ocpp_url(address: SocketAddr) -> String {
    format!("ws://{address}/ocpp")
}

/// Reads a router's ready file.
pub fn router_ready(ready: &Value) -> Result<RouterAddresses> {
    Ok(RouterAddresses {
        grpc: address(ready, "grpc")?,
        admin: address(ready, "admin")?,
    })
}

/// Reads an edge's ready file.
pub fn edge_ready(ready: &Value) -> Result<EdgeAddresses> {
    Ok(EdgeAddresses {
        ocpp: address(ready, "ocpp")?,
        admin: address(ready, "admin")?,
    })
}

fn address(ready: &Value, key: &str) -> Result<SocketAddr> {
    let text = ready["addresses"][key]
        .as_str()
        .with_context(|| format!("the ready file names no {key:?}: {ready}"))?;
    text.parse()
        .with_context(|| format!("the ready file's {key:?} is no address: {text:?}"))
}

fn join(addresses: &[SocketAddr]) -> String {
    addresses
        .iter()
        .map(SocketAddr::to_string)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_edge_is_told_every_router_and_nothing_of_redis() {
        let listen = EdgeAddresses {
            ocpp: at(1),
            admin: at(2),
        };
        let flags = Settings::edge("edge-1", listen, &[at(3), at(4)], at(5)).flags();
        let text: Vec<String> = flags
            .iter()
            .map(|flag| flag.to_string_lossy().into_owned())
            .collect();
        assert!(text.contains(&"routers=127.0.0.1:3,127.0.0.1:4".to_owned()));
        assert!(text.iter().all(|flag| !flag.contains("redis")));
        assert_eq!(
            text.iter().filter(|flag| *flag == "--set").count() * 2,
            text.len()
        );
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let flags = Settings::topics(at(1))
            .with("kafka.bootstrap_servers", at(2))
            .flags();
        assert_eq!(
            flags,
            ["--set", "kafka.bootstrap_servers=127.0.0.1:2"].map(OsString::from)
        );
    }

    #[test]
    fn a_ready_file_that_lacks_an_address_names_the_key() {
        let ready = serde_json::json!({"addresses": {"grpc": "127.0.0.1:1"}});
        assert!(
            router_ready(&ready)
                .unwrap_err()
                .to_string()
                .contains("\"admin\"")
        );
        let ready = serde_json::json!({"addresses": {"ocpp": "127.0.0.1:1", "admin": "nonsense"}});
        assert!(edge_ready(&ready).unwrap_err().to_string().contains("nonsense"));
    }
}
