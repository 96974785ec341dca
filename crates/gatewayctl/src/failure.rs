//! What can go wrong, what the operator is told about it, and the one place that maps it to an exit status.
//! Leaves out retries: those are in `routers`.

use std::error::Error;
use std::path::PathBuf;

use prost_types::Timestamp;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

use crate::exit::ExitStatus;
use crate::view;

/// Why a command line did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("the settings cannot be used")]
    Settings { problems: Vec<String> },
    #[error("cannot read the config file {}", path.display())]
    ReadConfig { path: PathBuf, source: std::io::Error },
    #[error("cannot read the payload from {origin}")]
    ReadPayload { origin: String, source: std::io::Error },
    #[error("the payload is not a JSON object")]
    Payload { problem: String },
    #[error("nothing lies between --since {since} and --until {until}")]
    Period { since: Timestamp, until: Timestamp },
    #[error("{command_id} is not a dead letter")]
    NoDeadLetter { command_id: String },
    /// Refused here: it would have touched many commands, and nobody said that this is meant.
    #[error("this would {verb} every dead letter that matches")]
    Unconfirmed { verb: &'static str },
    #[error("`{address}` cannot be used as an address")]
    Address {
        address: String,
        source: tonic::transport::Error,
    },
    #[error("the router refused")]
    Refused(#[source] Box<Status>),
    /// Every router was tried as often as allowed; the reasons are those of the last round. `reached` if any router may
    /// have heard the call.
    #[error("no router answered")]
    NoRouter {
        reasons: Vec<String>,
        timed_out: bool,
        reached: bool,
    },
    /// As above, and no connection to any router came about.
    #[error("nothing was accepted: no router could be reached")]
    NotSent { cause: Box<Failure> },
    /// The command went on while nobody could be asked about it.
    #[error("the command was accepted and goes on without us")]
    LostSight { command_id: String, cause: Box<Failure> },
    /// As `NoRouter`, for a call on dead letters.
    #[error("it may or may not have been done; repeating the line is harmless")]
    Unsettled { cause: Box<Failure> },
    /// As `NoRouter`, for a send: whether it was accepted is unknown.
    #[error("the command may or may not have been accepted")]
    Indeterminate {
        idempotency_key: String,
        cause: Box<Failure>,
    },
    #[error("the router's answer lacks {what}")]
    Incomplete { what: &'static str },
    #[error("cannot write the output")]
    Output(#[from] std::io::Error),
    #[error("cannot render the output")]
    Render(#[from] serde_json::Error),
}

impl Failure {
    /// Says of a call on dead letters that no router answered what that leaves open.
    pub(crate) fn of_an_effect(self) -> Self {
        match self {
            Self::NoRouter { reached: true, .. } => Self::Unsettled {
                cause: Box::new(self),
            },
            other => other,
        }
    }

    /// Says of a watch that found no router that its command goes on.
    pub(crate) fn after_acceptance(self, command_id: String) -> Self {
        match self {
            Self::NoRouter { .. } => Self::LostSight {
                command_id,
                cause: Box::new(self),
            },
            other => other,
        }
    }

    /// The exit status that stands for this failure.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::Settings { .. }
            | Self::ReadConfig { .. }
            | Self::ReadPayload { .. }
            | Self::Payload { .. }
            | Self::Period { .. }
            | Self::Unconfirmed { .. }
            | Self::Address { .. } => ExitStatus::Usage,
            Self::Refused(status) => refused(status.code()),
            Self::NoRouter { timed_out: true, .. } => ExitStatus::TimedOut,
            Self::NoRouter { timed_out: false, .. } => ExitStatus::Unavailable,
            Self::NoDeadLetter { .. } => ExitStatus::NotFound,
            Self::Indeterminate { cause, .. }
            | Self::Unsettled { cause }
            | Self::NotSent { cause }
            | Self::LostSight { cause, .. } => cause.status(),
            Self::Incomplete { .. } | Self::Output(_) | Self::Render(_) => ExitStatus::Unexpected,
        }
    }

    /// What the operator reads: one line, and one more for each detail.
    pub(crate) fn explain(&self) -> String {
        let (head, details) = match self {
            Self::Settings { problems } => (self.to_string(), problems.clone()),
            Self::Refused(status) => {
                let violations = violations(status);
                let lines = violations.iter().map(violation_line).collect();
                (refusal_line(status, &violations), lines)
            }
            Self::NoRouter { reasons, reached, .. } => {
                let advice = "where they are comes from --router, GATEWAYCTL_ROUTER or the config file";
                let advice = (!reached).then(|| advice.to_owned());
                (self.to_string(), reasons.iter().cloned().chain(advice).collect())
            }
            Self::Payload { problem } => (self.to_string(), vec![problem.clone()]),
            Self::Unconfirmed { .. } => {
                let advice = "look at them with --dry-run, then repeat the line with --yes";
                (self.to_string(), vec![advice.to_owned()])
            }
            Self::Indeterminate {
                idempotency_key,
                cause,
            } => {
                let advice =
                    format!("{self}; repeat it with --idempotency-key {idempotency_key} to settle that");
                return format!("{}\n{advice}", cause.explain());
            }
            Self::NotSent { cause } | Self::Unsettled { cause } => {
                return format!("{}\n{self}", cause.explain());
            }
            Self::LostSight { command_id, cause } => {
                let advice = format!("{self}; `gatewayctl watch {command_id}` finds it again");
                return format!("{}\n{advice}", cause.explain());
            }
            _ => (with_causes(self), Vec::new()),
        };
        details.iter().fold(head, |text, detail| {
            format!("{text}\n  {}", view::printable(detail))
        })
    }
}

/// The error with everything below it, outermost first, without saying the same thing twice.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.ends_with(&line) {
            text = format!("{text}: {line}");
        }
        cause = error.source();
    }
    text
}

/// The status for a code that a router answered with.
fn refused(code: Code) -> ExitStatus {
    match code {
        Code::NotFound => ExitStatus::NotFound,
        Code::InvalidArgument | Code::OutOfRange => ExitStatus::InvalidArgument,
        Code::Unavailable => ExitStatus::Unavailable,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ExitStatus::Conflict,
        Code::ResourceExhausted => ExitStatus::ResourceExhausted,
        Code::DeadlineExceeded => ExitStatus::TimedOut,
        Code::Unauthenticated | Code::PermissionDenied => ExitStatus::Denied,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => ExitStatus::Unexpected,
    }
}

/// What the router said, or at least what its code means. Violations are listed below it, so a message that repeats
/// them is cut before them.
fn refusal_line(status: &Status, violations: &[FieldViolation]) -> String {
    let message = status.message();
    let repeats = |violation: &FieldViolation| message.contains(&violation.description);
    match message.split_once(": ") {
        _ if message.is_empty() => status.code().description().to_owned(),
        Some((head, _)) if !violations.is_empty() && violations.iter().all(repeats) => view::printable(head),
        _ => view::printable(message),
    }
}

/// The fields that the router refused.
fn violations(status: &Status) -> Vec<FieldViolation> {
    status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default()
}

/// One line for a refused field.
fn violation_line(violation: &FieldViolation) -> String {
    format!("{}: {}", violation.field, violation.description)
}
