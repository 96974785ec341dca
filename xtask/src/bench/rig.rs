//! What every part of the bench stands on: one router and one edge, the bare server beside them, and swarms of
//! chargers that connect to either by the same settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use wire::gateway::registry::v1::registry_service_client::RegistryServiceClient;
use wire::gateway::registry::v1::{Connection, ListConnectionsRequest};

use super::BenchArgs;
use crate::net;
use crate::parts::kafka_fetch::Jvm;
use crate::progress::{human, say};
use crate::stack::binaries::Binaries;
use crate::stack::running::{Stack, StackSpec};
use crate::stack::settings::{self, Swarm};
use crate::supervise::{ChildSpec, Guarded, Ready};

/// The only edge and the only router of the stack.
const EDGE: &str = "edge-1";

/// The bare server.
const SINK: &str = "sink";

/// How long a swarm may take to connect and to be registered, or to go away.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often something is looked at while waiting; times that count are not taken by looking.
const POLL: Duration = Duration::from_millis(20);

/// How long the router is watched to see that it has nothing more to do, and what an idle edge asks meanwhile.
const STILL: Duration = Duration::from_secs(1);
const ITEMS_WHEN_IDLE: u64 = 2;

/// The most connections that the registry lists at a time.
const PAGE: u32 = 1_000;

/// A stack, a sink, and at most one swarm.
#[derive(Debug)]
pub(super) struct Rig {
    stack: Stack,
    sink: SocketAddr,
    swarms: u8,
    swarm: Option<String>,
    journal: Option<PathBuf>,
}

/// Where a swarm connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The gateway.
    Edge,
    /// The bare server.
    Sink,
}

/// How long a swarm took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Connected {
    /// From the swarm's start until all were connected.
    pub(super) connected: Duration,
    /// Until all were registered too; the same for the bare server, which has no registry.
    pub(super) registered: Duration,
    /// Attempts that failed and were repeated.
    pub(super) failures: u64,
}

/// The line that the simulator prints when all its chargers are connected.
#[derive(Debug, Deserialize)]
struct Announcement {
    began_us: u64,
    connected_us: u64,
    connect_failures: u64,
}

impl Rig {
    /// Starts a stack of its own for one part of the bench.
    pub(super) async fn start(part: &str, args: &BenchArgs, binaries: &Binaries) -> Result<Self> {
        let spec = StackSpec {
            name: format!("bench-{part}-{}", std::process::id()),
            routers: 1,
            edges: 1,
            chargers: 0,
            broker: args.broker,
            jvm: Jvm::AsShipped,
            offline: args.offline,
        };
        let mut stack = Stack::start(spec, binaries.clone(), &[]).await?;
        let sink = net::free_address()?;
        let command = Guarded::new(binaries.path(settings::SIMULATOR)).args(settings::sink_flags(sink));
        let spec = ChildSpec::new(SINK, command).ready(Ready::Tcp(sink));
        stack.supervisor().start_ready(spec).await?;
        Ok(Self {
            stack,
            sink,
            swarms: 0,
            swarm: None,
            journal: None,
        })
    }

    /// The stack.
    pub(super) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Where the bare server listens.
    pub(super) fn sink(&self) -> SocketAddr {
        self.sink
    }

