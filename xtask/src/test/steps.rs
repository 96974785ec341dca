//! The steps of `cargo xtask test`: what each runs, with which parts beside it.
//!
//! Which package belongs to which ring stands here; a new package is pure until it is listed. The tests learn
//! of the parts by environment variables. Left out: starting the parts (`crate::parts`).

use std::net::SocketAddr;

use anyhow::{Result, bail};

use super::{Ring, TestArgs};
use crate::parts::broker::{BrokerKind, Topic};
use crate::parts::redis::{self, RedisProgram};
use crate::parts::{cluster, kafka};
use crate::progress::{print, say};
use crate::stack::running::create_topics;
use crate::stack::{Binaries, settings};
use crate::supervise::{Guarded, Supervisor, find_program};
use crate::tidy;
use crate::workspace::{Metadata, cargo};

/// The packages that need a real Redis.
const PARITY: [&str; 1] = ["store"];

/// The packages that need everything, and those that prove more with it than without.
const WHOLE: [&str; 2] = ["integration", "bus"];

/// The packages that cannot do anything without the parts.
const NOT_PURE: [&str; 2] = ["store", "integration"];

/// The linter of the proto files, by npm, and the code with which it ends when it found something.
const BUF: &str = "@bufbuild/buf@1.75.0";
const BUF_FINDINGS: i32 = 100;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// rustfmt.
    Format,
    /// `cargo xtask tidy`.
    Tidy,
    /// clippy, warnings denied.
    Lint,
    /// `buf lint` of the proto files.
    Proto,
    /// One ring of tests.
    Ring(Ring),
}

/// What every step needs to know.
#[derive(Debug)]
pub(super) struct Context {
    args: TestArgs,
    metadata: Metadata,
}

impl Step {
    /// The name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Tidy => "tidy",
            Self::Lint => "lint",
            Self::Proto => "proto",
            Self::Ring(ring) => ring.name(),
        }
    }
}

impl Context {
    /// Asks cargo for the members.
    pub(super) async fn load(args: &TestArgs) -> Result<Self> {
        Ok(Self {
            args: args.clone(),
            metadata: Metadata::load().await?,
        })
    }

    /// Runs one step; an error says what failed.
    pub(super) async fn run(&self, step: Step) -> Result<()> {
        match step {
            Step::Format => self.succeed(self.format()).await,
            Step::Tidy => tidy_step().await,
            Step::Lint => self.succeed(self.lint()).await,
            Step::Proto => self.proto().await,
            Step::Ring(Ring::Pure) => self.succeed(self.tests(&self.pure_packages())).await,
            Step::Ring(Ring::Parity) => self.parity().await,
            Step::Ring(Ring::Whole) => self.whole().await,
        }
    }

    /// The command that repeats just this step.
    pub(super) fn repeat(&self, step: Step) -> String {
        match step {
            Step::Format => "cargo fmt --all".to_owned(),
            Step::Tidy => "cargo xtask tidy".to_owned(),
            Step::Lint => "cargo clippy --workspace --all-targets -- --deny warnings".to_owned(),
            Step::Proto => format!("npx --yes {BUF} lint proto"),
            Step::Ring(ring) => {
                let filter = self
                    .args
                    .filter
                    .as_ref()
                    .map(|filter| format!(" {filter}"))
                    .unwrap_or_default();
                format!("cargo xtask test --ring {}{filter}", ring.name())
            }
        }
    }

    fn format(&self) -> Guarded {
        self.cargo().args(["fmt", "--all", "--check"])
    }

