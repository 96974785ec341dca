//! Every interleaving of the small case, over the same pure functions: the program.

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};
use exhaustive::{
    COMMANDS_MAX, Case, CommandSpec, Fault, Invariant, Limits, Outcome, Report, explore, presets,
};
use serde::Serialize;

/// Explores small cases of the delivery protocol in full and says what held.
///
/// Without --commands the presets are explored. Exit code: 0 if every case was explored in full and
/// every invariant held, 1 if one was broken (with a shortest path to it), 3 if a case has more states than permitted.
#[derive(Parser)]
#[command(name = "exhaustive", version)]
struct Options {
    /// Presets to explore, by name; all of them if none is named.
    #[arg(long = "case", value_name = "NAME", value_delimiter = ',')]
    cases: Vec<String>,
    /// Names the presets and ends.
    #[arg(long)]
    list: bool,
    /// A case of one's own: its commands (safe, unsafe, urgent-safe, urgent-unsafe), one or two.
    #[arg(long, value_delimiter = ',', value_parser = CommandSpec::parse)]
    commands: Vec<CommandSpec>,
    /// Its faults, each at most once, or as often as it is named.
    #[arg(long, value_delimiter = ',', value_name = "FAULTS", requires = "commands")]
    faults: Vec<Fault>,
    /// How many of them may come together.
    #[arg(long, default_value_t = 2)]
    together: u8,
    /// Within how many ticks they begin.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=60))]
    fault_ticks: u8,
    /// The deadline, in ticks.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=60))]
    deadline: u8,
    /// The deadline is so far that nothing may expire.
    #[arg(long)]
    far_deadline: bool,
    /// The charger connects only after the case begins.
    #[arg(long)]
    offline: bool,
    /// Gives a case up beyond so many steps.
    #[arg(long, default_value_t = 60_000_000)]
    max_states: usize,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Plants a bug, which is then to be found (builds with the feature `mutants` only).
    #[cfg(feature = "mutants")]
    #[arg(long, value_parser = mutant)]
    mutant: Option<domain::mutant::Mutant>,
    /// A table for people or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut out = std::io::stdout().lock();
    if options.list {
        for case in presets() {
            writeln!(out, "{}", case.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    #[cfg(feature = "mutants")]
    domain::mutant::plant(options.mutant);
    let limits = Limits {
        max_states: options.max_states,
        threads: options.threads,
    };
    let mut reports = Vec::new();
    for case in chosen(&options) {
        let report = explore(&case, limits);
        if options.output == Format::Table {
            print(&mut out, &report)?;
        }
        reports.push(report);
    }
    if options.output == Format::Json {
        serde_json::to_writer_pretty(&mut out, &Summary::of(&reports))?;
        writeln!(out)?;
    } else {
        let sum = Summary::of(&reports);
        let (cases, states, steps) = (sum.cases.len(), sum.states, sum.steps);
        writeln!(
            out,
            "{cases} cases, {states} states in {steps} steps, {:.1} s: {:?}",
            sum.seconds, sum.outcome
        )?;
    }
    Ok(verdict(&reports))
}

#[cfg(feature = "mutants")]
fn mutant(name: &str) -> Result<domain::mutant::Mutant, String> {
    let names = || domain::mutant::Mutant::ALL.map(|m| m.name()).join(", ");
    domain::mutant::Mutant::from_name(name).ok_or_else(|| format!("the mutants are {}", names()))
}

/// The cases that were asked for.
fn chosen(options: &Options) -> Vec<Case> {
    if !options.commands.is_empty() {
        if options.commands.len() > COMMANDS_MAX {
            usage(&format!("a case has at most {COMMANDS_MAX} commands"));
        }
        let mut case = Case::new("own", &[], &options.faults, options.together);
        case.commands.clone_from(&options.commands);
        case.fault_ticks = options.fault_ticks;
        case = case.deadline(options.deadline);
        case.offline = options.offline;
        return vec![if options.far_deadline {
            case.far_deadline()
        } else {
            case
        }];
    }
    let all = presets();
    if options.cases.is_empty() {
        return all;
    }
    let find = |name: &String| {
        let found = all.iter().find(|c| c.name == *name).cloned();
        found.unwrap_or_else(|| usage(&format!("no case is named {name:?}; --list names them")))
    };
    options.cases.iter().map(find).collect()
}

/// Ends the program as `clap` does for what it refuses itself.
fn usage(message: &str) -> ! {
    Options::command()
        .error(ErrorKind::ValueValidation, message)
        .exit()
}

/// All cases together.
#[derive(Serialize)]
struct Summary<'a> {
    outcome: Outcome,
    states: usize,
    steps: usize,
    depth: usize,
    seconds: f64,
    cases: &'a [Report],
}

impl<'a> Summary<'a> {
    fn of(cases: &'a [Report]) -> Self {
        let any = |outcome| cases.iter().any(|r| r.outcome == outcome);
        let worse = [Outcome::Violated, Outcome::Incomplete]
            .into_iter()
            .find(|o| any(*o));
        Self {
            outcome: worse.unwrap_or(Outcome::Complete),
            states: cases.iter().map(|r| r.states).sum(),
            steps: cases.iter().map(|r| r.steps).sum(),
            depth: cases.iter().map(|r| r.depth).max().unwrap_or(0),
            seconds: cases.iter().map(|r| r.seconds).sum(),
            cases,
        }
    }
}

fn verdict(reports: &[Report]) -> ExitCode {
    match Summary::of(reports).outcome {
        Outcome::Complete => ExitCode::SUCCESS,
        Outcome::Violated => ExitCode::from(1),
        Outcome::Incomplete => ExitCode::from(3),
    }
}

fn print(out: &mut impl std::io::Write, report: &Report) -> std::io::Result<()> {
    let case = &report.case;
    writeln!(out, "{}  {:?}", case.name, report.outcome)?;
    let commands: Vec<String> = case.commands.iter().map(ToString::to_string).collect();
    writeln!(out, "  commands   {}", commands.join(", "))?;
    writeln!(
        out,
        "  faults     {:?}: each once, at most {} together, begun within {} ticks",
        case.faults, case.faults_together, case.fault_ticks
    )?;
    writeln!(
        out,
        "  bounds     {} ticks, deadline after {}, {} attempts; messages unbounded, in any order",
        case.ticks, case.deadline_ticks, case.max_attempts
    )?;
    writeln!(
        out,
        "  states     {} in {} steps, depth {}, {:.1} s",
        report.states, report.steps, report.depth, report.seconds
    )?;
    writeln!(
        out,
        "  held       {} of {}: {}",
        report.held.len(),
        Invariant::ALL.len(),
        report.held.join("; ")
    )?;
    writeln!(out, "  happened   {}", report.reached.join("; "))?;
    for broken in &report.broken {
        writeln!(out, "  BROKEN     {}", broken.invariant)?;
        for step in &broken.path {
            writeln!(out, "    {step}")?;
        }
    }
    Ok(())
}
