//! The messages of OCPP-J: a borrowed view of a received text, and what its receiver owes for a bad one.
//! Leaves out the payloads' schemas and everything that needs memory between messages, which is `session`.
//!
//! Parsing borrows from the text: nothing is allocated for a well-formed message whose strings carry no escapes.

mod encode;
mod parts;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error_code::ErrorCode;
use crate::version::Version;

pub use encode::{Buffer, encode_call, encode_error, encode_result, encode_result_error, encode_send};
use parts::Parts;

/// The longest messageId, in characters, of every version.
pub const MAX_MESSAGE_ID_CHARS: usize = 36;

/// The messageId of a 2.x CALLERROR to a message whose own id could not be read (Part 4 §4.2.3).
pub const UNREADABLE_ID: &str = "-1";

/// One message, borrowed from its text. Payloads and details are verbatim JSON.
#[derive(Debug, Clone)]
pub enum Frame<'a> {
    /// A request, to be answered with the same id.
    Call {
        /// The sender's messageId.
        id: Cow<'a, str>,
        /// The action, as sent and not yet known to exist.
        action: Cow<'a, str>,
        /// A JSON object.
        payload: &'a RawValue,
    },
    /// The answer to a CALL.
    CallResult {
        /// The id of the CALL.
        id: Cow<'a, str>,
        /// A JSON object.
        payload: &'a RawValue,
    },
    /// The refusal of a CALL.
    CallError {
        /// The id of the CALL, or `-1` where the peer could not read it.
        id: Cow<'a, str>,
        /// The code as sent; [`ErrorCode::from_wire`] knows the standard ones.
        code: Cow<'a, str>,
        /// Free text, empty where it was left out.
        description: Cow<'a, str>,
        /// Any JSON, normally an object; `None` where it was left out.
        details: Option<&'a RawValue>,
    },
    /// 2.1: the refusal of a CALLRESULT.
    CallResultError {
        /// The id of the CALL whose result is refused.
        id: Cow<'a, str>,
        /// The code as sent.
        code: Cow<'a, str>,
        /// Free text, empty where it was left out.
        description: Cow<'a, str>,
        /// Any JSON, normally an object; `None` where it was left out.
        details: Option<&'a RawValue>,
    },
    /// 2.1: a message that is never answered.
    Send {
        /// The sender's messageId.
        id: Cow<'a, str>,
        /// The action.
        action: Cow<'a, str>,
        /// A JSON object.
        payload: &'a RawValue,
    },
}

/// Bounds on a received message, against memory and stack exhaustion by a hostile peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest text in bytes.
    pub max_bytes: usize,
    /// The deepest nesting of arrays and objects, the message's own array included.
    pub max_depth: usize,
}

impl Default for Limits {
    /// 256 KiB, above any message of the standard profiles, and 32 levels, thrice what the schemas need.
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024,
            max_depth: 32,
        }
    }
}

/// A message that cannot be taken, and what its receiver must do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad OCPP-J message: {problem}")]
pub struct FrameError {
    /// What is wrong.
    pub problem: Problem,
    /// What the receiver owes its sender.
    pub reaction: Reaction,
}

/// What is wrong with a message. The texts are also used as the description of the CALLERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Longer than [`Limits::max_bytes`].
    #[error("the message is too large")]
    TooLarge,
    /// Nested deeper than [`Limits::max_depth`].
    #[error("the message is nested too deeply")]
    TooDeep,
    /// Not JSON, or not an array.
    #[error("the message is not a JSON array")]
    NotAnArray,
    /// The first element is no message type number.
    #[error("the message type cannot be read")]
    UnreadableType,
    /// A message type number that this version does not have.
    #[error("the message type is unknown")]
    UnknownType,
    /// The id is no string of 1 to [`MAX_MESSAGE_ID_CHARS`] characters.
    #[error("the messageId is not a string of 1 to 36 characters")]
    UnreadableId,
    /// Elements are missing or too many.
    #[error("the message has a wrong number of elements")]
    WrongLength,
    /// The action or the error code is no string with content.
    #[error("the action or error code is not a string")]
    UnreadableName,
    /// The payload is no JSON object.
    #[error("the payload is not a JSON object")]
    PayloadNotAnObject,
}

/// What the receiver of a bad message does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing: the message is of unknown type, is itself an answer, or says no id to a 1.6 receiver.
    Ignore,
    /// Answer with CALLERROR.
    CallError {
        /// The id to answer, [`UNREADABLE_ID`] where the message has none.
        id: String,
        /// The code; spell it with [`ErrorCode::as_str`].
        code: ErrorCode,
    },
    /// 2.1: refuse a bad CALLRESULT with CALLRESULTERROR.
    CallResultError {
        /// The id of the CALLRESULT.
        id: String,
        /// The code.
        code: ErrorCode,
    },
}

