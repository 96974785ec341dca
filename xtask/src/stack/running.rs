//! A running stack in the foreground: what `demo`, `bench` and `stack up` stand on.
//!
//! Services are started on ports chosen here and keep them over a restart, so that a charger finds a killed
//! edge again where it was. Left out: the detached form (`daemon`) and what is done with the stack.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::binaries::Binaries;
use super::settings::{self, EdgeAddresses, RouterAddresses, Settings};
use super::state::{ProcessState, View};
use crate::net;
use crate::parts::broker::{BrokerChoice, BrokerKind};
use crate::parts::kafka_fetch::Jvm;
use crate::parts::redis::{self, RedisProgram};
use crate::progress::{human, say};
use crate::supervise::{ChildSpec, Guarded, Ready, Supervisor, UnexpectedExit, tail};

/// How long a service may take to be ready for traffic.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The embedded broker wakes no long poll early, so a fetch waits this long for a record.
pub(crate) const EMBEDDED_FETCH_WAIT_MS: u64 = 2;

/// How often a service whose port was taken meanwhile is tried again on another.
const PORT_TRIES: usize = 3;

/// What a stack consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSpec {
    /// Its name: one stack of a name at a time.
    pub name: String,
    /// How many routers.
    pub routers: u16,
    /// How many edges.
    pub edges: u16,
    /// How many simulated chargers; none without edges.
    pub chargers: u32,
    /// Which broker.
    pub broker: BrokerChoice,
    /// How Java runs it.
    pub jvm: Jvm,
    /// Forbids fetching anything.
    pub offline: bool,
}

/// Where everything of a stack listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Redis.
    pub redis: Option<SocketAddr>,
    /// The broker's bootstrap address.
    pub kafka: Option<SocketAddr>,
    /// The routers by name.
    pub routers: Vec<(String, RouterAddresses)>,
    /// The edges by name.
    pub edges: Vec<(String, EdgeAddresses)>,
}

/// A running stack; dropping it kills all of it, [`Stack::stop`] ends it in order.
#[derive(Debug)]
pub struct Stack {
    spec: StackSpec,
    supervisor: Supervisor,
    binaries: Binaries,
    broker: BrokerKind,
    addresses: Addresses,
}

impl Stack {
    /// Starts everything and waits until every service is ready; `also` are files to remove with the stack.
    pub async fn start(spec: StackSpec, binaries: Binaries, also: &[std::path::PathBuf]) -> Result<Self> {
        let redis = RedisProgram::find_or_get(spec.offline).await?;
        let broker = BrokerKind::choose(spec.broker, spec.offline)
            .await?
            .run_by(spec.jvm);
        let supervisor = Supervisor::new(&spec.name, also)?;
        let mut stack = Self {
            spec,
            supervisor,
            binaries,
            broker,
            addresses: Addresses::default(),
        };
        stack.start_parts(&redis).await?;
        for index in 1..=stack.spec.routers {
            stack.start_router(&format!("router-{index}")).await?;
        }
        for index in 1..=stack.spec.edges {
            stack.start_edge(&format!("edge-{index}")).await?;
        }
        stack.wait_all_ready().await?;
        if stack.spec.chargers > 0 {
            stack.start_simulator().await?;
        }
        Ok(stack)
    }

