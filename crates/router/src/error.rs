//! The one place that maps errors to gRPC codes and to the details that clients act on.

use std::time::Duration;

use domain::command::Status as CommandStatus;
use domain::ids::CommandId;
use domain::slot::AcceptRefusal;
use store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use wire::map::record::state_name;

use crate::slots::SubmitError;

/// When a caller should try again while a part is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields that cannot be accepted, all of them.
    #[error("the request is invalid: {}", describe(.0))]
    Invalid(Vec<FieldViolation>),
    /// There is no such thing.
    #[error("{} {name} is not known", kind.replace('_', " "))]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The idempotency key names a command with other content.
    #[error("the idempotency key was used for another command of this charge point")]
    OtherContent,
    /// A bound of a queue is reached.
    #[error("{description}")]
    Exhausted {
        /// What is bounded.
        subject: String,
        /// Which bound.
        description: String,
    },
    /// The command has ended, like this.
    #[error("command {0} has ended: it is {state}", state = state_name(*.1))]
    Ended(CommandId, CommandStatus),
    /// The command has not failed or expired, so it is no dead letter.
    #[error("command {0} is no dead letter")]
    NotADeadLetter(CommandId),
    /// The dead letter's command may have been executed, and must not be repeated without the caller's word.
    #[error("command {0} is unsafe to repeat, and the request does not allow that")]
    UnsafeToRepeat(CommandId),
    /// An edge opened a link and said nothing.
    #[error("no Hello came in time")]
    NoHello,
    /// The caller has gone: nobody reads this.
    #[error("the caller left")]
    Left,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed a batch.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The store was never reached since this router started.
    #[error("the router is not connected to its store yet")]
    NotConnected,
    /// The router ends; another one serves.
    #[error("the router shuts down")]
    ShuttingDown,
    /// This router cannot reach Kafka; another one may.
    #[error("the router cannot reach Kafka")]
    NoKafka,
}

impl ApiError {
    /// One field that cannot be accepted.
    #[must_use]
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldViolation::new(field, description)])
    }

    /// Why the store did not accept a command.
    #[must_use]
    pub fn refused(refusal: AcceptRefusal, charge_point_id: &str) -> Self {
        let description = refusal.to_string();
        match refusal {
            AcceptRefusal::OtherContent => Self::OtherContent,
            AcceptRefusal::QueueFull(_) => Self::Exhausted {
                subject: format!("charge_point:{charge_point_id}"),
                description,
            },
            AcceptRefusal::OutboxFull(_) => Self::Exhausted {
                subject: "outbox".to_owned(),
                description,
            },
            AcceptRefusal::DeadlinePassed | AcceptRefusal::DeadlineTooFar => {
                Self::field("deadline", description)
            }
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        let (code, details) = match error {
            ApiError::Invalid(violations) => {
                (Code::InvalidArgument, ErrorDetails::with_bad_request(violations))
            }
            ApiError::NotFound { kind, name } => (
                Code::NotFound,
                ErrorDetails::with_resource_info(kind, name, "", message.clone()),
            ),
            ApiError::OtherContent => (Code::AlreadyExists, ErrorDetails::new()),
            ApiError::Exhausted { subject, description } => {
                let mut details = ErrorDetails::with_quota_failure_violation(subject, description);
                details.set_retry_info(Some(RETRY_AFTER));
                (Code::ResourceExhausted, details)
            }
            ApiError::Ended(id, _) => precondition("COMMAND_OPEN", id, &message),
            ApiError::NotADeadLetter(id) => precondition("DEAD_LETTER", id, &message),
            ApiError::UnsafeToRepeat(id) => precondition("SAFE_TO_REPEAT", id, &message),
            ApiError::NoHello => (Code::DeadlineExceeded, ErrorDetails::new()),
            ApiError::Left => (Code::Cancelled, ErrorDetails::new()),
            ApiError::Store(error) => return store(&error),
            ApiError::Submit(SubmitError::Store(error)) => return store(&error),
            ApiError::Submit(SubmitError::NoSlot) => (
                Code::NotFound,
                ErrorDetails::with_resource_info("command", "", "", message.clone()),
            ),
            ApiError::Submit(SubmitError::Closed)
            | ApiError::NotConnected
            | ApiError::ShuttingDown
            | ApiError::NoKafka => (
                Code::Unavailable,
                ErrorDetails::with_retry_info(Some(RETRY_AFTER)),
            ),
        };
        Status::with_error_details(code, message, details)
    }
}

/// A condition that a command does not meet.
fn precondition(condition: &str, id: CommandId, message: &str) -> (Code, ErrorDetails) {
    let subject = format!("command:{id}");
    let details = ErrorDetails::with_precondition_failure_violation(condition, subject, message);
    (Code::FailedPrecondition, details)
}

/// Whose reasons the error details name.
const DOMAIN: &str = "holdfast.store";

