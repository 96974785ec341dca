//! The operator's command line: sends commands to charge points, follows them, and reads the connection registry.
//!
//! Everything goes through a router's public gRPC API; Redis and Kafka are never touched. Leaves out every decision
//! about a command: what a router says is printed, and turned into an [`ExitStatus`].

mod cli;
mod commands;
mod exit;
mod failure;
mod routers;
mod settings;
mod table;
mod view;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::Parser;

use crate::cli::Cli;
use crate::commands::Session;
use crate::failure::Failure;

pub use crate::exit::ExitStatus;
pub use crate::settings::Environment;

/// The three standard streams, so that tests may stand in for them.
pub struct Io<'a> {
    /// Where `send <charge-point> <action> -` reads the payload.
    pub stdin: &'a mut dyn Read,
    /// Results: tables, or JSON.
    pub stdout: &'a mut dyn Write,
    /// Reasons and notes.
    pub stderr: &'a mut dyn Write,
}

/// Runs one command line and tells how it went. The reason of a failure is on `io.stderr` when this returns.
pub async fn run(
    args: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    io: Io<'_>,
) -> ExitStatus {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, io.stdout, io.stderr),
    };
    let Io {
        stdin,
        stdout,
        stderr,
    } = io;
    let outcome = execute(
        cli,
        environment,
        Io {
            stdin,
            stdout,
            stderr: &mut *stderr,
        },
    )
    .await;
    match outcome {
        Ok(status) => status,
        // Whoever read our output has seen enough, as `head` has: that is no failure.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitStatus::Ok,
        Err(failure) => {
            // There is no third stream to report a broken standard error to; the status still tells.
            let _ = writeln!(stderr, "gatewayctl: {}", failure.explain());
            failure.status()
        }
    }
}

/// Resolves the settings and runs the verb.
async fn execute(cli: Cli, environment: &Environment, io: Io<'_>) -> Result<ExitStatus, Failure> {
    if let cli::Verb::Completion { shell } = cli.verb {
        return commands::completion(shell, io.stdout);
    }
    let settings = settings::resolve(&cli.connection, environment)?;
    let mut session = Session::new(&settings, environment.now, io)?;
    session.perform(cli.verb).await
}

/// Prints what clap says: the help and the version to standard output, a usage error to standard error.
fn refuse(error: &clap::Error, stdout: &mut dyn Write, stderr: &mut dyn Write) -> ExitStatus {
    let text = error.render();
    // A stream that is closed cannot be told about it.
    if error.use_stderr() {
        let _ = write!(stderr, "{text}");
        return ExitStatus::Usage;
    }
    let _ = write!(stdout, "{text}");
    ExitStatus::Ok
}