    fn lint(&self) -> Guarded {
        self.cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ])
    }

    /// The shape of the proto files, where buf can be had: it comes by npm, and no build needs it.
    async fn proto(&self) -> Result<()> {
        if self.args.offline || find_program(&["npx"]).is_none() {
            say("proto: skipped, it takes npx and leave to fetch buf");
            return Ok(());
        }
        let lint = Guarded::new("npx").args(["--yes", BUF, "lint"]);
        let status = lint.arg(self.metadata.workspace_root.join("proto")).run().await?;
        match status.code() {
            Some(0) => Ok(()),
            Some(BUF_FINDINGS) => bail!("buf found something"),
            _ => {
                say("proto: skipped, buf could not be fetched or run");
                Ok(())
            }
        }
    }

    /// `cargo test` of some packages; a failing one does not keep the others from running.
    fn tests(&self, packages: &[&str]) -> Guarded {
        let packages = packages.iter().flat_map(|name| ["--package", name]);
        let command = self.cargo().args(["test", "--no-fail-fast"]).args(packages);
        match &self.args.filter {
            Some(filter) => command.arg("--").arg(filter),
            None => command,
        }
    }

    /// The same tests, only compiled.
    fn compiled(&self, packages: &[&str]) -> Guarded {
        let packages = packages.iter().flat_map(|name| ["--package", name]);
        self.cargo().args(["test", "--no-run", "--quiet"]).args(packages)
    }

    fn pure_packages(&self) -> Vec<&str> {
        let names = self.metadata.packages.iter().map(|package| package.name.as_str());
        names.filter(|name| !NOT_PURE.contains(name)).collect()
    }

    /// The store against one Redis and against a cluster.
    async fn parity(&self) -> Result<()> {
        // Compiling first keeps the parts from idling, and its errors apart from theirs.
        self.succeed(self.compiled(&PARITY)).await?;
        let program = RedisProgram::find_or_get(self.args.offline).await?;
        let mut parts = Supervisor::new("test-parity", &[])?;
        let redis = redis::start(&mut parts, &program, "redis").await?;
        let cluster = cluster::start(&mut parts, &program).await?;
        say(format!("redis at {redis}, a cluster at {}", list(&cluster)));
        let tests = with_redis(self.tests(&PARITY), &program, redis, &cluster);
        let outcome = self.succeed(tests).await;
        parts.shutdown().await;
        outcome
    }

    /// Whole services against real parts.
    async fn whole(&self) -> Result<()> {
        let binaries = Binaries::build().await?;
        self.succeed(self.compiled(&WHOLE)).await?;
        let program = RedisProgram::find_or_get(self.args.offline).await?;
        let broker = BrokerKind::choose(self.args.broker, self.args.offline).await?;
        let mut parts = Supervisor::new("test-whole", &[])?;
        let redis = redis::start(&mut parts, &program, "redis").await?;
        let cluster = cluster::start(&mut parts, &program).await?;
        let mut tests = with_redis(self.tests(&WHOLE), &program, redis, &cluster);
        tests = tests.env("HOLDFAST_TEST_BIN_DIR", binaries.folder());
        if let BrokerKind::Apache(program) = &broker {
            let address = kafka::start(&mut parts, program, "kafka").await?;
            create_topics(&binaries, address).await?;
            tests = tests.env("HOLDFAST_TEST_KAFKA", address.to_string());
        } else {
            let embedded = binaries.path(settings::EMBEDDED_BROKER);
            let topics: Vec<Topic> = binaries.topics().await?;
            let address = broker.start(&mut parts, "kafka", &embedded, &topics).await?;
            tests = tests.env("HOLDFAST_TEST_EMBEDDED_KAFKA", address.to_string());
        }
        let outcome = self.succeed(tests).await;
        parts.shutdown().await;
        outcome
    }

    fn cargo(&self) -> Guarded {
        cargo(&self.metadata.workspace_root)
    }

    async fn succeed(&self, command: Guarded) -> Result<()> {
        let status = command.run().await?;
        if !status.success() {
            bail!("{} failed", command.describe());
        }
        Ok(())
    }
}

/// How the tests learn of Redis.
fn with_redis(tests: Guarded, program: &RedisProgram, redis: SocketAddr, cluster: &[SocketAddr]) -> Guarded {
    let tests = tests
        .env("HOLDFAST_TEST_REDIS", settings::redis_url(redis))
        .env("HOLDFAST_TEST_REDIS_CLUSTER", list(cluster))
        .env("HOLDFAST_TEST_REDIS_SERVER", &program.server)
        .env("HOLDFAST_TEST_REDIS_CLI", &program.cli);
    match &program.library_path {
        Some(path) => tests.env("LD_LIBRARY_PATH", path),
        None => tests,
    }
}

async fn tidy_step() -> Result<()> {
    let findings = tidy::check().await?;
    for finding in &findings {
        print(finding.to_string());
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses
        .iter()
        .map(SocketAddr::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