    /// A connection to the router.
    pub(super) async fn router(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.router_addresses()?.grpc))?;
        endpoint.connect().await.context("connecting to the router")
    }

    /// The resident memory of a server in bytes.
    pub(super) fn resident(&mut self, target: Target) -> Result<u64> {
        let name = match target {
            Target::Edge => EDGE,
            Target::Sink => SINK,
        };
        let pid = self.stack.supervisor().status_one(name)?.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("reading the memory of {name}"))?;
        parse_resident(&status).with_context(|| format!("the status of {name} names no VmRSS"))
    }

    /// From now on chargers log what they see, into the returned file.
    pub(super) fn keep_journal(&mut self) -> PathBuf {
        let path = self.stack.supervisor().log_of("chargers").with_extension("jsonl");
        self.journal.insert(path).clone()
    }

    /// Connects a swarm and waits until every charger of it is there. Its ids begin with the returned prefix.
    pub(super) async fn connect(&mut self, target: Target, count: u32) -> Result<(String, Connected)> {
        let prefix = self.next_prefix();
        let times = self.connect_slow(target, &prefix, count, Duration::ZERO).await?;
        Ok((prefix, times))
    }

    /// The same, of chargers whose ids begin so and which take so long for each answer.
    pub(super) async fn connect_slow(
        &mut self,
        target: Target,
        prefix: &str,
        count: u32,
        delay: Duration,
    ) -> Result<Connected> {
        self.swarms += 1;
        let name = format!("swarm-{}", self.swarms);
        let before = self.items_done().await?;
        self.start_swarm(&name, target, prefix, count, delay).await?;
        let registered_us = match target {
            Target::Edge => self.until_registered(before + u64::from(count)).await?,
            Target::Sink => 0,
        };
        let announced = self.announcement(&name).await?;
        self.swarm = Some(name);
        if target == Target::Edge {
            self.wait_listed(prefix, count).await?;
        }
        let since = |us: u64| Duration::from_micros(us.saturating_sub(announced.began_us));
        let times = Connected {
            connected: since(announced.connected_us),
            registered: since(registered_us.max(announced.connected_us)),
            failures: announced.connect_failures,
        };
        say(format!(
            "{count} chargers: connected after {}, registered after {}",
            human(times.connected),
            human(times.registered)
        ));
        Ok(times)
    }

    /// Chargers that connect from now on keep no log.
    pub(super) fn keep_no_journal(&mut self) {
        self.journal = None;
    }

    /// What the ids of the next swarm will begin with.
    pub(super) fn next_prefix(&self) -> String {
        format!("B{}-", self.swarms + 1)
    }

    /// Ends the swarm and waits until the router has nothing more to do about it.
    ///
    /// The registry may keep some of it for a while: the end of a connection is told once, and what is lost of
    /// that the connection's own expiry makes good. Swarms have different ids, so none disturbs a later one.
    pub(super) async fn disconnect(&mut self) -> Result<()> {
        if let Some(name) = self.swarm.take() {
            self.stack.supervisor().stop(&name).await?;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.items_done().await?;
        while Instant::now() < deadline {
            sleep(STILL).await;
            let now = self.items_done().await?;
            if now <= before + ITEMS_WHEN_IDLE {
                return Ok(());
            }
            before = now;
        }
        bail!("the router is still busy with chargers that left");
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        self.stack.stop().await;
    }

    async fn start_swarm(
        &mut self,
        name: &str,
        target: Target,
        prefix: &str,
        count: u32,
        delay: Duration,
    ) -> Result<()> {
        let edges = &self.stack.addresses().edges;
        let edge = edges.first().context("the stack has no edge")?.1.ocpp;
        let swarm = Swarm {
            target: if target == Target::Edge { edge } else { self.sink },
            prefix,
            count,
            // Ports of an earlier swarm may still be in their last state.
            network: self.swarms,
            delay,
            log: self.journal.as_deref(),
        };
        let command = Guarded::new(self.stack.binaries().path(settings::SIMULATOR)).args(swarm.flags());
        let mut spec = ChildSpec::new(name, command);
        spec.stop_within = PATIENCE;
        self.stack.supervisor().start(spec).await
    }

    /// When the router had done this many items of the edge. A lease's renewal is one too, every three seconds,
    /// which is why the registry is asked afterwards.
    async fn until_registered(&self, items: u64) -> Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let done = self.items_done().await;
            if matches!(done, Ok(done) if done >= items) {
                return Ok(wall_us());
            }
            if Instant::now() > deadline {
                bail!("the router did {} of {items} items in time", done?);
            }
            sleep(POLL).await;
        }
    }

    async fn announcement(&mut self, name: &str) -> Result<Announcement> {
        let log = self.stack.supervisor().log_of(name);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = tokio::fs::read_to_string(&log).await.unwrap_or_default();
            if let Some(announced) = text.lines().find_map(|line| serde_json::from_str(line).ok()) {
                return Ok(announced);
            }
            if let Some(exit) = self.stack.supervisor().status_one(name)?.exited {
                bail!("the chargers of {name} ended ({exit}): {text}");
            }
            if Instant::now() > deadline {
                bail!("not all chargers of {name} connected in time: {text}");
            }
            sleep(POLL).await;
        }
    }

    /// Waits until the registry lists a whole swarm as connected.
    async fn wait_listed(&self, prefix: &str, count: u32) -> Result<()> {
        let mut client = RegistryServiceClient::new(self.router().await?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listed = listed(&mut client, prefix).await?;
            if listed >= u64::from(count) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the registry lists {listed} of {count} chargers as connected");
            }
            sleep(POLL * 10).await;
        }
    }

    /// How much of a processor's time the router has used since its start.
    pub(super) async fn processor_seconds(&self) -> Result<f64> {
        self.router_metric(settings::PROCESSOR_METRIC).await
    }

    async fn items_done(&self) -> Result<u64> {
        self.router_metric(settings::ITEMS_DONE_METRIC).await
    }

    async fn router_metric<T: FromStr + Default>(&self, series: &str) -> Result<T> {
        let admin = self.router_addresses()?.admin;
        let (_, metrics) = net::http_get(admin, settings::METRICS_PATH).await?;
        Ok(parse_counter(&metrics, series))
    }

    fn router_addresses(&self) -> Result<settings::RouterAddresses> {
        let router = self.stack.addresses().routers.first();
        Ok(router.context("the stack has no router")?.1)
    }
}

