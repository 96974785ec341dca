//! What every test needs once a process: our binaries, a Redis program, a broker, the guard of the supervisor.
//!
//! `cargo xtask test` names the folder of binaries it has just built; a plain `cargo test` builds them here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tokio::sync::OnceCell;
use xtask::parts::broker::{BrokerChoice, BrokerKind, Topic};
use xtask::parts::redis::RedisProgram;
use xtask::stack::Binaries;
use xtask::stack::settings::BINARIES;
use xtask::supervise::guarded::use_guard_program;
use xtask::workspace;

/// The folder of our binaries, where somebody built them already.
const BIN_DIR: &str = "HOLDFAST_TEST_BIN_DIR";

/// A running Apache Kafka with our topics, which tests may share.
const SHARED_KAFKA: &str = "HOLDFAST_TEST_KAFKA";

/// A running embedded broker: its presence says that no Apache Kafka is wanted.
const EMBEDDED_KAFKA: &str = "HOLDFAST_TEST_EMBEDDED_KAFKA";

/// What is the same for all tests of a process.
#[derive(Debug)]
pub struct Tools {
    /// Our binaries.
    pub binaries: Binaries,
    /// The Redis that is started.
    pub redis: RedisProgram,
    /// The broker that is started where a test needs its own.
    pub broker: BrokerKind,
    /// The topics the system needs.
    pub topics: Vec<Topic>,
    /// The Apache Kafka that tests may share.
    pub shared_kafka: Option<SocketAddr>,
}

impl Tools {
    /// The tools, found or built at the first call.
    pub async fn get() -> &'static Self {
        static TOOLS: OnceCell<Tools> = OnceCell::const_new();
        TOOLS
            .get_or_init(async || Self::prepare().await.expect("binaries and parts for the tests"))
            .await
    }

    async fn prepare() -> Result<Self> {
        let folder = match std::env::var_os(BIN_DIR) {
            Some(folder) => PathBuf::from(folder),
            None => tokio::task::spawn_blocking(build).await??,
        };
        use_guard_program(folder.join("xtask"));
        let binaries = Binaries::in_folder(folder);
        let shared_kafka = address_from(SHARED_KAFKA)?;
        let choice = match (shared_kafka, address_from(EMBEDDED_KAFKA)?) {
            (Some(_), _) => BrokerChoice::Apache,
            (None, Some(_)) => BrokerChoice::Embedded,
            (None, None) => BrokerChoice::Auto,
        };
        Ok(Self {
            redis: RedisProgram::find_or_get(false).await?,
            broker: BrokerKind::choose(choice, false).await?,
            topics: binaries.topics().await?,
            binaries,
            shared_kafka,
        })
    }

    /// Whether a broker of one's own keeps its records over a restart.
    #[must_use]
    pub fn broker_is_durable(&self) -> bool {
        self.broker != BrokerKind::Embedded
    }
}

/// Variables of the tests' own environment that a service would refuse as unknown keys.
#[must_use]
pub fn variables_to_hide() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("HOLDFAST_")).collect()
}

/// Builds all binaries, the supervisor's guard among them; returns their folder.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "xtask"])
        .current_dir(workspace::root()?);
    for (package, binary) in BINARIES {
        build.args(["--package", package, "--bin", binary]);
    }
    ensure!(
        build.args(["--bin", "xtask"]).status()?.success(),
        "the services do not build"
    );
    // The test executable lies in `<profile>/deps`.
    let executable = std::env::current_exe()?;
    let folder = executable
        .ancestors()
        .nth(2)
        .context("the folder of build products")?;
    Ok(folder.to_path_buf())
}

fn address_from(variable: &str) -> Result<Option<SocketAddr>> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(
            text.parse()
                .with_context(|| format!("{variable}={text:?} is no address"))?,
        )),
        Err(_) => Ok(None),
    }
}
