//! The program: runs seeds and says what they showed. Exit code 1 on a violation.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use simulation::campaign::Campaign;
use simulation::plan::Plan;
use simulation::{Lines, report, run};

/// Runs the delivery protocol against every fault that a seed draws, and judges it.
#[derive(Debug, Parser)]
#[command(name = "simulation")]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The store loses what it had not flushed, as under `relaxed`.
    #[arg(long)]
    relaxed: bool,
    /// Print the whole trace of the first seed, and run no other.
    #[arg(long)]
    trace: bool,
    /// Lines of its trace that a failing seed prints.
    #[arg(long, default_value_t = 80)]
    tail: usize,
    /// Threads; by default one a core.
    #[arg(long)]
    threads: Option<usize>,
    /// Plant this bug.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<String>,
    /// Plant each bug in turn, and say which invariant caught it.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutants: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // A panic in a run is told with its seed; that it happens while shrinking is nothing to report.
    std::panic::set_hook(Box::new(|_| {}));
    #[cfg(feature = "mutants")]
    if let Some(code) = mutants(&args)? {
        return Ok(code);
    }
    if args.trace {
        return trace(&args);
    }
    let began = Instant::now();
    let verdict = campaign(&args).run();
    let took = began.elapsed();
    say(&match args.output {
        Format::Table => report::table(&verdict, took),
        Format::Json => report::json(&verdict, took),
    })?;
    let Some((seed, _)) = verdict.failed.first() else {
        return Ok(ExitCode::SUCCESS);
    };
    if args.output == Format::Table {
        say(&failures(&verdict))?;
        say(&report::story(*seed, args.relaxed, args.tail))?;
    }
    Ok(ExitCode::FAILURE)
}

/// Plants bugs, if that was asked for. Exit code 1 if one was not caught, or if the one that was asked for was:
/// then its story is told.
#[cfg(feature = "mutants")]
fn mutants(args: &Args) -> anyhow::Result<Option<ExitCode>> {
    use domain::mutant::{Mutant, plant};
    use simulation::mutants;
    if args.mutants {
        let caught = mutants::hunt_all(&campaign(args));
        say(&match args.output {
            Format::Table => mutants::table(&caught),
            Format::Json => mutants::json(&caught),
        })?;
        let all = caught.iter().all(|one| one.by.is_some());
        return Ok(Some(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }));
    }
    let Some(name) = &args.mutant else { return Ok(None) };
    let names = Mutant::ALL.map(Mutant::name).join(", ");
    let mutant =
        Mutant::from_name(name).with_context(|| format!("no mutant {name:?}; there are: {names}"))?;
    let caught = mutants::hunt(mutant, &campaign(args));
    say(&mutants::table(std::slice::from_ref(&caught)))?;
    if let Some((_, seed, _)) = caught.by {
        plant(Some(mutant));
        say(&report::story(seed, args.relaxed, args.tail))?;
        return Ok(Some(ExitCode::FAILURE));
    }
    Ok(Some(ExitCode::SUCCESS))
}

fn campaign(args: &Args) -> Campaign {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Campaign {
        from: args.from,
        seeds: args.seeds,
        relaxed: args.relaxed,
        until_first: false,
        threads: args.threads.unwrap_or(cores),
    }
}

/// The failing seeds, the first few.
fn failures(verdict: &simulation::campaign::Verdict) -> String {
    let lines = verdict
        .failed
        .iter()
        .take(10)
        .map(|(seed, v)| format!("seed {seed}: invariant {}: {}\n", v.invariant, v.text));
    format!(
        "\n{} seeds failed\n{}\n",
        verdict.failed.len(),
        lines.collect::<String>()
    )
}

/// The whole trace of one seed.
fn trace(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::of_seed(args.from, args.relaxed);
    say(&format!("{plan:#?}\n"))?;
    let outcome = run(plan, Lines::All);
    for line in &outcome.lines {
        say(&format!("{line}\n"))?;
    }
    let verdict = outcome
        .violation
        .as_ref()
        .map_or("no violation".to_owned(), |v| format!("{v:?}"));
    say(&format!("digest {:016x}, {verdict}\n", outcome.digest))?;
    Ok(if outcome.violation.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("cannot print")
}
