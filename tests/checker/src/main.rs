//! Judges the invariants from histories, chargers' logs and a dump of Redis; trusts nobody: the program.
//!
//! Exit codes: 0 nothing violated, 1 something violated, 2 the run cannot be read.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use checker::{Mode, Report};
use clap::{Parser, ValueEnum};

/// Judges a run of the chaos harness.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The folder of the run: histories (*.jsonl), dump.jsonl and run.json.
    run: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Which mode to judge in, instead of the run's own.
    #[arg(long, value_enum)]
    mode: Option<Judged>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For machines.
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Judged {
    /// What must hold throughout.
    Safety,
    /// Also that everything drains after the heal.
    Liveness,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(report) if report.violations == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            // A standard error that is closed leaves the exit code to tell.
            drop(writeln!(std::io::stderr(), "checker: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let mode = args.mode.map(|mode| match mode {
        Judged::Safety => Mode::Safety,
        Judged::Liveness => Mode::Liveness,
    });
    let report = checker::check(&args.run, mode)?;
    let text = match args.output {
        Output::Table => report.table(),
        Output::Json => serde_json::to_string(&report).context("the report has no JSON form")? + "\n",
    };
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .context("cannot write the report")?;
    Ok(report)
}