impl FrameError {
    /// The text of the answer that is owed, `None` if the message is to be ignored.
    #[must_use]
    pub fn answer(&self, version: Version) -> Option<String> {
        let mut text = String::new();
        let description = self.problem.to_string();
        match &self.reaction {
            Reaction::Ignore => return None,
            Reaction::CallError { id, code } => {
                encode_error(&mut text, id, code.as_str(version), &description, "{}");
            }
            Reaction::CallResultError { id, code } => {
                encode_result_error(&mut text, id, code.as_str(version), &description, "{}");
            }
        }
        Some(text)
    }
}

/// Reads one message.
///
/// # Errors
/// A [`FrameError`] that says what is wrong and what the receiver must do. No input makes this panic or recurse.
pub fn parse<'a>(text: &'a str, version: Version, limits: &Limits) -> Result<Frame<'a>, FrameError> {
    if text.len() > limits.max_bytes {
        return Err(refuse(version, None, None, Problem::TooLarge));
    }
    let mut parts = Parts::default();
    let complete = parts.read(text);
    let Some(kind) = parts.at(0).map(|raw| MessageType::read(raw, version)) else {
        return Err(refuse(version, None, None, Problem::NotAnArray));
    };
    let kind = match kind {
        Ok(kind) => kind,
        Err(problem) => return Err(refuse(version, None, None, problem)),
    };
    let id = parts.at(1).and_then(message_id);
    let Some(id) = id else {
        return Err(refuse(version, Some(kind), None, Problem::UnreadableId));
    };
    let bad = |problem| refuse(version, Some(kind), Some(&id), problem);
    if !complete {
        return Err(bad(Problem::NotAnArray));
    }
    if !parts::is_within_depth(text, limits.max_depth) {
        return Err(bad(Problem::TooDeep));
    }
    assemble(kind, &parts, version, id.clone()).map_err(bad)
}

/// The message types, by their number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageType {
    Call,
    CallResult,
    CallError,
    CallResultError,
    Send,
}

impl MessageType {
    /// Reads the first element. A number that this version lacks is another problem than no number at all.
    fn read(raw: &RawValue, version: Version) -> Result<Self, Problem> {
        match (raw.get(), version) {
            ("2", _) => Ok(Self::Call),
            ("3", _) => Ok(Self::CallResult),
            ("4", _) => Ok(Self::CallError),
            ("5", Version::V21) => Ok(Self::CallResultError),
            ("6", Version::V21) => Ok(Self::Send),
            (number, _) if number.parse::<f64>().is_ok() => Err(Problem::UnknownType),
            _ => Err(Problem::UnreadableType),
        }
    }
}

/// Builds the frame from its parts, which are complete JSON.
fn assemble<'a>(
    kind: MessageType,
    parts: &Parts<'a>,
    version: Version,
    id: Cow<'a, str>,
) -> Result<Frame<'a>, Problem> {
    match kind {
        MessageType::Call | MessageType::Send => {
            parts.expect_length(4, 4)?;
            let (action, payload) = (parts.name(2)?, parts.object(3, version)?);
            Ok(match kind {
                MessageType::Send => Frame::Send { id, action, payload },
                _ => Frame::Call { id, action, payload },
            })
        }
        MessageType::CallResult => {
            parts.expect_length(3, 3)?;
            Ok(Frame::CallResult {
                id,
                payload: parts.object(2, version)?,
            })
        }
        MessageType::CallError | MessageType::CallResultError => {
            // Nobody answers an error, so a sloppy one is better understood than dropped.
            parts.expect_length(3, 5)?;
            let (code, details) = (parts.name(2)?, parts.at(4));
            let description = parts.at(3).and_then(parts::text).unwrap_or_default();
            Ok(match kind {
                MessageType::CallError => Frame::CallError {
                    id,
                    code,
                    description,
                    details,
                },
                _ => Frame::CallResultError {
                    id,
                    code,
                    description,
                    details,
                },
            })
        }
    }
}

/// The id, unless it is no string, empty or too long. The `-1` of a peer's CALLERROR is a valid id here.
fn message_id(raw: &RawValue) -> Option<Cow<'_, str>> {
    parts::text(raw).filter(|id| !id.is_empty() && id.chars().count() <= MAX_MESSAGE_ID_CHARS)
}

/// What is owed for a bad message of which type and id are known as far as they could be read.
fn refuse(version: Version, kind: Option<MessageType>, id: Option<&str>, problem: Problem) -> FrameError {
    let code = match problem {
        Problem::PayloadNotAnObject => ErrorCode::FormatViolation,
        _ => ErrorCode::RpcFrameworkError,
    };
    let reaction = match (kind, id) {
        _ if problem == Problem::UnknownType => Reaction::Ignore,
        (Some(MessageType::Call), Some(id)) => Reaction::CallError {
            id: id.to_owned(),
            code,
        },
        (Some(MessageType::Call) | None, _) if version.is_2x() => Reaction::CallError {
            id: UNREADABLE_ID.to_owned(),
            code,
        },
        (Some(MessageType::CallResult), Some(id)) if version == Version::V21 => Reaction::CallResultError {
            id: id.to_owned(),
            code,
        },
        _ => Reaction::Ignore,
    };
    FrameError { problem, reaction }
}