/// Says what a part is about to do.
pub(super) fn announce(part: &str, what: &str) {
    say(format!("bench {part}: {what}"));
}

/// How many chargers with this prefix are connected by the registry's word.
async fn listed(client: &mut RegistryServiceClient<Channel>, prefix: &str) -> Result<u64> {
    let mut request = ListConnectionsRequest {
        page_size: PAGE,
        ..ListConnectionsRequest::default()
    };
    let mut count = 0;
    loop {
        let page = client.list_connections(request.clone()).await?.into_inner();
        let of_swarm =
            |connection: &&Connection| connection.connected && connection.charge_point_id.starts_with(prefix);
        count += page.connections.iter().filter(of_swarm).count() as u64;
        if page.next_page_token.is_empty() {
            return Ok(count);
        }
        request.page_token = page.next_page_token;
    }
}

/// The wall clock, microseconds: only to compare with the simulator's, on the same machine.
pub(super) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// `VmRSS` of a `/proc/<pid>/status`, in bytes.
fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// A counter in the text form of metrics, by its name and labels; one that nothing has counted yet is absent.
fn parse_counter<T: FromStr + Default>(metrics: &str, series: &str) -> T {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "VmPeak:\t  9 kB\nVmRSS:\t   14320 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(parse_resident(status), Some(14_320 * 1024));
        assert_eq!(parse_resident("Name:\tzombie\n"), None);
    }

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let metrics = "# TYPE a counter\nab{x=\"y\"} 7\na{x=\"y\"} 5000\na{x=\"z\"} 9\n";
        assert_eq!(parse_counter::<u64>(metrics, "a{x=\"y\"}"), 5_000);
        assert_eq!(parse_counter::<u64>(metrics, "b{x=\"y\"}"), 0);
    }

    #[test]
    fn only_an_announcement_is_one() {
        let lines = "WARN something\n{\"connected\":1}\n";
        assert!(
            lines
                .lines()
                .all(|line| serde_json::from_str::<Announcement>(line).is_err())
        );
        let line = r#"{"began_us":1,"connected_us":9,"connect_failures":0}"#;
        assert_eq!(
            serde_json::from_str::<Announcement>(line).unwrap().connected_us,
            9
        );
    }
}
