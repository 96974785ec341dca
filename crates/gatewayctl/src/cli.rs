//! The command line's grammar. Leaves out what the verbs do and where defaults come from.

pub(crate) mod dlq;
pub(crate) mod times;
pub(crate) mod values;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::dlq::DlqVerb;
use crate::cli::times::{Deadline, Period};
use crate::cli::values::{Address, Span};
use crate::exit;

/// Sends commands to charge points through Holdfast, and looks at what became of them.
#[derive(Debug, Parser)]
#[command(name = "gatewayctl", version, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct ConnectionArgs {
    /// A router's gRPC address; repeat it to name several, tried in order [default: 127.0.0.1:7000]
    #[arg(long = "router", value_name = "HOST:PORT", global = true)]
    pub(crate) routers: Vec<Address>,
    /// The config file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// How long one call to one router may take, for example 500ms, 10s or 1m30s [default: 10s]
    #[arg(long, value_name = "DURATION", global = true)]
    pub(crate) timeout: Option<Span>,
    /// How often the list of routers is tried again when none is available [default: 5]
    #[arg(long, value_name = "N", global = true)]
    pub(crate) retries: Option<u32>,
    /// What to print [default: table]
    #[arg(long, short, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<Output>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Send a command to a charge point
    ///
    /// Returns as soon as the command is durable. A call that fails with exit status 5 or 8 may or may not have been
    /// accepted: it is repeated here with its idempotency key, and may be repeated by hand with the same key.
    Send(SendArgs),
    /// Show one command
    Get {
        /// The command's id
        command_id: String,
    },
    /// Follow a command until it has ended
    Watch {
        /// The command's id
        command_id: String,
    },
    /// List open commands, and ended ones for as long as they are kept
    ///
    /// A charge point's oldest come first; charge points come in no order of meaning.
    List(ListArgs),
    /// Cancel a command that has not ended
    Cancel {
        /// The command's id
        command_id: String,
    },
    /// Look at the connections of charge points
    #[command(subcommand)]
    Conn(ConnVerb),
    /// Look at dead letters, replay them, remove them
    #[command(subcommand)]
    Dlq(DlqVerb),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// What `send` takes.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// The charge point's identity
    pub(crate) charge_point: String,
    /// The OCPP action, for example RemoteStartTransaction
    pub(crate) action: String,
    /// The OCPP payload, a JSON object; `-` reads standard input, `@FILE` a file [default: {}]
    #[arg(value_name = "PAYLOAD")]
    pub(crate) payload: Option<String>,
    /// How urgent it is
    #[arg(long, value_enum, default_value_t = Priority::Normal)]
    pub(crate) priority: Priority,
    #[command(flatten)]
    pub(crate) until: Deadline,
    /// Makes a repetition find the first call's command instead of sending another [default: a new UUID]
    #[arg(long, value_name = "KEY", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) idempotency_key: Option<String>,
    /// Whether the command may be written again when it is unknown if the charger executed it [default: the action's]
    #[arg(long, value_enum)]
    pub(crate) class: Option<Class>,
    /// Wait until the command has ended, and print how
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What `list` takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this charge point's
    #[arg(long, value_name = "CHARGE_POINT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) charger: Option<String>,
    /// Only these states; may be repeated or separated by commas
    #[arg(long = "state", value_enum, value_delimiter = ',')]
    pub(crate) states: Vec<State>,
    /// When they were created.
    #[command(flatten)]
    pub(crate) period: Period,
    #[command(flatten)]
    pub(crate) extent: Extent,
}

/// How much of a long list is read.
#[derive(Debug, Args)]
pub(crate) struct Extent {
    /// Read at most this many entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Read all of them
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

impl Extent {
    /// How many entries are wanted; none for all.
    pub(crate) fn wanted(&self) -> Option<u32> {
        (!self.all).then_some(self.limit)
    }
}

/// What `conn` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ConnVerb {
    /// Show one charge point's connection
    Get {
        /// The charge point's identity
        charge_point: String,
    },
    /// List the connected charge points
    List {
        /// Only those that this pod holds
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        pod: Option<String>,
        #[command(flatten)]
        extent: Extent,
    },
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people
    Table,
    /// One JSON document; with watch, one a line
    Json,
}

/// The API's priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Priority {
    Low,
    Normal,
    High,
    /// Has a lane of its own end to end
    Urgent,
}

/// The API's redelivery classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Class {
    /// Written again until answered
    Safe,
    /// Never written again after a possible write
    Unsafe,
}

/// The API's command states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Pending,
    Sent,
    Delivered,
    Acknowledged,
    Failed,
    Expired,
    Cancelled,
}

#[cfg(test)]
mod tests;
