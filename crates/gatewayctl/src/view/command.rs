//! A command as it is shown.

use serde::Serialize;
use wire::gateway::command::v1::{
    Answer, Command, CommandState, FailureReason, Priority, RedeliveryClass, answer::Kind,
};

use super::json::Json;
use super::{filled, word};

/// A command's fields, in the order in which they are printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CommandView {
    pub(crate) command_id: String,
    pub(crate) charge_point_id: String,
    pub(crate) action: String,
    pub(crate) priority: Option<String>,
    pub(crate) redelivery_class: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) answer: Option<AnswerView>,
    pub(crate) possibly_written: bool,
    pub(crate) cancel_requested: bool,
    pub(crate) attempts: u32,
    pub(crate) last_pod_id: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) deadline: Option<String>,
    pub(crate) ended_at: Option<String>,
    pub(crate) revision: u64,
    pub(crate) replay_of: Option<String>,
    pub(crate) payload: Option<Json>,
}

/// What the charger said.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AnswerView {
    /// The payload of its CALLRESULT.
    Result(Option<Json>),
    /// Its CALLERROR.
    Error {
        code: String,
        description: String,
        details: Option<Json>,
    },
}

impl From<Command> for CommandView {
    fn from(command: Command) -> Self {
        Self {
            priority: name(command.priority, "PRIORITY_", |value: Priority| {
                value.as_str_name()
            }),
            redelivery_class: name(
                command.redelivery_class,
                "REDELIVERY_CLASS_",
                |value: RedeliveryClass| value.as_str_name(),
            ),
            state: state_word(command.state),
            failure_reason: name(
                command.failure_reason,
                "FAILURE_REASON_",
                |value: FailureReason| value.as_str_name(),
            ),
            answer: command.answer.and_then(answer_view),
            command_id: command.command_id,
            charge_point_id: command.charge_point_id,
            action: command.action,
            possibly_written: command.possibly_written,
            cancel_requested: command.cancel_requested,
            attempts: command.attempts,
            last_pod_id: filled(command.last_pod_id),
            created_at: command.created_at.map(|time| time.to_string()),
            deadline: command.deadline.map(|time| time.to_string()),
            ended_at: command.ended_at.map(|time| time.to_string()),
            revision: command.revision,
            replay_of: filled(command.replay_of),
            payload: Json::new(&command.payload_json),
        }
    }
}

/// A command's state in a word.
pub(crate) fn state_word(state: i32) -> Option<String> {
    name(state, "COMMAND_STATE_", |value: CommandState| value.as_str_name())
}

/// A proto enum's number in a word.
pub(super) fn name<E: TryFrom<i32>>(
    number: i32,
    prefix: &str,
    as_str: fn(E) -> &'static str,
) -> Option<String> {
    word(E::try_from(number).map(as_str).map_err(|_| number), prefix)
}

fn answer_view(answer: Answer) -> Option<AnswerView> {
    Some(match answer.kind? {
        Kind::ResultJson(text) => AnswerView::Result(Json::new(&text)),
        Kind::Error(error) => AnswerView::Error {
            code: error.code,
            description: error.description,
            details: Json::new(&error.details_json),
        },
    })
}
