//! The command line of `cargo xtask chaos`, and what it says of a run. Left out: running (`chaos`).

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::fault::Kind;
use super::options::{Durability, Mode, Options};
use super::scenario::Scenario;
use super::{BINARIES, inject};
use crate::parts::broker::{BrokerChoice, BrokerKind};
use crate::progress::say;
use crate::stack::binaries::{Binaries, Profile};
use crate::workspace;

/// How long the faults of a seed last unless something else is asked for.
const DURATION: Duration = Duration::from_secs(60);

/// `cargo xtask chaos`.
#[derive(Debug, Clone, Args)]
pub struct ChaosArgs {
    /// What faults and load are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Several runs, one after the other: `1..20`, both ends included.
    #[arg(long, value_parser = seeds, conflicts_with = "seed")]
    pub(super) seeds: Option<RangeInclusive<u64>>,
    /// Fixed plans instead of drawn ones, by name, separated by commas; or `all`.
    #[arg(long, value_parser = scenarios, conflicts_with_all = ["seeds", "mutants", "faults"])]
    pub(super) scenario: Option<Scenarios>,
    /// How long the faults last: `120s`, `2m`; 60 s, or what the scenario needs.
    #[arg(long, value_parser = duration)]
    pub(super) duration: Option<Duration>,
    /// Which faults, by name, separated by commas; `all`, or `none`.
    #[arg(long, default_value = "all", value_parser = kinds)]
    pub(super) faults: Kinds,
    /// What is judged: that nothing is ever wrong, that everything drains once all is healed, or both.
    #[arg(long, value_enum, default_value = "both")]
    pub(super) mode: Mode,
    /// How many brokers.
    #[arg(long, default_value_t = 1, value_parser = brokers_count)]
    pub(super) brokers: u16,
    /// What the store promises.
    #[arg(long, value_enum, default_value = "fsync")]
    pub(super) durability: Durability,
    /// Which broker: Apache Kafka where Java and Maven are there, or the embedded one.
    #[arg(long, value_enum, default_value = "auto")]
    pub(super) broker: BrokerChoice,
    /// Commands a second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(super) rate: u64,
    /// How long everything may take to drain after the heal.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) drain: Duration,
    /// Where the histories go; without it they are kept only if something is wrong.
    #[arg(long, value_name = "DIR")]
    pub(super) run_dir: Option<PathBuf>,
    /// Keeps the histories also of a clean run.
    #[arg(long)]
    pub(super) keep: bool,
    /// How the result is printed; JSON is the last line of standard output.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
    /// Prints the plan and does nothing; the planted bugs have faults of their own and no plan to show.
    #[arg(long, conflicts_with = "mutants")]
    pub(super) plan: bool,
    /// Plants bugs, one after the other, and shows which are caught and by what.
    #[arg(long)]
    pub(super) mutants: bool,
    /// With `--mutants`: by the simulation only, without runs on real processes.
    #[arg(long, requires = "mutants")]
    pub(super) simulated_only: bool,
    /// Writes what the runs showed to this page.
    #[arg(long, value_name = "FILE")]
    pub(super) evidence: Option<PathBuf>,
    /// Fetches nothing.
    #[arg(long)]
    pub(super) offline: bool,
    /// Builds nothing: the programs in this folder are run.
    #[arg(long, value_name = "DIR")]
    pub(super) binaries: Option<PathBuf>,
    /// The edges' log level.
    #[arg(long)]
    pub(super) log: Option<String>,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// One JSON object, the last line of standard output.
    Json,
}

/// A list of kinds as one value of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kinds(pub(super) Vec<Kind>);
/// A list of scenarios as one value of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scenarios(pub(super) Vec<Scenario>);

impl ChaosArgs {
    /// The settings of the runs, without the kinds that cannot be had here, which is said.
    pub(super) fn options(&self, broker: &BrokerKind) -> Options {
        let mut kinds = self.faults.0.clone();
        let real = matches!(broker, BrokerKind::Apache(_));
        kinds.retain(|kind| {
            let missing = inject::missing(*kind, real, self.durability);
            if let Some(why) = missing {
                say(format!("left out: {}, since {why}", kind.name()));
            }
            missing.is_none()
        });
        Options {
            duration: self.duration.unwrap_or(DURATION),
            scenario: None,
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

    pub(super) async fn binaries(&self) -> Result<Binaries> {
        match &self.binaries {
            Some(folder) => Ok(Binaries::in_folder(folder.clone())),
            None => Binaries::build_for(Profile::Dev, &BINARIES).await,
        }
    }

    /// One run, whose histories may lie in the very folder that is given.
    fn is_one(&self) -> bool {
        let scenarios = self.scenario.as_ref().map_or(1, |list| list.0.len());
        self.seeds.is_none() && scenarios == 1
    }

    /// An empty folder for a run's histories.
    pub(super) fn folder(&self, run: &str) -> Result<PathBuf> {
        let base = match &self.run_dir {
            Some(folder) => folder.clone(),
            None => workspace::root()?.join("target/chaos"),
        };
        let name = match (&self.run_dir, self.is_one()) {
            (Some(_), true) => base,
            _ => base.join(format!("{run}-{}", std::process::id())),
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

fn scenarios(text: &str) -> Result<Scenarios, String> {
    if text == "all" {
        return Ok(Scenarios(Scenario::value_variants().to_vec()));
    }
    let known = || {
        let names: Vec<String> = Scenario::value_variants().iter().map(|one| one.name()).collect();
        names.join(", ")
    };
    let parse = |name: &str| {
        Scenario::from_str(name.trim(), true)
            .map_err(|_| format!("{name:?} is no scenario; there are {}", known()))
    };
    Ok(Scenarios(text.split(',').map(parse).collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ChaosArgs,
    }

    fn parse(line: &str) -> Result<ChaosArgs, clap::Error> {
        let words = std::iter::once("chaos").chain(line.split_whitespace());
        <Line as clap::Parser>::try_parse_from(words).map(|line| line.args)
    }

    #[test]
    fn a_plan_of_the_planted_bugs_is_refused_and_not_silently_run() {
        let error = parse("--mutants --plan").unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        let text = error.to_string();
        assert!(text.contains("--plan") && text.contains("--mutants"), "{text}");
        assert!(parse("--plan --seed 7").unwrap().plan);
        assert!(parse("--mutants --simulated-only").unwrap().mutants);
    }

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
        assert_eq!(
            scenarios("redis-full,clock-skew"),
            Ok(Scenarios(vec![Scenario::RedisFull, Scenario::ClockSkew]))
        );
        assert!(scenarios("flood").unwrap_err().contains("kafka-outage"));
        assert!(kinds("earthquake").unwrap_err().contains("redis-full"));
    }
}
