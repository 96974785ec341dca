//! `cargo xtask chaos`: the whole gateway on this machine, chargers, load, and faults drawn by seed or planned by a
//! scenario; then an independent checker judges what everybody wrote down. Exit code 0 only if nothing is wrong.
//!
//! Left out: the judging (package `checker`) and the simulated world (package `simulation`, `crate::sim`).

mod aof;
mod args;
mod audit;
mod brokers;
mod chargers;
mod chronicle;
mod dice;
mod disk;
mod dump;
mod evidence;
pub mod fault;
mod gauge;
mod inject;
mod intruders;
mod judge;
mod load;
mod mutants;
mod options;
pub mod plan;
mod proxy;
mod rig;
mod run;
mod scenario;
mod shown;
mod summary;
mod topics;
mod versions;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};

use crate::interrupt::Interrupt;
use crate::parts::broker::BrokerKind;
use crate::progress::{complain, print, say};
use crate::stack::binaries::Binaries;
use crate::stack::settings;
pub use args::ChaosArgs;
use args::Output;
use options::Options;
pub use options::{Durability, Mode};
use plan::{Injection, Targets};
pub use scenario::Scenario;
use summary::Summary;

/// What a run starts.
const BINARIES: [(&str, &str); 9] = [
    ("router", settings::ROUTER),
    ("edge", settings::EDGE),
    ("registry-sweeper", "registry-sweeper"),
    ("simulator", settings::SIMULATOR),
    ("bus", settings::EMBEDDED_BROKER),
    ("bus", settings::TOPIC_TAIL),
    ("bus", "topic-put"),
    ("bus", "topic-grow"),
    ("checker", judge::CHECKER),
];

/// A run that is to be made.
struct Job {
    seed: u64,
    options: Options,
    plan: Vec<Injection>,
}

/// Runs it; the exit code is 0 if nothing is wrong.
pub async fn run(args: &ChaosArgs, interrupt: &Interrupt) -> Result<u8> {
    if args.mutants {
        return interrupt.ends(Box::pin(mutants::run(args))).await;
    }
    let broker = BrokerKind::choose(args.broker, args.offline).await?;
    let jobs = jobs(args, &broker)?;
    if args.plan {
        for job in &jobs {
            show_plan(args, job)?;
        }
        return Ok(0);
    }
    let binaries = args.binaries().await?;
    let mut summary = Summary::default();
    for job in &jobs {
        let run = async { Ok(Box::pin(one(args, job, (&binaries, &broker))).await) };
        match interrupt.ends(run).await? {
            Ok(run) => summary.add(run),
            // What the others show stays worth knowing.
            Err(error) if jobs.len() > 1 => {
                complain(format!("{} broke off: {error:#}", job.name()));
                summary.broken_off.push(job.name());
            }
            Err(error) => return Err(error),
        }
    }
    if let (Some(page), Some(job)) = (&args.evidence, jobs.first()) {
        evidence::write(page, &summary, &job.options)?;
        say(format!("the evidence is in {}", page.display()));
    }
    match (args.output, jobs.len()) {
        (Output::Json, 1) => print(serde_json::to_string(&summary.runs[0].json)?),
        (Output::Json, _) => print(serde_json::to_string(&summary.json())?),
        (Output::Table, 1) => {}
        (Output::Table, _) => print(summary.table()),
    }
    Ok(u8::from(!summary.clean()))
}

/// What is to be run: scenarios if they are asked for, else seeds.
fn jobs(args: &ChaosArgs, broker: &BrokerKind) -> Result<Vec<Job>> {
    let options = args.options(broker);
    let Some(scenarios) = &args.scenario else {
        let seeds = args.seeds.clone().unwrap_or(args.seed..=args.seed);
        let job = |seed| Job {
            seed,
            plan: draw(&options, seed, broker),
            options: options.clone(),
        };
        return Ok(seeds.map(job).collect());
    };
    let mut jobs = Vec::new();
    for scenario in scenarios.0.iter().copied() {
        let options = scenario.options(&options, args.duration);
        if let Some(why) = scenario.missing(matches!(broker, BrokerKind::Apache(_)), options.durability) {
            complain(format!("not available: {}, since {why}", scenario.name()));
            continue;
        }
        let plan = scenario.plan(options.duration, &targets(&options, broker));
        jobs.push(Job {
            seed: args.seed,
            options,
            plan,
        });
    }
    if jobs.is_empty() {
        bail!("none of the scenarios can be played here");
    }
    Ok(jobs)
}

