//! What a run stands on: the whole gateway with a link between any two parts that talk, every service with a history.
//!
//! Left out: the chargers (`chargers`), hurting it (`inject`) and loading it (`load`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use super::brokers;
use super::disk::Disk;
use super::mutants::VARIABLE;
use super::options::{Durability, Options, bounds};
use super::plan::Targets;
use super::proxy::Link;
use super::{aof, intruders};
use crate::net;
use crate::parts::broker::BrokerKind;
use crate::parts::redis::{self, RedisProgram};
use crate::progress::say;
use crate::stack::binaries::Binaries;
use crate::stack::settings::{self, EdgeAddresses, RouterAddresses, Settings};
use crate::supervise::{ChildSpec, Guarded, Ready, Supervisor};

/// How long a service may take to be ready at the start.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How many of each service there are.
const ROUTERS: u16 = 2;
const EDGES: u16 = 3;

/// The parts of a run.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) supervisor: Supervisor,
    pub(super) binaries: Binaries,
    /// How every process is started that a fault may end.
    pub(super) specs: BTreeMap<String, ChildSpec>,
    pub(super) links: BTreeMap<String, Link>,
    /// Past the link, for the run's own tools.
    pub(super) redis: SocketAddr,
    /// The same, of all brokers.
    pub(super) kafka: String,
    pub(super) brokers: Vec<String>,
    pub(super) routers: Vec<(String, RouterAddresses)>,
    pub(super) edges: Vec<(String, EdgeAddresses)>,
    /// Where chargers connect: the links' addresses.
    pub(super) doors: Vec<SocketAddr>,
    /// Redis' disk, where there can be one that fills up.
    pub(super) disk: Option<Disk>,
    /// Where the histories are.
    pub(super) folder: PathBuf,
    /// What each client of the brokers is told.
    bootstrap: BTreeMap<String, String>,
}

impl Rig {
    /// Starts everything but the chargers and waits until every service is ready.
    pub(super) async fn start(
        options: &Options,
        name: &str,
        binaries: Binaries,
        broker: &BrokerKind,
        folder: &Path,
    ) -> Result<Self> {
        let program = RedisProgram::find_or_get(options.offline).await?;
        let mut supervisor = Supervisor::new(name, &[])?;
        let clients: Vec<String> = names("edge", EDGES).chain(names("router", ROUTERS)).collect();
        let started = brokers::start(&mut supervisor, broker, options.brokers, &clients, &binaries).await?;
        if matches!(broker, BrokerKind::Apache(_)) {
            brokers::create_topics(&binaries, &started).await?;
        }
        let links = started
            .links
            .into_iter()
            .map(|link| (link.name().to_owned(), link));
        let mut rig = Self {
            supervisor,
            binaries,
            specs: started.names.iter().cloned().zip(started.specs).collect(),
            links: links.collect(),
            redis: net::free_address()?,
            kafka: brokers::join(&started.direct),
            brokers: started.names,
            routers: Vec::new(),
            edges: Vec::new(),
            doors: Vec::new(),
            disk: None,
            folder: folder.to_owned(),
            bootstrap: started.bootstrap,
        };
        rig.start_redis(options, &program).await?;
        for name in names("router", ROUTERS) {
            rig.start_router(options, &name).await?;
        }
        for name in names("edge", EDGES) {
            rig.start_edge(options, &name).await?;
        }
        rig.wait_all_ready(READY_WITHIN).await?;
        Ok(rig)
    }

