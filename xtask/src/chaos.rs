//! `cargo xtask chaos`: the whole gateway on this machine, chargers, load, and faults drawn by seed; then an independent
//! checker judges what everybody wrote down. Exit code 0 only if nothing is wrong.
//!
//! Left out: the judging (package `checker`) and the simulated world (package `simulation`, `crate::sim`).

mod audit;
mod brokers;
mod chargers;
mod chronicle;
mod dice;
mod disk;
mod dump;
mod evidence;
pub mod fault;
mod inject;
mod judge;
mod load;
mod mutants;
mod options;
pub mod plan;
mod proxy;
mod rig;
mod run;
mod summary;
mod topics;
mod versions;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::interrupt::Interrupt;
use crate::parts::broker::{BrokerChoice, BrokerKind};
use crate::progress::{complain, print, say};
use crate::stack::binaries::{Binaries, Profile};
use crate::stack::settings;
use crate::workspace;
use fault::Kind;
use options::Options;
pub use options::{Durability, Mode};
use plan::Injection;
use summary::Summary;

/// What a run starts.
const BINARIES: [(&str, &str); 8] = [
    ("router", settings::ROUTER),
    ("edge", settings::EDGE),
    ("registry-sweeper", "registry-sweeper"),
    ("simulator", settings::SIMULATOR),
    ("bus", settings::EMBEDDED_BROKER),
    ("bus", settings::TOPIC_TAIL),
    ("bus", "topic-put"),
    ("checker", judge::CHECKER),
];

/// `cargo xtask chaos`.
#[derive(Debug, Clone, Args)]
pub struct ChaosArgs {
    /// What faults and load are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Several runs, one after the other: `1..20`, both ends included.
    #[arg(long, value_parser = seeds, conflicts_with = "seed")]
    seeds: Option<RangeInclusive<u64>>,
    /// How long the faults last: `120s`, `2m`.
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Which faults, by name, separated by commas; `all`, or `none`.
    #[arg(long, default_value = "all", value_parser = kinds)]
    faults: Kinds,
    /// What is judged: that nothing is ever wrong, that everything drains once all is healed, or both.
    #[arg(long, value_enum, default_value = "both")]
    mode: Mode,
    /// How many brokers.
    #[arg(long, default_value_t = 1, value_parser = brokers_count)]
    brokers: u16,
    /// What the store promises.
    #[arg(long, value_enum, default_value = "fsync")]
    durability: Durability,
    /// Which broker: Apache Kafka where Java and Maven are there, or the embedded one.
    #[arg(long, value_enum, default_value = "auto")]
    broker: BrokerChoice,
    /// Commands a second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    rate: u64,
    /// How long everything may take to drain after the heal.
    #[arg(long, default_value = "60s", value_parser = duration)]
    drain: Duration,
    /// Where the histories go; without it they are kept only if something is wrong.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Keeps the histories also of a clean run.
    #[arg(long)]
    keep: bool,
    /// How the result is printed; JSON is the last line of standard output.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Prints the plan and does nothing.
    #[arg(long)]
    plan: bool,
    /// Plants bugs, one after the other, and shows which are caught and by what.
    #[arg(long)]
    mutants: bool,
    /// With `--mutants`: by the simulation only, without runs on real processes.
    #[arg(long, requires = "mutants")]
    simulated_only: bool,
    /// Writes what the runs showed to this page.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Fetches nothing.
    #[arg(long)]
    offline: bool,
    /// Builds nothing: the programs in this folder are run.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The edges' log level.
    #[arg(long)]
    log: Option<String>,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object, the last line of standard output.
    Json,
}

/// A list of kinds as one value of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kinds(Vec<Kind>);

