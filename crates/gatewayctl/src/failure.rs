//! What can go wrong, what the operator is told about it, and the one place that maps it to an exit status.
//! Leaves out retries: those are in `routers`.

use std::error::Error;
use std::path::PathBuf;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

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
    #[error("`{address}` cannot be used as an address")]
    Address {
        address: String,
        source: tonic::transport::Error,
    },
    #[error("the router refused")]
    Refused(#[source] Box<Status>),
    /// Every router was tried as often as allowed; the reasons are those of the last round.
    #[error("no router answered")]
    NoRouter { reasons: Vec<String>, timed_out: bool },
    /// As above, for a send: whether it was accepted is unknown.
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
    /// The exit status that stands for this failure.
    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::Settings { .. }
            | Self::ReadConfig { .. }
            | Self::ReadPayload { .. }
            | Self::Address { .. } => ExitStatus::Usage,
            Self::Refused(status) => refused(status.code()),
            Self::NoRouter { timed_out: true, .. } => ExitStatus::TimedOut,
            Self::NoRouter { timed_out: false, .. } => ExitStatus::Unavailable,
            Self::Indeterminate { cause, .. } => cause.status(),
            Self::Incomplete { .. } | Self::Output(_) | Self::Render(_) => ExitStatus::Unexpected,
        }
    }

    /// What the operator reads: one line, and one more for each detail.
    pub(crate) fn explain(&self) -> String {
        let (head, details) = match self {
            Self::Settings { problems } => (self.to_string(), problems.clone()),
            Self::Refused(status) => (refusal_line(status), violations(status)),
            Self::NoRouter { reasons, .. } => (self.to_string(), reasons.clone()),
            Self::Indeterminate {
                idempotency_key,
                cause,
            } => {
                let advice =
                    format!("{self}; repeat it with --idempotency-key {idempotency_key} to settle that");
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

/// What the router said, or at least what its code means.
fn refusal_line(status: &Status) -> String {
    match status.message() {
        "" => status.code().description().to_owned(),
        message => view::printable(message),
    }
}

/// One line for each field that the router refused.
fn violations(status: &Status) -> Vec<String> {
    let details = status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default();
    details
        .into_iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect()
}
