//! Planted bugs: a harness is worth something only if it finds them.
//!
//! The simulation plants each of them. Those whose code the real processes share, which is what edges decide and the
//! table that the store's scripts look up, are planted there as well and have to be found by the checker; the others
//! exist in the store's model only, whose real counterpart is a script. Builds without debug assertions refuse all.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::Output;
use super::fault::Kind;
use super::options::{Mode, Options};
use super::run::play;
use super::{BINARIES, ChaosArgs, draw, judge};
use crate::parts::broker::BrokerKind;
use crate::progress::{print, say};
use crate::sim;
use crate::stack::binaries::Binaries;
use crate::workspace::{Metadata, cargo};

/// The environment's variable that names the bug to plant in a service.
pub(super) const VARIABLE: &str = "HOLDFAST_TEST_MUTANT";

/// The bugs that real processes have, each with the faults that bring it out, and what the names of the links that they
/// hit end in: a record that waits in Kafka meets its deadline on the way.
const REAL: [(&str, &[Kind], &str); 4] = [
    ("retry-unsafe", &[Kind::EdgeKill, Kind::SlowChargers], ""),
    (
        "forget-intent",
        &[Kind::EdgeKill, Kind::RouterKill, Kind::Storm],
        "",
    ),
    ("ignore-deadline", &[Kind::Stall], "/kafka"),
    ("stale-lease", &[Kind::EdgePause, Kind::Stall], ""),
];

/// How many seeds a bug may survive in real processes.
const SEEDS: u64 = 3;

/// What the simulation says of one bug.
#[derive(Debug, Clone, Deserialize)]
struct Simulated {
    mutant: String,
    caught: bool,
    invariant: Option<u64>,
    seed: Option<u64>,
}

/// What became of one bug.
struct Row {
    simulated: Simulated,
    /// Whether it was caught in real processes, and by which invariants; none if it has none there.
    real: Option<Caught>,
}

/// The seeds that it took, and the invariants that broke; none if none broke.
struct Caught {
    seeds: u64,
    invariants: Vec<u64>,
}

/// Plants each bug; exit code 0 if all were caught.
pub(super) async fn run(args: &ChaosArgs) -> Result<u8> {
    let metadata = Metadata::load().await?;
    let mut rows = Vec::new();
    for simulated in simulate(&metadata).await? {
        rows.push(Row {
            simulated,
            real: None,
        });
    }
    if !args.simulated_only {
        let broker = BrokerKind::choose(args.broker, args.offline).await?;
        let binaries = build(&metadata).await?;
        for (name, kinds, links) in REAL {
            let options = Options {
                kinds: kinds.to_vec(),
                links,
                // That something drains late would prove nothing about the bug.
                mode: Mode::Safety,
                mutant: Some(name),
                ..args.options(&broker)
            };
            let caught = Box::pin(hunt(args, &options, (&binaries, &broker))).await?;
            let row = rows.iter_mut().find(|row| row.simulated.mutant == name);
            row.with_context(|| format!("the simulation knows no {name}"))?
                .real = Some(caught);
        }
    }
    show(args, &rows)?;
    let survived = |row: &Row| {
        let in_real = row
            .real
            .as_ref()
            .is_some_and(|caught| caught.invariants.is_empty());
        !row.simulated.caught || in_real
    };
    Ok(u8::from(rows.iter().any(survived)))
}

/// Every bug in the simulated world.
async fn simulate(metadata: &Metadata) -> Result<Vec<Simulated>> {
    sim::build(metadata, &["simulation"], &["simulation/mutants"]).await?;
    say("planting bugs in the simulation");
    let hunt = sim::program(metadata, "simulation").args(["--mutants", "--output", "json"]);
    let outcome = hunt.outcome().await?;
    let last = outcome.out.lines().last().with_context(|| {
        format!(
            "the simulation said nothing but:\n{}",
            crate::supervise::tail::last_lines(&outcome.err, 5)
        )
    })?;
    serde_json::from_str(last).context("reading what the simulation caught")
}