/// Runs it; the exit code is 0 if nothing is wrong.
pub async fn run(args: &ChaosArgs, interrupt: &Interrupt) -> Result<u8> {
    if args.mutants {
        return interrupt.ends(Box::pin(mutants::run(args))).await;
    }
    let broker = BrokerKind::choose(args.broker, args.offline).await?;
    let options = args.options(&broker);
    let seeds = args.seeds.clone().unwrap_or(args.seed..=args.seed);
    if args.plan {
        for seed in seeds {
            show_plan(args, seed, &draw(&options, seed, &broker))?;
        }
        return Ok(0);
    }
    let binaries = args.binaries().await?;
    let mut summary = Summary::default();
    for seed in seeds {
        let runs = Box::pin(one(args, &options, seed, (&binaries, &broker)));
        summary.add(interrupt.ends(runs).await?);
    }
    if let Some(page) = &args.evidence {
        evidence::write(page, &summary, &options)?;
        say(format!("the evidence is in {}", page.display()));
    }
    match (args.output, summary.runs.len()) {
        (Output::Json, 1) => print(serde_json::to_string(&summary.runs[0].json)?),
        (Output::Json, _) => print(serde_json::to_string(&summary.json())?),
        (Output::Table, 1) => {}
        (Output::Table, _) => print(summary.table()),
    }
    Ok(u8::from(!summary.clean()))
}

/// One run and its judgement.
async fn one(
    args: &ChaosArgs,
    options: &Options,
    seed: u64,
    (binaries, broker): (&Binaries, &BrokerKind),
) -> Result<summary::Run> {
    let plan = draw(options, seed, broker);
    let folder = args.folder(seed)?;
    say(format!(
        "seed {seed}: {} faults in {} s; histories in {}",
        plan.len(),
        options.duration.as_secs(),
        folder.display()
    ));
    let outcome = run::play(options, seed, &plan, (binaries, broker), &folder).await?;
    let verdict = judge::judge(binaries, &folder).await?;
    let json = told(&verdict, &outcome, options, broker);
    match args.output {
        Output::Table => print(verdict.table.trim_end()),
        Output::Json => say(verdict.table.trim_end()),
    }
    let clean = verdict.clean && outcome.panics.is_empty() && outcome.drained != Some(false);
    for panic in &outcome.panics {
        complain(format!("seed {seed}: {panic}"));
    }
    if clean && args.run_dir.is_none() && !args.keep {
        std::fs::remove_dir_all(&folder).context("removing the histories of a clean run")?;
    } else {
        say(format!("seed {seed}: the histories are in {}", folder.display()));
    }
    Ok(summary::Run { seed, clean, json })
}

/// What the checker said, and what else the run showed.
fn told(
    verdict: &judge::Verdict,
    outcome: &run::Outcome,
    options: &Options,
    broker: &BrokerKind,
) -> serde_json::Value {
    let mut json = verdict.json.clone();
    if let Some(object) = json.as_object_mut() {
        object.extend([
            ("duration_s".to_owned(), json!(options.duration.as_secs())),
            ("took_s".to_owned(), json!(outcome.took.as_secs())),
            ("broker".to_owned(), json!(broker.label())),
            ("drained".to_owned(), json!(outcome.drained)),
            (
                "drained_ms".to_owned(),
                json!(outcome.drained_after.map(|after| after.as_millis())),
            ),
            ("crashes".to_owned(), json!(outcome.crashes)),
            ("panics".to_owned(), json!(outcome.panics)),
            ("versions".to_owned(), versions::of_parts(broker)),
        ]);
    }
    json
}

fn draw(options: &Options, seed: u64, broker: &BrokerKind) -> Vec<Injection> {
    let brokers = match broker {
        BrokerKind::Apache(_) => options.brokers,
        BrokerKind::Embedded => 0,
    };
    let mut targets = rig::targets(brokers);
    targets.links.retain(|link| link.ends_with(options.links));
    plan::draw(seed, options.duration, &options.kinds, &targets)
}

