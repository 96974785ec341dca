//! A dead letter as it is shown, and what replays and purges did.

use serde::Serialize;
use wire::gateway::command::v1::{Attempt, AttemptOutcome, DeadLetter, DeadLetterReason, ReplayOutcome};

use super::command::{CommandView, name};
use super::filled;

/// A dead letter's fields, in the order in which they are printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeadLetterView {
    pub(crate) command: CommandView,
    pub(crate) reason: Option<String>,
    pub(crate) replayed_as: Option<String>,
    pub(crate) attempts: Vec<AttemptView>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AttemptView {
    pub(crate) number: u32,
    pub(crate) at: Option<String>,
    pub(crate) pod_id: Option<String>,
    pub(crate) incarnation: u64,
    pub(crate) connection_version: u64,
    pub(crate) outcome: Option<String>,
}

/// What became of one dead letter that was to be replayed, or would become of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReplayView {
    pub(crate) dead_letter_id: String,
    /// The command that replays it.
    pub(crate) command_id: Option<String>,
    /// The command's state; not known of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// True if it had been replayed before.
    pub(crate) deduplicated: bool,
    /// Why it was not replayed, or would not be.
    pub(crate) problem: Option<String>,
    pub(crate) dry_run: bool,
}

/// What a replay of many did, or would do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BulkReplayView {
    pub(crate) dry_run: bool,
    pub(crate) replayed: usize,
    /// Those whose command an earlier replay made.
    pub(crate) replayed_before: usize,
    pub(crate) refused: usize,
    pub(crate) outcomes: Vec<ReplayView>,
    /// True if the limit ended it before the last one that matches.
    pub(crate) more: bool,
}

/// What a purge did, or would do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PurgeView {
    pub(crate) dry_run: bool,
    pub(crate) command_ids: Vec<String>,
    /// True if the limit ended it before the last one that matches.
    pub(crate) more: bool,
}

impl ReplayView {
    /// One of many.
    pub(crate) fn of_many(outcome: ReplayOutcome, dry_run: bool) -> Self {
        Self {
            dead_letter_id: outcome.dead_letter_id,
            command_id: filled(outcome.command_id),
            state: None,
            deduplicated: outcome.deduplicated,
            problem: filled(outcome.problem),
            dry_run,
        }
    }
}

impl BulkReplayView {
    pub(crate) fn new(dry_run: bool, outcomes: Vec<ReplayView>, more: bool) -> Self {
        let count = |which: fn(&ReplayView) -> bool| outcomes.iter().filter(|one| which(one)).count();
        let refused = count(|one| one.problem.is_some());
        let replayed_before = count(|one| one.problem.is_none() && one.deduplicated);
        Self {
            dry_run,
            replayed: outcomes.len() - refused - replayed_before,
            replayed_before,
            refused,
            outcomes,
            more,
        }
    }
}

impl From<DeadLetter> for DeadLetterView {
    fn from(letter: DeadLetter) -> Self {
        Self {
            reason: name(letter.reason, "DEAD_LETTER_REASON_", |value: DeadLetterReason| {
                value.as_str_name()
            }),
            replayed_as: filled(letter.replayed_as),
            attempts: letter.attempts.into_iter().map(AttemptView::from).collect(),
            command: CommandView::from(letter.command.unwrap_or_default()),
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            outcome: name(attempt.outcome, "ATTEMPT_OUTCOME_", |value: AttemptOutcome| {
                value.as_str_name()
            }),
            number: attempt.number,
            at: attempt.at.map(|time| time.to_string()),
            pod_id: filled(attempt.pod_id),
            incarnation: attempt.incarnation,
            connection_version: attempt.connection_version,
        }
    }
}