    /// Where everything listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Which broker it is: `apache` or `embedded`.
    #[must_use]
    pub fn broker_label(&self) -> &'static str {
        self.broker.label()
    }

    /// Our binaries.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The supervisor, for children beyond the stack's own and for the scratch folder.
    pub fn supervisor(&mut self) -> &mut Supervisor {
        &mut self.supervisor
    }

    /// Kills a process as a crash would: `kill9("edge-2")`.
    pub async fn kill9(&mut self, name: &str) -> Result<()> {
        self.supervisor.kill9(name).await
    }

    /// Sends a signal to a process, for instance SIGSTOP.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        self.supervisor.signal(name, signal)
    }

    /// Starts a process again where it listened before, and waits until it is ready.
    pub async fn restart(&mut self, name: &str) -> Result<()> {
        if name == "kafka" && self.broker == BrokerKind::Embedded {
            bail!("the embedded broker holds nothing over a restart; use --broker apache for that");
        }
        self.supervisor.stop(name).await?;
        self.supervisor.restart(name).await?;
        self.wait_ready(name, Instant::now() + READY_WITHIN).await
    }

    /// Whether a process of this stack has really ended, in contrast to one that only gives no answer.
    #[must_use]
    pub fn has_ended(&self, name: &str) -> bool {
        self.supervisor
            .status_one(name)
            .is_ok_and(|status| status.exited.is_some())
    }

    /// The next exit nobody asked for.
    pub async fn unexpected_exit(&mut self) -> UnexpectedExit {
        self.supervisor.unexpected_exit().await
    }

    /// Ends everything in order; nothing is left.
    pub async fn stop(self) {
        self.supervisor.shutdown().await;
    }

    /// What a listing shows.
    #[must_use]
    pub fn view(&self) -> View {
        let processes = self.supervisor.status().into_iter().map(|child| {
            let mut process = ProcessState::new(&child.name, child.pid, child.exited, child.log);
            process.add_addresses(&self.addresses);
            process
        });
        View {
            broker: self.broker.label().to_owned(),
            processes: processes.collect(),
        }
    }

    async fn start_parts(&mut self, redis: &RedisProgram) -> Result<()> {
        let begun = Instant::now();
        self.addresses.redis = Some(redis::start(&mut self.supervisor, redis, "redis").await?);
        say(format!("redis is ready ({})", human(begun.elapsed())));
        let begun = Instant::now();
        let embedded = self.binaries.path(settings::EMBEDDED_BROKER);
        let topics = match (&self.broker, self.has_services()) {
            (BrokerKind::Embedded, true) => self.binaries.topics().await?,
            _ => Vec::new(),
        };
        let address = self
            .broker
            .start(&mut self.supervisor, "kafka", &embedded, &topics)
            .await?;
        self.addresses.kafka = Some(address);
        say(format!(
            "kafka ({}) is ready ({})",
            self.broker.label(),
            human(begun.elapsed())
        ));
        if self.broker != BrokerKind::Embedded && self.has_services() {
            create_topics(&self.binaries, address).await?;
        }
        Ok(())
    }

    async fn start_router(&mut self, name: &str) -> Result<()> {
        let (redis, kafka) = self.parts()?;
        for attempt in 1.. {
            let listen = RouterAddresses {
                grpc: net::free_address()?,
                admin: net::free_address()?,
            };
            let settings = Settings::router(name, listen, redis, kafka);
            let started = self.start_service(name, settings::ROUTER, &settings).await;
            if self.retry_port(&started, name, attempt) {
                continue;
            }
            self.addresses
                .routers
                .push((name.to_owned(), settings::router_ready(&started?)?));
            break;
        }
        Ok(())
    }

    async fn start_edge(&mut self, name: &str) -> Result<()> {
        let (_, kafka) = self.parts()?;
        let routers: Vec<SocketAddr> = self
            .addresses
            .routers
            .iter()
            .map(|(_, router)| router.grpc)
            .collect();
        for attempt in 1.. {
            let listen = EdgeAddresses {
                ocpp: net::free_address()?,
                admin: net::free_address()?,
            };
            let mut settings = Settings::edge(name, listen, &routers, kafka);
            if self.broker == BrokerKind::Embedded {
                settings = settings.with("kafka.fetch_wait_max_ms", EMBEDDED_FETCH_WAIT_MS);
            }
            let started = self.start_service(name, settings::EDGE, &settings).await;
            if self.retry_port(&started, name, attempt) {
                continue;
            }
            self.addresses
                .edges
                .push((name.to_owned(), settings::edge_ready(&started?)?));
            break;
        }
        Ok(())
    }

    async fn start_service(
        &mut self,
        name: &str,
        binary: &str,
        settings: &Settings,
    ) -> Result<serde_json::Value> {
        let ready_file = self.supervisor.ready_file(name);
        let command = Guarded::new(self.binaries.path(binary))
            .args(settings.flags())
            .args(settings::supervised_flags(&ready_file))
            .grace(Duration::from_secs(2));
        let mut spec = ChildSpec::new(name, command).ready(Ready::File(ready_file));
        spec.stop_within = Duration::from_millis(settings::DRAIN_MS) + Duration::from_secs(3);
        self.supervisor.start_ready(spec).await
    }

    /// Whether a failed start was a lost race for a port that another try may win.
    fn retry_port(&self, started: &Result<serde_json::Value>, name: &str, attempt: usize) -> bool {
        started.is_err()
            && attempt < PORT_TRIES
            && tail::of_file(&self.supervisor.log_of(name), 15)
                .to_lowercase()
                .contains("address already in use")
    }

    async fn start_simulator(&mut self) -> Result<()> {
        let edges: Vec<SocketAddr> = self.addresses.edges.iter().map(|(_, edge)| edge.ocpp).collect();
        let log = self.supervisor.scratch().path().join(settings::SIMULATOR_LOG);
        let command = Guarded::new(self.binaries.path(settings::SIMULATOR))
            .args(settings::simulator_flags(&edges, self.spec.chargers, &log))
            .grace(Duration::from_secs(1));
        self.supervisor
            .start_ready(ChildSpec::new("simulator", command))
            .await?;
        say(format!("simulator: {} chargers", self.spec.chargers));
        Ok(())
    }

    async fn wait_all_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let routers = self.addresses.routers.iter().map(|(name, _)| name.clone());
        let edges = self.addresses.edges.iter().map(|(name, _)| name.clone());
        for name in routers.chain(edges).collect::<Vec<_>>() {
            let begun = Instant::now();
            self.wait_ready(&name, deadline).await?;
            say(format!("{name} is ready ({})", human(begun.elapsed())));
        }
        Ok(())
    }

    /// Polls the readiness probe of a service; parts have none and are ready once they run.
    async fn wait_ready(&self, name: &str, deadline: Instant) -> Result<()> {
        let Some(admin) = self.addresses.admin_of(name) else {
            return Ok(());
        };
        loop {
            let answer = net::http_get(admin, settings::READY_PATH).await;
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            let status = self.supervisor.status_one(name)?;
            if status.exited.is_some() || Instant::now() > deadline {
                let why = status.exited.unwrap_or_else(|| "still not ready".to_owned());
                let said = answer.map_or_else(
                    |error| format!("{error:#}"),
                    |(code, body)| format!("{code} {body}"),
                );
                bail!(
                    "{name}: {why}; its probe: {said}; its last lines:\n{}",
                    tail::of_file(&status.log, 15)
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn parts(&self) -> Result<(SocketAddr, SocketAddr)> {
        let redis = self.addresses.redis.context("Redis is not started")?;
        Ok((redis, self.addresses.kafka.context("the broker is not started")?))
    }

    fn has_services(&self) -> bool {
        self.spec.routers + self.spec.edges > 0
    }
}

impl Addresses {
    /// The admin address of a service, if it is one.
    #[must_use]
    pub fn admin_of(&self, name: &str) -> Option<SocketAddr> {
        let router = self
            .routers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, router)| router.admin);
        router.or_else(|| {
            self.edges
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, edge)| edge.admin)
        })
    }
}

/// Lets the router make the topics on a real broker.
pub async fn create_topics(binaries: &Binaries, kafka: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    let create = Guarded::new(binaries.path(settings::ROUTER)).args(settings::CREATE_TOPICS);
    create
        .args(Settings::topics(kafka).flags())
        .output()
        .await
        .context("creating the topics")?;
    say(format!("the topics are there ({})", human(begun.elapsed())));
    Ok(())
}