fn show_plan(args: &ChaosArgs, seed: u64, plan: &[Injection]) -> Result<()> {
    if args.output == Output::Json {
        print(serde_json::to_string(&json!({ "seed": seed, "plan": plan }))?);
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["AT", "FOR", "FAULT", "TARGET", ""]);
    let seconds = |ms: u64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    for one in plan {
        table.add_row([
            seconds(one.at_ms),
            seconds(one.lasts_ms),
            one.kind.name(),
            one.target.clone(),
            one.detail.clone(),
        ]);
    }
    print(format!("seed {seed}\n{table}"));
    Ok(())
}

impl ChaosArgs {
    /// The settings of the runs, without the kinds that cannot be had here, which is said.
    fn options(&self, broker: &BrokerKind) -> Options {
        let mut kinds = self.faults.0.clone();
        let real = matches!(broker, BrokerKind::Apache(_));
        kinds.retain(|kind| {
            let missing = inject::missing(*kind, real);
            if let Some(why) = missing {
                say(format!("left out: {}, since {why}", kind.name()));
            }
            missing.is_none()
        });
        Options {
            duration: self.duration,
            kinds,
            links: "",
            mode: self.mode,
            brokers: self.brokers,
            durability: self.durability,
            rate: self.rate,
            drain: self.drain,
            offline: self.offline,
            log: self.log.clone(),
            mutant: None,
        }
    }

    async fn binaries(&self) -> Result<Binaries> {
        match &self.binaries {
            Some(folder) => Ok(Binaries::in_folder(folder.clone())),
            None => Binaries::build_for(Profile::Dev, &BINARIES).await,
        }
    }

    /// An empty folder for a seed's histories.
    fn folder(&self, seed: u64) -> Result<PathBuf> {
        let base = match &self.run_dir {
            Some(folder) => folder.clone(),
            None => workspace::root()?.join("target/chaos"),
        };
        let name = match (&self.run_dir, &self.seeds) {
            (Some(_), None) => base,
            _ => base.join(format!("seed-{seed}-{}", std::process::id())),
        };
        std::fs::create_dir_all(&name).with_context(|| format!("making {}", name.display()))?;
        let mut entries = std::fs::read_dir(&name)?;
        if entries.next().is_some() {
            bail!("{} is not empty; histories are never mixed", name.display());
        }
        name.canonicalize().context("the folder of the histories")
    }
}

/// `1..20`, both ends included.
fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").ok_or("a range looks like 1..20")?;
    let last = last.trim_start_matches('=');
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err("the range is empty".to_owned());
    }
    Ok(first..=last)
}

/// `90`, `90s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "a duration looks like 120s or 2m".to_owned())?;
    match number * unit {
        seconds @ 1..=86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err("a duration is 1 s to a day".to_owned()),
    }
}

fn brokers_count(text: &str) -> Result<u16, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("there may be 1 broker or 3".to_owned()),
    }
}

fn kinds(text: &str) -> Result<Kinds, String> {
    match text {
        "all" => Ok(Kinds(Kind::value_variants().to_vec())),
        "none" => Ok(Kinds(Vec::new())),
        list => {
            let known = || {
                let names: Vec<String> = Kind::value_variants().iter().map(|kind| kind.name()).collect();
                names.join(", ")
            };
            let parse = |name: &str| {
                Kind::from_str(name.trim(), true)
                    .map_err(|_| format!("{name:?} is no fault; there are {}", known()))
            };
            Ok(Kinds(list.split(',').map(parse).collect::<Result<_, _>>()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_durations_and_faults_are_read_as_they_are_written() {
        assert_eq!(seeds("1..20"), Ok(1..=20));
        assert_eq!(seeds("3..=3"), Ok(3..=3));
        assert!(seeds("5..2").is_err() && seeds("5").is_err());
        assert_eq!(duration("120s"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("0s").is_err() && duration("soon").is_err());
        assert_eq!(
            kinds("edge-kill, cut"),
            Ok(Kinds(vec![Kind::EdgeKill, Kind::Cut]))
        );
        assert!(kinds("earthquake").unwrap_err().contains("redis-full"));
    }
}