/// One run and its judgement.
async fn one(
    args: &ChaosArgs,
    job: &Job,
    (binaries, broker): (&Binaries, &BrokerKind),
) -> Result<summary::Run> {
    let (options, name) = (&job.options, job.name());
    let folder = args.folder(&name)?;
    say(format!(
        "{name}: {} faults in {} s; histories in {}",
        job.plan.len(),
        options.duration.as_secs(),
        folder.display()
    ));
    let outcome = run::play(options, job.seed, &job.plan, (binaries, broker), &folder).await?;
    let verdict = judge::judge(binaries, &folder).await?;
    let json = told(&verdict, &outcome, options, broker, &folder)?;
    match args.output {
        Output::Table => print(verdict.table.trim_end()),
        Output::Json => say(verdict.table.trim_end()),
    }
    if let (Some(shown), Output::Table) = (json["shown"].as_object(), args.output) {
        print(shown::lines(shown).join("\n"));
    }
    let wrong: Vec<&String> = outcome.panics.iter().chain(&outcome.broken).collect();
    let clean = verdict.clean && wrong.is_empty() && outcome.drained != Some(false);
    for what in wrong {
        complain(format!("{name}: {what}"));
    }
    if clean && args.run_dir.is_none() && !args.keep {
        std::fs::remove_dir_all(&folder).context("removing the histories of a clean run")?;
    } else {
        say(format!("{name}: the histories are in {}", folder.display()));
    }
    Ok(summary::Run {
        seed: job.seed,
        scenario: options.scenario,
        clean,
        json,
    })
}

/// What the checker said, and what else the run showed.
fn told(
    verdict: &judge::Verdict,
    outcome: &run::Outcome,
    options: &Options,
    broker: &BrokerKind,
    folder: &std::path::Path,
) -> Result<Value> {
    let mut json = verdict.json.clone();
    let more = json!({
        "duration_s": options.duration.as_secs(),
        "took_s": outcome.took.as_secs(),
        "broker": broker.label(),
        "durability": options.durability.name(),
        "drained": outcome.drained,
        "drained_ms": outcome.drained_after.map(|after| after.as_millis()),
        "crashes": outcome.crashes,
        "panics": outcome.panics,
        "broken": outcome.broken,
        "intruders": outcome.intruders,
        "versions": versions::of_parts(broker),
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, more) {
        json.extend(more);
        if let Some(scenario) = options.scenario {
            let shown: Map<String, Value> = shown::of(scenario, folder, outcome)?;
            json.insert("scenario".to_owned(), json!(scenario.name()));
            json.insert("shown".to_owned(), Value::Object(shown));
        }
    }
    Ok(json)
}

fn draw(options: &Options, seed: u64, broker: &BrokerKind) -> Vec<Injection> {
    let mut targets = targets(options, broker);
    targets.links.retain(|link| link.ends_with(options.links));
    plan::draw(seed, options.duration, &options.kinds, &targets)
}

fn targets(options: &Options, broker: &BrokerKind) -> Targets {
    rig::targets(match broker {
        BrokerKind::Apache(_) => options.brokers,
        BrokerKind::Embedded => 0,
    })
}

fn show_plan(args: &ChaosArgs, job: &Job) -> Result<()> {
    if args.output == Output::Json {
        print(serde_json::to_string(
            &json!({ "seed": job.seed, "plan": job.plan }),
        )?);
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["AT", "FOR", "FAULT", "TARGET", ""]);
    let seconds = |ms: u64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    for one in &job.plan {
        table.add_row([
            seconds(one.at_ms),
            seconds(one.lasts_ms),
            one.kind.name(),
            one.target.clone(),
            one.detail.clone(),
        ]);
    }
    print(format!("{}\n{table}", job.name()));
    Ok(())
}

impl Job {
    /// What it is called in folders and in what is said.
    fn name(&self) -> String {
        let seed = || format!("seed-{}", self.seed);
        self.options.scenario.map_or_else(seed, Scenario::name)
    }
}
