//! A system under test: parts and services as processes on free ports, which they keep over a restart.
//!
//! Names of processes: `redis`, `kafka`, `router-1`, `edge-1` and so on. Pod ids carry a tag of the system, since
//! systems may share a broker. Left out: how a process is started, watched and ended (`xtask::supervise`).

use std::net::SocketAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use xtask::net::free_address;
use xtask::parts::broker::BrokerKind;
use xtask::parts::redis;
use xtask::progress::complain;
use xtask::stack::settings::{self, EdgeAddresses, RouterAddresses, Settings};
use xtask::supervise::{ChildSpec, Guarded, Supervisor, tail};

use crate::api::Api;
use crate::broker::{bootstrap, start_broker};
use crate::faults::{Forwarder, thread_state};
use crate::probe;
use crate::spec::SystemSpec;
use crate::tools::{Tools, variables_to_hide};
use crate::wait::eventually;

/// A variable naming a folder that keeps the logs of failed systems.
const KEEP_LOGS: &str = "HOLDFAST_TEST_LOGS";

/// A variable with the level at which services log, where the usual one does not tell enough.
const LOG_LEVEL: &str = "HOLDFAST_TEST_LOG_LEVEL";

/// Running processes; dropping it kills them and removes their files.
#[derive(Debug)]
pub struct System {
    pub(crate) supervisor: Supervisor,
    pub(crate) spec: SystemSpec,
    tag: String,
    redis: SocketAddr,
    kafka: SocketAddr,
    pub(crate) forwarder: Option<Forwarder>,
    routers: Vec<RouterAddresses>,
    edges: Vec<EdgeAddresses>,
}

impl System {
    /// Starts everything and waits until every service is ready.
    pub async fn start(spec: SystemSpec) -> Self {
        let (routers, edges) = (spec.routers, spec.edges);
        let mut system = Self::parts_only(spec).await;
        for number in 1..=routers {
            system.start_router(number).await;
        }
        for number in 1..=edges {
            system.start_edge(number).await;
        }
        system.all_ready().await;
        system
    }

    /// Starts Redis and the broker with its topics; every service has its addresses, none is started.
    pub async fn parts_only(spec: SystemSpec) -> Self {
        let tools = Tools::get().await;
        let mut supervisor = Supervisor::new(&format!("test-{}", spec.name), &[]).expect("a supervisor");
        let redis = redis::start(&mut supervisor, &tools.redis, "redis")
            .await
            .expect("Redis starts");
        let (kafka, forwarder) = start_broker(&mut supervisor, tools, spec.broker).await;
        let router = |_| RouterAddresses {
            grpc: address(),
            admin: address(),
        };
        let edge = |_| EdgeAddresses {
            ocpp: address(),
            admin: address(),
        };
        Self {
            routers: (0..spec.routers).map(router).collect(),
            edges: (0..spec.edges).map(edge).collect(),
            tag: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
            supervisor,
            spec,
            redis,
            kafka,
            forwarder,
        }
    }

    /// Starts the `number`-th router, from 1, without waiting for its readiness.
    pub async fn start_router(&mut self, number: usize) {
        let listen = self.routers[number - 1];
        let mut settings = Settings::router(
            &format!("router-{number}-{}", self.tag),
            listen,
            self.redis,
            self.kafka_of(number),
        );
        for (key, value) in &self.spec.router_settings {
            settings = settings.with(key, value);
        }
        let failpoints = self.spec.failpoints.clone().filter(|_| number == 1);
        self.start_service(
            &format!("router-{number}"),
            settings::ROUTER,
            settings,
            failpoints,
        )
        .await;
    }

    /// Starts the `number`-th edge, from 1, without waiting for its readiness.
    pub async fn start_edge(&mut self, number: usize) {
        self.start_edge_on(number, self.kafka).await;
    }