/// Builds services that can be given a bug and puts them into a folder of their own: nobody else should run them,
/// and cargo puts the ordinary ones back at the next build.
async fn build(metadata: &Metadata) -> Result<Binaries> {
    say("building services that can be given a bug (cargo build)");
    let mut build =
        cargo(&metadata.workspace_root).args(["build", "--features", "router/mutants,edge/mutants"]);
    for (package, binary) in BINARIES {
        build = build.args(["--package", package, "--bin", binary]);
    }
    if !build.run().await?.success() {
        bail!("the services do not build; repeat it by: {}", build.describe());
    }
    let (built, own) = (
        metadata.target_directory.join("debug"),
        metadata.target_directory.join("mutants"),
    );
    std::fs::create_dir_all(&own)?;
    for (_, binary) in BINARIES {
        let copied = std::fs::copy(built.join(binary), own.join(binary));
        copied.with_context(|| format!("copying {binary}"))?;
    }
    Ok(Binaries::in_folder(own))
}

/// Runs seeds with one bug until the checker notices.
async fn hunt(
    args: &ChaosArgs,
    options: &Options,
    (binaries, broker): (&Binaries, &BrokerKind),
) -> Result<Caught> {
    let name = options.mutant.unwrap_or_default();
    let mut invariants = Vec::new();
    let mut seeds = 0;
    while seeds < SEEDS && invariants.is_empty() {
        let seed = args.seed + seeds;
        seeds += 1;
        let folder: PathBuf = args.folder(&format!("seed-{seed}"))?;
        say(format!("{name} in real processes, seed {seed}"));
        let plan = draw(options, seed, broker);
        play(options, seed, &plan, (binaries, broker), &folder).await?;
        invariants = broken(&judge::judge(binaries, &folder).await?.json);
        std::fs::remove_dir_all(&folder).context("removing the histories of a planted bug")?;
    }
    Ok(Caught { seeds, invariants })
}

/// The invariants that a verdict says are broken.
fn broken(verdict: &Value) -> Vec<u64> {
    let all = verdict["invariants"].as_array();
    let broken = all
        .into_iter()
        .flatten()
        .filter(|one| one["violations"].as_u64().unwrap_or(0) > 0);
    broken.filter_map(|one| one["invariant"].as_u64()).collect()
}

fn show(args: &ChaosArgs, rows: &[Row]) -> Result<()> {
    if args.output == Output::Json {
        let all: Vec<Value> = rows.iter().map(row_json).collect();
        print(serde_json::to_string(&json!({ "mutants": all }))?);
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["PLANTED BUG", "SIMULATION", "REAL PROCESSES"]);
    for row in rows {
        let simulated = match (row.simulated.invariant, row.simulated.seed) {
            (Some(invariant), Some(seed)) => format!("invariant {invariant}, seed {seed}"),
            _ => "NOT CAUGHT".to_owned(),
        };
        let real = match &row.real {
            None => "-".to_owned(),
            Some(caught) if caught.invariants.is_empty() => {
                format!("NOT CAUGHT in {} runs", caught.seeds)
            }
            Some(caught) => format!("invariants {:?}, {} runs", caught.invariants, caught.seeds),
        };
        table.add_row([row.simulated.mutant.clone(), simulated, real]);
    }
    print(table.to_string());
    Ok(())
}

fn row_json(row: &Row) -> Value {
    json!({
        "mutant": row.simulated.mutant,
        "simulation": { "caught": row.simulated.caught, "invariant": row.simulated.invariant, "seed": row.simulated.seed },
        "real": row.real.as_ref().map(|caught| json!({
            "caught": !caught.invariants.is_empty(), "invariants": caught.invariants, "runs": caught.seeds,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broken_invariants_are_those_with_violations() {
        let verdict = json!({ "invariants": [
            {"invariant": 14, "violations": 2}, {"invariant": 15, "violations": 0},
        ]});
        assert_eq!(broken(&verdict), [14]);
        assert!(broken(&json!({})).is_empty());
    }
}
