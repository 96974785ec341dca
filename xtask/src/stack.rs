//! `cargo xtask stack`: a whole gateway on this machine, in the background of the shell that asked for it.
//!
//! `running` is the stack itself, also for other subcommands; `daemon` the process behind `up`. Left out:
//! anything a production deployment does.

pub mod binaries;
mod daemon;
pub mod running;
pub mod settings;
pub mod state;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

pub use binaries::Binaries;
pub use running::{Addresses, Stack, StackSpec};
pub use settings::{EdgeAddresses, RouterAddresses};

use crate::interrupt::Interrupt;
use crate::parts::broker::BrokerChoice;
use crate::parts::kafka_fetch::Jvm;
use crate::progress::{print, say};
use state::{ProcessState, State};

/// The name of a stack that was given none.
const DEFAULT_NAME: &str = "default";

/// How long `down` waits for the supervisor, which itself has deadlines for every process.
const DOWN_WITHIN: Duration = Duration::from_secs(120);

/// `cargo xtask stack`.
#[derive(Debug, Args)]
pub struct StackArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts everything and returns once every service is ready.
    Up(UpArgs),
    /// Ends everything; nothing is left.
    Down(NameArgs),
    /// Names each process with its id and addresses.
    Status(StatusArgs),
    /// Starts one process again where it listened before, killing it first if it still runs.
    Restart(RestartArgs),
    #[command(hide = true)]
    Supervise(SuperviseArgs),
}

/// Which stack is meant.
#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// The stack's name; one of a name runs at a time.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

/// `stack up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    name: NameArgs,
    /// How many routers.
    #[arg(long, default_value_t = 2)]
    routers: u16,
    /// How many edges.
    #[arg(long, default_value_t = 3)]
    edges: u16,
    /// How many simulated chargers.
    #[arg(long, alias = "chargers", default_value_t = 0, value_name = "CHARGERS")]
    simulators: u32,
    /// Which broker: Apache Kafka needs Java 17 and Maven, the embedded one nothing.
    #[arg(long, value_enum, default_value_t)]
    broker: BrokerChoice,
    /// Fetches nothing.
    #[arg(long)]
    offline: bool,
    /// How the processes are listed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl UpArgs {
    fn check(&self) -> Result<()> {
        if self.simulators > 0 && self.edges == 0 {
            bail!(
                "--simulators {} needs an edge to connect to; --edges is 0",
                self.simulators
            );
        }
        Ok(())
    }
}

/// `stack status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    name: NameArgs,
    /// How the processes are listed.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// `stack restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    #[command(flatten)]
    name: NameArgs,
    /// The process, as `status` names it.
    process: String,
}

/// The process behind `up`.
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// What to start, as JSON.
    #[arg(long)]
    spec: String,
    /// Where our binaries are.
    #[arg(long)]
    binaries: PathBuf,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people.
    #[default]
    Table,
    /// One JSON object.
    Json,
}

/// Runs the subcommand.
pub async fn run(args: StackArgs, interrupt: &Interrupt) -> Result<u8> {
    match args.action {
        Action::Up(args) => interrupt.second_ends(up(&args, interrupt)).await,
        Action::Down(args) => interrupt.ends(down(&args.name)).await,
        Action::Status(args) => status(&args),
        Action::Restart(args) => interrupt.ends(restart(&args)).await,
        Action::Supervise(args) => {
            interrupt
                .second_ends(Box::pin(daemon::supervise(&args, interrupt)))
                .await
        }
    }
}

async fn up(args: &UpArgs, interrupt: &Interrupt) -> Result<u8> {
    let name = &args.name.name;
    args.check()?;
    if let Some(state) = State::read(name)? {
        bail!(
            "a stack {name:?} runs already (supervisor {}); {} ends it",
            state.supervisor.pid,
            typed("down", name)
        );
    }
    let spec = StackSpec {
        name: name.clone(),
        routers: args.routers,
        edges: args.edges,
        chargers: args.simulators,
        broker: args.broker,
        jvm: Jvm::Quick,
        offline: args.offline,
    };
    let build = async {
        match spec.routers + spec.edges {
            0 => Binaries::build_for_parts(spec.broker).await,
            _ => Binaries::build().await,
        }
    };
    let binaries = interrupt.ends(build).await?;
    daemon::launch(&spec, &binaries, interrupt).await?;
    let state = State::read(name)?.context("the stack ended as soon as it was up")?;
    show(&state, args.output)?;
    if let Some(grpc) = state.view.processes.iter().find_map(|process| process.grpc) {
        let ctl = binaries.path("gatewayctl");
        say(format!(
            "`{} --router {grpc} …` sends commands and follows them",
            ctl.display()
        ));
    }
    let (status, down) = (typed("status", name), typed("down", name));
    say(format!("{status} shows this again, {down} ends it"));
    Ok(0)
}