    /// The same, told of another broker than the routers were.
    pub async fn start_edge_on(&mut self, number: usize, kafka: SocketAddr) {
        let routers: Vec<SocketAddr> = self.routers.iter().map(|router| router.grpc).collect();
        let mut settings = Settings::edge(&self.pod(number), self.edges[number - 1], &routers, kafka);
        for (key, value) in &self.spec.edge_settings {
            settings = settings.with(key, value);
        }
        let failpoints = self.spec.edge_failpoints.clone().filter(|_| number == 1);
        self.start_service(&format!("edge-{number}"), settings::EDGE, settings, failpoints)
            .await;
    }

    /// Starts a second, embedded broker with all topics; returns its address.
    pub async fn start_other_broker(&mut self) -> SocketAddr {
        let tools = Tools::get().await;
        let embedded = tools.binaries.path(settings::EMBEDDED_BROKER);
        let started = BrokerKind::Embedded
            .start(&mut self.supervisor, "other-kafka", &embedded, &tools.topics)
            .await;
        started.expect("the other broker starts")
    }

    /// A call of one of our binaries, without what the tests put into the environment.
    pub async fn binary(&self, name: &str) -> Guarded {
        clean().arg(Tools::get().await.binaries.path(name))
    }

    /// Starts a program beside the system; what it prints is its log.
    pub async fn start_program(&mut self, name: &str, command: Guarded) {
        self.supervisor
            .start(ChildSpec::new(name, command))
            .await
            .expect("the program starts");
    }

    /// Waits until every service is ready.
    pub async fn all_ready(&self) {
        for (name, admin) in self.admin_ports() {
            probe::ready(&name, admin).await;
        }
    }

    /// Every service with its admin port.
    #[must_use]
    pub fn admin_ports(&self) -> Vec<(String, SocketAddr)> {
        let routers = self.routers.iter().map(|router| router.admin).zip(1..);
        let routers = routers.map(|(admin, number)| (format!("router-{number}"), admin));
        let edges = self.edges.iter().map(|edge| edge.admin).zip(1..);
        routers
            .chain(edges.map(|(admin, number)| (format!("edge-{number}"), admin)))
            .collect()
    }

    /// The pod id of the `number`-th edge.
    #[must_use]
    pub fn pod(&self, number: usize) -> String {
        format!("edge-{number}-{}", self.tag)
    }

