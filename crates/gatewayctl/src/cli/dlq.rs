//! The grammar of `dlq`. Leaves out what its verbs do.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::Extent;
use super::times::{Deadline, Period};

/// What `dlq` does.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqVerb {
    /// List dead letters: commands that failed or expired
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        extent: Extent,
    },
    /// Show one dead letter, with every attempt and the original request
    Show {
        /// The command's id
        command_id: String,
    },
    /// Send dead letters again, as new commands linked to them
    ///
    /// Repeating a replay is harmless: a dead letter is replayed by one command, which is found again.
    Replay(ReplayArgs),
    /// Remove dead letters; their commands can no longer be read
    Purge(PurgeArgs),
}

/// Which dead letters; all conditions hold together. An empty one would be no condition, so it is refused: a variable
/// that is not set must not choose everything.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Which dead letters")]
pub(crate) struct Filter {
    /// Only this charge point's
    #[arg(long, value_name = "CHARGE_POINT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) charger: Option<String>,
    /// Only those of this OCPP action
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) action: Option<String>,
    /// Only these reasons; may be repeated or separated by commas
    #[arg(long = "reason", value_name = "REASON", value_enum, value_delimiter = ',')]
    pub(crate) reasons: Vec<Reason>,
    /// When they ended.
    #[command(flatten)]
    pub(crate) period: Period,
}

/// One dead letter by its id, or those that match. Without any of these nothing is chosen, and nothing is done.
///
/// A group, so that the error about a line that chooses nothing names every way to choose, not the id alone.
#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("chosen")
        .args(["command_id", "charger", "action", "reasons", "since", "until", "all"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct Choice {
    /// The command's id; or choose by filters, and then say --dry-run or --yes
    #[arg(conflicts_with_all = ["charger", "action", "reasons", "since", "until", "all", "limit"])]
    pub(crate) command_id: Option<String>,
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Every one that has ended so far
    #[arg(long, conflicts_with_all = ["charger", "action", "reasons", "since", "until"])]
    pub(crate) all: bool,
    /// Of those that match, at most this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it to everything that matches
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

/// What `dlq replay` takes.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// Also replay commands that are unsafe to repeat: the charger may execute them a second time
    #[arg(long, help_heading = "Replay")]
    pub(crate) allow_unsafe: bool,
    #[command(flatten, next_help_heading = "Replay")]
    pub(crate) deadline: Deadline,
}

/// What `dlq purge` takes.
#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    pub(crate) choice: Choice,
}

/// The API's reasons for a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Written as often as allowed, never answered
    NoAnswer,
    /// Unsafe to repeat, possibly written, never answered
    OutcomeUnknown,
    /// The deadline passed
    Expired,
}