/// What a failure of the store means to a caller. What may have run is indeterminate, and said so.
fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Cursor => ApiError::field("page_token", "is not a token of this service").into(),
        StoreError::WrongSlot => {
            let details =
                ErrorDetails::with_resource_info("command", "", "", "the id names no slot of this store");
            Status::with_error_details(Code::NotFound, "the command is not known", details)
        }
        error if error.is_transient() => {
            let fate = if error.may_have_run() {
                "it may have taken effect"
            } else {
                "it took no effect"
            };
            let mut details = reason(error);
            details.set_retry_info(Some(RETRY_AFTER));
            Status::with_error_details(Code::Unavailable, format!("{error}; {fate}"), details)
        }
        error => {
            tracing::error!("the store failed: {error}");
            let message = format!("the store failed: {}", error.kind());
            Status::with_error_details(Code::Internal, message, reason(error))
        }
    }
}

/// Tells the store's failures apart: a full disk, no memory, a defect.
fn reason(error: &StoreError) -> ErrorDetails {
    let reason = error.kind().to_ascii_uppercase();
    ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new())
}

/// All violations on one line, for clients that print only the message.
fn describe(violations: &[FieldViolation]) -> String {
    let each: Vec<_> = violations
        .iter()
        .map(|v| format!("{} {}", v.field, v.description))
        .collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_acceptance_has_its_code_and_its_details() {
        let status = |refusal| Status::from(ApiError::refused(refusal, "CP-1"));
        assert_eq!(status(AcceptRefusal::OtherContent).code(), Code::AlreadyExists);
        let full = status(AcceptRefusal::QueueFull(100));
        assert_eq!(full.code(), Code::ResourceExhausted);
        let details = full.get_error_details();
        let violation = &details.quota_failure().unwrap().violations[0];
        assert_eq!(violation.subject, "charge_point:CP-1");
        assert!(violation.description.contains("100"));
        let late = status(AcceptRefusal::DeadlinePassed);
        assert_eq!(late.code(), Code::InvalidArgument);
        assert_eq!(
            late.get_error_details().bad_request().unwrap().field_violations[0].field,
            "deadline"
        );
    }

    #[test]
    fn a_store_that_is_away_is_unavailable_with_a_time_to_retry_and_says_whether_it_may_have_run() {
        let away = Status::from(ApiError::from(StoreError::Timeout {
            operation: "acceptCommand",
        }));
        assert_eq!(away.code(), Code::Unavailable);
        assert!(away.message().contains("may have taken effect"), "{away:?}");
        assert!(away.get_error_details().retry_info().is_some());
        let full = Status::from(ApiError::from(StoreError::OutOfMemory));
        assert_eq!(full.code(), Code::Unavailable);
        assert!(full.message().contains("took no effect"), "{full:?}");
    }

    #[test]
    fn a_full_disk_no_memory_and_a_defect_are_told_apart() {
        let script = StoreError::Script {
            operation: "x",
            text: "ERR user_script:1: boom".into(),
        };
        let misconf = StoreError::Misconf {
            text: "MISCONF No space left on device".into(),
        };
        let told = |error: StoreError| {
            let status = Status::from(ApiError::from(error));
            let details = status.get_error_details();
            let info = details.error_info().unwrap().clone();
            (status.code(), info.reason, details.retry_info().is_some())
        };
        assert_eq!(told(misconf), (Code::Unavailable, "MISCONF".into(), true));
        let memory = told(StoreError::OutOfMemory);
        assert_eq!(memory, (Code::Unavailable, "OUT_OF_MEMORY".into(), true));
        assert_eq!(told(script), (Code::Internal, "SCRIPT".into(), false));
    }

    #[test]
    fn what_a_replay_lacks_is_a_failed_precondition_that_names_it() {
        let id = CommandId::new(1, [1; 10], domain::ids::Slot(1));
        for (error, condition) in [
            (ApiError::NotADeadLetter(id), "DEAD_LETTER"),
            (ApiError::UnsafeToRepeat(id), "SAFE_TO_REPEAT"),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), Code::FailedPrecondition);
            let details = status.get_error_details();
            assert_eq!(
                details.precondition_failure().unwrap().violations[0].r#type,
                condition
            );
        }
    }

    #[test]
    fn a_defect_is_internal_and_tells_no_texts_of_the_store() {
        let error = StoreError::Script {
            operation: "x",
            text: "secret".into(),
        };
        let status = Status::from(ApiError::from(error));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
    }

    #[test]
    fn an_ended_command_fails_the_precondition_and_an_unknown_one_is_named() {
        let id = CommandId::new(1, [1; 10], domain::ids::Slot(1));
        let ended = Status::from(ApiError::Ended(id, CommandStatus::Expired));
        assert_eq!(ended.code(), Code::FailedPrecondition);
        assert_eq!(ended.message(), format!("command {id} has ended: it is EXPIRED"));
        assert!(ended.get_error_details().precondition_failure().is_some());
        let unknown = Status::from(ApiError::NotFound {
            kind: "command",
            name: id.to_string(),
        });
        assert_eq!(
            unknown.get_error_details().resource_info().unwrap().resource_name,
            id.to_string()
        );
    }
}
