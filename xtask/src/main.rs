//! The command line of `cargo xtask`; each subcommand has a file of its own in the library.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::interrupt::{Interrupt, Interrupted};
use xtask::{bench, chaos, ci, demo, guard, progress, sim, stack, test, tidy};

/// Automation of the Holdfast repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole stack, chargers, commands, and two processes killed before your eyes.
    Demo(demo::DemoArgs),
    /// Memory, latency and connects, each beside a floor of the same run.
    Bench(bench::BenchArgs),
    /// Formatting, lints and every ring of tests.
    Test(test::TestArgs),
    /// The whole gateway under faults drawn by seed, and a checker that trusts nobody.
    Chaos(Box<chaos::ChaosArgs>),
    /// The delivery protocol simulated over many seeds, then its small case exhaustively.
    Sim(sim::SimArgs),
    /// What continuous integration runs once the machine has its tools.
    Ci(ci::CiArgs),
    /// Checks of the repository's own rules: headers, fences, lengths.
    Tidy(tidy::TidyArgs),
    /// A whole gateway on this machine: Redis, a broker, routers, edges.
    Stack(stack::StackArgs),
    #[command(hide = true)]
    Guard(guard::GuardArgs),
    #[command(hide = true)]
    GuardExec(guard::GuardExecArgs),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<Interrupted>() => {
            progress::complain("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            progress::complain(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<u8> {
    // The guard blocks signals for its whole process, so it runs before there is a runtime with threads.
    match command {
        Command::Guard(args) => guard::run(&args),
        Command::GuardExec(args) => guard::exec(&args),
        other => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let outcome = runtime.block_on(run(other));
            // A read of standard input may be waiting in a thread of its own; it must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
    }
}

async fn run(command: Command) -> Result<u8> {
    let interrupt = Interrupt::install()?;
    match command {
        Command::Demo(args) => {
            interrupt
                .second_ends(Box::pin(demo::run(&args, &interrupt)))
                .await
        }
        Command::Bench(args) => interrupt.ends(Box::pin(bench::run(&args))).await,
        Command::Test(args) => interrupt.ends(test::run(&args)).await,
        Command::Chaos(args) => {
            interrupt
                .second_ends(Box::pin(chaos::run(&args, &interrupt)))
                .await
        }
        Command::Sim(args) => interrupt.ends(sim::run(&args)).await,
        Command::Ci(args) => interrupt.ends(ci::run(&args)).await,
        Command::Tidy(args) => interrupt.ends(tidy::run(&args)).await,
        Command::Stack(args) => stack::run(args, &interrupt).await,
        Command::Guard(_) | Command::GuardExec(_) => Ok(0),
    }
}
