//! `cargo xtask bench`: memory, latency and connects of the gateway, each beside a floor of the same run, and what
//! it costs when idle.
//!
//! Absolute times belong to the machine they were taken on, so every bar is a ratio where that is possible, and
//! no time decides about the exit code: it is 0 whenever everything could be measured. Left out: load beyond
//! one machine, and TLS.

mod connects;
mod floors;
mod host;
mod idle;
mod latency;
mod memory;
mod platform;
mod report;
mod results;
mod rig;
mod samples;
mod urgent;
mod websocket;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::parts::broker::BrokerChoice;
use crate::progress::{print, say};
use crate::stack::binaries::{Binaries, Profile};
use crate::stack::settings::BENCH_BINARIES;
use report::Report;

/// Open files that a process needs besides its chargers.
const SPARE_FILES: u64 = 500;

/// The bench's options.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Measure only this.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Which build is measured; a first release build takes ten minutes and more.
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
    /// Which broker: Apache Kafka where Java and Maven are there, or the embedded one.
    #[arg(long, value_enum, default_value_t)]
    broker: BrokerChoice,
    /// Fetch nothing.
    #[arg(long)]
    offline: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Idle chargers of the memory figure.
    #[arg(long, default_value_t = 10_000)]
    idle_chargers: u32,
    /// Chargers of the connect figure.
    #[arg(long, default_value_t = 5_000)]
    connecting_chargers: u32,
    /// The binaries that were built already; set by the bench for the optimized copy of itself.
    #[arg(long, hide = true)]
    built: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What a router costs that has nothing to do.
    Idle,
    /// What an idle charger costs the edge.
    Memory,
    /// From SendCommand to the record on command-results.
    Latency,
    /// How fast chargers connect and are registered.
    Connects,
    /// Urgent commands against a backlog of low ones.
    Urgent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object, the last line of standard output.
    Json,
}

/// Measures and prints; an error means that something could not be measured.
pub async fn run(args: &BenchArgs) -> Result<u8> {
    let binaries = match &args.built {
        Some(folder) => Binaries::in_folder(folder.clone()),
        None => build(args.profile).await?,
    };
    let most = args.idle_chargers.max(args.connecting_chargers);
    raise_open_files(u64::from(most) + SPARE_FILES)?;
    let mut report = Report::new(args.profile);
    if args.wants(Part::Idle) {
        idle::measure(&mut report, args, &binaries).await?;
    }
    if args.wants(Part::Memory) {
        memory::measure(&mut report, args, &binaries).await?;
    }
    if args.wants(Part::Connects) {
        connects::measure(&mut report, args, &binaries).await?;
    }
    if args.wants(Part::Latency) {
        latency::measure(&mut report, args, &binaries).await?;
    }
    if args.wants(Part::Urgent) {
        urgent::measure(&mut report, args, &binaries).await?;
    }
    match args.output {
        Output::Table => print(report.table()),
        Output::Json => print(serde_json::to_string(&report)?),
    }
    Ok(0)
}

impl BenchArgs {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Builds what is measured. For a release build this process is replaced by an optimized xtask, because the
/// client's own work is part of every latency, the floors' included.
async fn build(profile: Profile) -> Result<Binaries> {
    if profile == Profile::Dev {
        return Binaries::build_for(profile, &BENCH_BINARIES).await;
    }
    say("release build, thin LTO: about 12 minutes the first time, on two cores");
    let mut wanted = BENCH_BINARIES.to_vec();
    wanted.push(("xtask", "xtask"));
    let binaries = Binaries::build_for(profile, &wanted).await?;
    say("measuring with the optimized xtask");
    let mut again = Command::new(binaries.path("xtask"));
    again
        .args(std::env::args_os().skip(1))
        .arg("--built")
        .arg(binaries.folder());
    // Only a failure returns.
    Err(again.exec()).with_context(|| format!("running {}", binaries.path("xtask").display()))
}

/// Lets this process, and with it its children, have `files` open; many shells allow 1,024 where more are allowed.
fn raise_open_files(files: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
    if hard < files {
        bail!("{files} open files a process are needed and {hard} allowed; `ulimit -Hn` shows the limit");
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of open files")?;
    }
    Ok(())
}