    /// A charger identity that no other system has.
    #[must_use]
    pub fn charger_id(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    /// Where the `number`-th edge takes chargers.
    #[must_use]
    pub fn edge(&self, number: usize) -> SocketAddr {
        self.edges[number - 1].ocpp
    }

    /// Where all edges take chargers.
    #[must_use]
    pub fn edges(&self) -> Vec<SocketAddr> {
        self.edges.iter().map(|edge| edge.ocpp).collect()
    }

    /// A client of the `number`-th router.
    #[must_use]
    pub fn api(&self, number: usize) -> Api {
        Api::new(self.routers[number - 1].grpc)
    }

    /// The gRPC address of the `number`-th router.
    #[must_use]
    pub fn router(&self, number: usize) -> SocketAddr {
        self.routers[number - 1].grpc
    }

    /// The admin port of a service.
    #[must_use]
    pub fn admin(&self, name: &str) -> SocketAddr {
        let ports = self.admin_ports();
        ports
            .iter()
            .find(|(known, _)| known == name)
            .unwrap_or_else(|| panic!("no service {name}"))
            .1
    }

    /// The broker's bootstrap address.
    #[must_use]
    pub fn kafka(&self) -> SocketAddr {
        self.kafka
    }

    /// Where Redis listens.
    #[must_use]
    pub fn redis(&self) -> SocketAddr {
        self.redis
    }

    /// Kills a process as a crash would.
    pub async fn kill9(&mut self, name: &str) {
        self.supervisor
            .kill9(name)
            .await
            .expect("the process can be killed");
        if name == "kafka"
            && let Some(forwarder) = &mut self.forwarder
        {
            forwarder.close().await;
        }
    }

    /// Pauses a process; when this returns, none of its threads runs.
    pub async fn pause(&self, name: &str) {
        self.supervisor
            .signal(name, Signal::SIGSTOP)
            .expect("the process can be paused");
        self.stopped(name).await;
    }

    /// Lets a paused process go on.
    pub fn resume(&self, name: &str) {
        self.supervisor
            .signal(name, Signal::SIGCONT)
            .expect("the process can go on");
    }

    /// Asks a process to end, without waiting for it.
    pub fn ask_to_end(&self, name: &str) {
        self.supervisor
            .signal(name, Signal::SIGTERM)
            .expect("the process can be asked");
    }

    /// Ends a process in order.
    pub async fn stop(&mut self, name: &str) {
        self.supervisor
            .stop(name)
            .await
            .expect("the process can be ended");
        if name == "kafka"
            && let Some(forwarder) = &mut self.forwarder
        {
            forwarder.close().await;
        }
    }

    /// Starts a part again where it listened before, with the data it had; the embedded broker has none.
    pub async fn restart_part(&mut self, name: &str) {
        let ready = self
            .supervisor
            .restart(name)
            .await
            .expect("the part starts again");
        if name == "kafka"
            && let Some(forwarder) = &mut self.forwarder
        {
            forwarder.open(bootstrap(&ready)).await;
        }
    }

    /// Waits until a process is stopped (SIGSTOP) with all of its threads.
    pub async fn stopped(&self, name: &str) {
        let pid = self
            .supervisor
            .status_one(name)
            .expect("the process is known")
            .pid;
        eventually(format_args!("{name} is stopped"), async || {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
            let mut states = threads
                .flatten()
                .map(|thread| thread_state(&thread.path().join("stat")));
            states.all(|state| state == Some('T')).then_some(())
        })
        .await;
    }

    /// Waits until a process is gone; returns how it ended, in words.
    pub async fn ended(&self, name: &str) -> String {
        eventually(format_args!("{name} ends"), async || {
            self.supervisor
                .status_one(name)
                .expect("the process is known")
                .exited
        })
        .await
    }

    /// The log of a process.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.supervisor.log_of(name)).unwrap_or_default()
    }

    /// Shows the last lines of every process, for a failed test.
    pub fn show_logs(&self) {
        for child in self.supervisor.status() {
            let how = child.exited.map(|how| format!(" ({how})")).unwrap_or_default();
            complain(format!(
                "{}{how}, its last lines:\n{}",
                child.name,
                tail::of_file(&child.log, 12)
            ));
            if let Some(folder) = std::env::var_os(KEEP_LOGS) {
                let kept = PathBuf::from(folder).join(format!("{}-{}.log", self.spec.name, child.name));
                let _best_effort = std::fs::copy(&child.log, kept);
            }
        }
    }

    /// Starts a service under its name, which must not be in use. Environment variables of the tests would be unknown keys.
    async fn start_service(
        &mut self,
        name: &str,
        binary: &str,
        settings: Settings,
        failpoints: Option<String>,
    ) {
        let tools = Tools::get().await;
        let settings = match std::env::var(LOG_LEVEL) {
            Ok(level) => settings.with("log.level", level),
            Err(_) => settings,
        };
        let mut command = clean();
        if let Some(failpoints) = failpoints {
            command = command.arg(format!("HOLDFAST_FAILPOINTS={failpoints}"));
        }
        let ready_file = self.supervisor.ready_file(name);
        let command = command
            .arg(tools.binaries.path(binary))
            .args(settings.flags())
            .args(settings::supervised_flags(&ready_file));
        self.supervisor
            .start(ChildSpec::new(name, command))
            .await
            .expect("the service starts");
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
    }
}

/// The beginning of a call without the variables of the tests, which would be unknown keys.
fn clean() -> Guarded {
    let hidden = variables_to_hide().into_iter();
    Guarded::new("env").args(hidden.flat_map(|variable| ["-u".to_owned(), variable]))
}

/// A free address.
fn address() -> SocketAddr {
    free_address().expect("a free port")
}
