//! The floors of one command: what its unavoidable steps cost alone, one at a time, on the parts of the same
//! stack, at the same rate as the commands: between two of them processes fall asleep, and waking costs each step
//! what it costs the commands.
//!
//! Left out: any work of ours. A floor is a bare call, so their sum is what no gateway of these parts can beat.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::latency::RATE;
use super::rig::Rig;
use super::samples::Samples;
use super::websocket::EchoConnection;
use crate::resp::{Redis, Reply};
use crate::stack::running::EMBEDDED_FETCH_WAIT_MS;
use crate::stack::settings;
use crate::supervise::Guarded;

/// How many of each floor are measured in one round.
const A_ROUND: usize = 100;

/// The trips to Redis that a command cannot do without: its acceptance and its answer, each on disk.
const REDIS_TRIPS: f64 = 2.0;

/// What accepting a command does at the least: its hash, its place in the queue, its end.
const CREATE: &str = "redis.call('HSET', KEYS[1], 'state', 'pending', 'action', ARGV[2], 'created', ARGV[1]) \
     redis.call('ZADD', KEYS[2], ARGV[1], KEYS[1]) redis.call('EXPIRE', KEYS[1], 60) \
     redis.call('EXPIRE', KEYS[2], 60) return 1";

/// A text about as long as a command to a charger.
const CALL: &str =
    r#"[2,"01931f3a-7c1e-7a53-9d5e-3f8a2b6c4d10","GetConfiguration",{"key":["HeartbeatInterval"]}]"#;

/// Connections to the parts, and the times so far.
#[derive(Debug)]
pub(super) struct Floors {
    health: HealthClient<Channel>,
    redis: Redis,
    script: Vec<u8>,
    echo: EchoConnection,
    kafka: Guarded,
    created: usize,
    /// The times.
    pub(super) times: Times,
}

/// The times of each floor.
#[derive(Debug, Default)]
pub(super) struct Times {
    grpc: Samples,
    redis: Samples,
    kafka: Samples,
    websocket: Samples,
}

/// What `kafka-latency` prints.
#[derive(Debug, Deserialize)]
struct KafkaTimes {
    micros: Vec<u64>,
}

impl Floors {
    /// Connects to everything.
    pub(super) async fn open(rig: &Rig) -> Result<Self> {
        let addresses = rig.stack().addresses();
        let kafka = addresses.kafka.context("the stack has no broker")?;
        let program = rig.stack().binaries().path(settings::KAFKA_LATENCY);
        let mut redis = Redis::open(addresses.redis.context("the stack has no Redis")?).await?;
        let loaded = redis.call(&[b"SCRIPT", b"LOAD", CREATE.as_bytes()]).await?;
        let Reply::Text(script) = loaded else {
            anyhow::bail!("Redis took the script and answered {loaded:?}");
        };
        Ok(Self {
            health: HealthClient::new(rig.router().await?),
            redis,
            script,
            echo: EchoConnection::open(rig.sink()).await?,
            kafka: kafka_command(program, kafka, rig.stack().broker_label()),
            created: 0,
            times: Times::default(),
        })
    }

    /// Measures each floor some times.
    pub(super) async fn round(&mut self) -> Result<()> {
        let mut pace = pace();
        for _ in 0..A_ROUND {
            pace.tick().await;
            let begun = Instant::now();
            self.health
                .check(HealthCheckRequest::default())
                .await
                .context("the router's health")?;
            self.times.grpc.push(begun.elapsed());
        }
        for _ in 0..A_ROUND {
            pace.tick().await;
            let begun = Instant::now();
            self.create().await?;
            self.times.redis.push(begun.elapsed());
        }
        for _ in 0..A_ROUND {
            pace.tick().await;
            let begun = Instant::now();
            self.echo.round_trip(CALL).await?;
            self.times.websocket.push(begun.elapsed());
        }
        let printed = self.kafka.output().await.context("measuring Kafka")?;
        let kafka: KafkaTimes = serde_json::from_str(&printed).context("reading Kafka's times")?;
        self.times
            .kafka
            .extend(kafka.micros.into_iter().map(Duration::from_micros));
        Ok(())
    }

    /// Measures without counting: the first of everything is slow.
    pub(super) async fn warm_up(&mut self) -> Result<()> {
        self.round().await?;
        self.times = Times::default();
        Ok(())
    }

    async fn create(&mut self) -> Result<()> {
        self.created += 1;
        let number = self.created.to_string();
        let key = format!("bench:{{floor}}:c:{number}");
        let words: [&[u8]; 7] = [
            b"EVALSHA",
            &self.script,
            b"2",
            key.as_bytes(),
            b"bench:{floor}:q",
            number.as_bytes(),
            b"Reset",
        ];
        self.redis.call(&words).await?;
        Ok(())
    }
}

impl Times {
    /// The sum for one command at a percentile, in milliseconds.
    pub(super) fn sum_ms(&self, percent: usize) -> f64 {
        let [(_, grpc), (_, redis), (_, kafka), (_, websocket)] = self.each_ms(percent);
        grpc + REDIS_TRIPS * redis + kafka + websocket
    }

    /// Each floor with its name.
    pub(super) fn each_ms(&self, percent: usize) -> [(&'static str, f64); 4] {
        [
            ("gRPC unary call", self.grpc.percentile_ms(percent)),
            ("Redis script with fsync", self.redis.percentile_ms(percent)),
            ("Kafka produce to consume", self.kafka.percentile_ms(percent)),
            ("WebSocket echo", self.websocket.percentile_ms(percent)),
        ]
    }

    /// How many there are of each.
    pub(super) fn count(&self) -> usize {
        self.grpc.len()
    }
}

/// The rate of the commands.
fn pace() -> Interval {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

fn kafka_command(program: PathBuf, kafka: SocketAddr, broker: &str) -> Guarded {
    let embedded = (broker == "embedded").then_some(EMBEDDED_FETCH_WAIT_MS);
    let program = Guarded::new(program).env("RUST_BACKTRACE", "0");
    program.args(settings::kafka_latency_flags(kafka, A_ROUND, RATE, embedded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_counts_redis_twice_and_everything_else_once() {
        let of = |micros: u64| {
            let mut samples = Samples::default();
            samples.push(Duration::from_micros(micros));
            samples
        };
        let times = Times {
            grpc: of(100),
            redis: of(200),
            kafka: of(300),
            websocket: of(20),
        };
        assert!((times.sum_ms(50) - 0.82).abs() < 1e-9);
    }
}