async fn down(name: &str) -> Result<u8> {
    let state = existing(name)?;
    say(format!("ending stack {name:?}"));
    kill(Pid::from_raw(state.supervisor.pid), Signal::SIGTERM).context("signalling the supervisor")?;
    let deadline = Instant::now() + DOWN_WITHIN;
    while state.supervisor.lives() {
        if Instant::now() > deadline {
            bail!(
                "the supervisor {} still runs; SIGKILL ends it and all it started",
                state.supervisor.pid
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(0)
}

fn status(args: &StatusArgs) -> Result<u8> {
    let state = existing(&args.name.name)?;
    show(&state, args.output)?;
    Ok(0)
}

async fn restart(args: &RestartArgs) -> Result<u8> {
    let state = existing(&args.name.name)?;
    let answer = daemon::ask_restart(&state, &args.process).await?;
    print(answer);
    Ok(0)
}

/// The stack of this name. That there is none is an error also for `down`: one that was started by another name goes on
/// running, and who wanted it ended must hear of it.
fn existing(name: &str) -> Result<State> {
    State::read(name)?.with_context(|| {
        let up = typed("up", name);
        format!("there is no stack {name:?}: {up} starts one, `--name` picks another")
    })
}

/// The command that does `verb` to the stack of this name, to be typed as it is: a name has no character that a shell
/// would read otherwise.
fn typed(verb: &str, name: &str) -> String {
    match name {
        DEFAULT_NAME => format!("`cargo xtask stack {verb}`"),
        other => format!("`cargo xtask stack {verb} --name {other}`"),
    }
}

fn show(state: &State, output: Output) -> Result<()> {
    match output {
        Output::Json => print(serde_json::to_string_pretty(state)?),
        Output::Table => print(table(state)),
    }
    Ok(())
}

fn table(state: &State) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["PROCESS", "PID", "STATE", "ADDRESS", "METRICS"]);
    for process in &state.view.processes {
        let pid = process.pid.to_string();
        let metrics = process.metrics.clone().unwrap_or_default();
        table.add_row([
            process.name.clone(),
            pid,
            process.state.clone(),
            main_address(process),
            metrics,
        ]);
    }
    let (name, pid) = (&state.name, state.supervisor.pid);
    let scratch = state.scratch.display();
    format!(
        "stack {name:?}, supervisor {pid}, broker {}, logs in {scratch}\n{table}",
        state.view.broker
    )
}

fn main_address(process: &ProcessState) -> String {
    let grpc = process.grpc.map(|address| format!("grpc {address}"));
    let kafka = process.kafka.map(|address| format!("kafka {address}"));
    grpc.or(kafka)
        .or_else(|| process.ocpp.clone())
        .or_else(|| process.redis.clone())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_stack_that_it_is_about() {
        assert_eq!(typed("down", DEFAULT_NAME), "`cargo xtask stack down`");
        assert_eq!(typed("status", "mine"), "`cargo xtask stack status --name mine`");
    }

    #[test]
    fn chargers_without_an_edge_are_refused() {
        let up = |edges, simulators| UpArgs {
            name: NameArgs {
                name: DEFAULT_NAME.to_owned(),
            },
            routers: 1,
            edges,
            simulators,
            broker: BrokerChoice::default(),
            offline: true,
            output: Output::Table,
        };
        let error = up(0, 3).check().unwrap_err().to_string();
        assert!(
            error.contains("--simulators 3") && error.contains("--edges"),
            "{error}"
        );
        assert!(up(1, 3).check().is_ok() && up(0, 0).check().is_ok());
    }

    #[tokio::test]
    async fn ending_a_stack_that_does_not_exist_is_an_error_that_names_it() {
        let name = format!("none-{}", std::process::id());
        let error = down(&name).await.unwrap_err().to_string();
        assert!(error.contains(&format!("no stack {name:?}")), "{error}");
        assert!(error.contains(&format!("stack up --name {name}")), "{error}");
    }
}