    /// Where Redis keeps its append-only file, as it is seen from here.
    pub(super) fn aof(&self) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.seen_from_outside(aof::FOLDER),
            None => self.supervisor.scratch().path().join("redis").join(aof::FOLDER),
        }
    }

    /// Waits until every service says that it is ready.
    pub(super) async fn wait_all_ready(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let routers = self.routers.iter().map(|(name, router)| (name, router.admin));
        let edges = self.edges.iter().map(|(name, edge)| (name, edge.admin));
        for (name, admin) in routers.chain(edges) {
            loop {
                let answer = net::http_get(admin, settings::READY_PATH).await;
                if matches!(answer, Ok((200, _))) {
                    break;
                }
                if Instant::now() > deadline {
                    let said = answer.map_or_else(|error| format!("{error:#}"), |(_, body)| body);
                    let log = crate::supervise::tail::of_file(&self.supervisor.log_of(name), 8);
                    bail!("{name} is not ready: {said}; its last lines:\n{log}");
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// A link of its own to one target; returns where it listens.
    async fn link(&mut self, name: String, target: SocketAddr) -> Result<SocketAddr> {
        let (mut link, listen) = (Link::new(name.clone()), net::free_address()?);
        link.lead(listen, target).await?;
        self.links.insert(name, link);
        Ok(listen)
    }

    async fn start_redis(&mut self, options: &Options, program: &RedisProgram) -> Result<()> {
        let data = self.supervisor.scratch().subfolder("redis")?;
        let mut extra = vec!["--auto-aof-rewrite-min-size".to_owned(), "32mb".to_owned()];
        if options.durability == Durability::Relaxed {
            extra.extend(["--appendfsync".to_owned(), "everysec".to_owned()]);
        }
        if options.durability == Durability::Replicated {
            extra.extend(["--min-replicas-to-write".to_owned(), "1".to_owned()]);
        }
        let mut spec = redis::child_spec(program, "redis", self.redis, &data, &extra);
        match Disk::mount(&mut self.supervisor, &data).await {
            Ok(disk) => {
                spec.command = disk.within(&spec.command);
                self.disk = Some(disk);
            }
            Err(error) => say(format!("no full disks in this run: {error:#}")),
        }
        self.specs.insert("redis".to_owned(), spec.clone());
        self.supervisor.start_ready(spec).await?;
        if options.durability == Durability::Replicated {
            self.start_replica(program).await?;
        }
        Ok(())
    }

    async fn start_replica(&mut self, program: &RedisProgram) -> Result<()> {
        let (data, address) = (
            self.supervisor.scratch().subfolder("redis-replica")?,
            net::free_address()?,
        );
        let (ip, port) = (self.redis.ip().to_string(), self.redis.port().to_string());
        let extra = vec!["--replicaof".to_owned(), format!("{ip} {port}")];
        let spec = redis::child_spec(program, "redis-replica", address, &data, &extra);
        self.supervisor.start_ready(spec).await?;
        Ok(())
    }

    async fn start_router(&mut self, options: &Options, name: &str) -> Result<()> {
        let redis = self.link(format!("{name}/redis"), self.redis).await?;
        let listen = RouterAddresses {
            grpc: net::free_address()?,
            admin: net::free_address()?,
        };
        let mut settings = Settings::router(name, listen, redis, redis)
            .with("kafka.bootstrap_servers", self.bootstrap_of(name)?)
            .with("redis.durability", options.durability.name())
            .with("topics.replication", self.brokers.len().max(1));
        for (key, value) in bounds::ROUTER {
            settings = settings.with(key, value);
        }
        self.start_service(options, name, (settings::ROUTER, settings))
            .await?;
        self.routers.push((name.to_owned(), listen));
        Ok(())
    }

    async fn start_edge(&mut self, options: &Options, name: &str) -> Result<()> {
        let listen = EdgeAddresses {
            ocpp: net::free_address()?,
            admin: net::free_address()?,
        };
        let mut routers = Vec::new();
        for (router, addresses) in self.routers.clone() {
            routers.push(self.link(format!("{name}/{router}"), addresses.grpc).await?);
        }
        let door = self.link(format!("chargers/{name}"), listen.ocpp).await?;
        let mut settings = Settings::edge(name, listen, &routers, listen.ocpp)
            .with("kafka.bootstrap_servers", self.bootstrap_of(name)?)
            .with("ocpp.handshake_timeout_ms", intruders::HANDSHAKE_MS);
        if self.brokers.is_empty() {
            let wait = crate::stack::running::EMBEDDED_FETCH_WAIT_MS;
            settings = settings.with("kafka.fetch_wait_max_ms", wait);
        }
        if let Some(level) = &options.log {
            settings = settings.with("log.level", level);
        }
        self.start_service(options, name, (settings::EDGE, settings))
            .await?;
        self.edges.push((name.to_owned(), listen));
        self.doors.push(door);
        Ok(())
    }

    async fn start_service(
        &mut self,
        options: &Options,
        name: &str,
        (binary, settings): (&str, Settings),
    ) -> Result<()> {
        let ready_file = self.supervisor.ready_file(name);
        let history = self.folder.join(format!("{name}.jsonl"));
        let settings = settings.with("telemetry.history_file", history.display());
        let mut command = Guarded::new(self.binaries.path(binary));
        if let Some(mutant) = options.mutant {
            command = command.env(VARIABLE, mutant);
        }
        let command = command
            .args(settings.flags())
            .args(settings::supervised_flags(&ready_file))
            .grace(Duration::from_secs(2));
        let mut spec = ChildSpec::new(name, command).ready(Ready::File(ready_file));
        spec.stop_within = Duration::from_millis(settings::DRAIN_MS) + Duration::from_secs(3);
        self.specs.insert(name.to_owned(), spec.clone());
        let started = self.supervisor.start_ready(spec).await;
        started.with_context(|| format!("starting {name}"))?;
        Ok(())
    }

    fn bootstrap_of(&self, name: &str) -> Result<String> {
        let known = self.bootstrap.get(name).cloned();
        known.with_context(|| format!("no broker has a listener for {name}"))
    }
}

/// What there is to hit in any run with so many brokers: none where there is no real one.
pub(super) fn targets(brokers: u16) -> Targets {
    let (edges, routers) = (names("edge", EDGES), names("router", ROUTERS));
    let (edges, routers): (Vec<String>, Vec<String>) = (edges.collect(), routers.collect());
    let mut links: Vec<String> = edges.iter().map(|edge| format!("chargers/{edge}")).collect();
    for edge in &edges {
        links.extend(routers.iter().map(|router| format!("{edge}/{router}")));
    }
    links.extend(routers.iter().map(|router| format!("{router}/redis")));
    if brokers > 0 {
        links.extend(
            edges
                .iter()
                .chain(&routers)
                .map(|client| format!("{client}/kafka")),
        );
    }
    Targets {
        brokers: names("kafka", brokers).collect(),
        edges,
        routers,
        links,
    }
}

/// `stem-1`, `stem-2` and so on.
fn names(stem: &'static str, count: u16) -> impl Iterator<Item = String> {
    (1..=count).map(move |number| format!("{stem}-{number}"))
}
