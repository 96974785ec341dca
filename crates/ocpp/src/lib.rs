//! OCPP-J without I/O: frames, versions, identities, error codes, the state of one connection, and what a
//! gateway may answer by itself.
//!
//! Everything here is a function of its arguments: time, ids and configuration come in, decisions and text go
//! out. The crate opens no socket, starts no task, knows no other crate of the workspace, and leaves the
//! meaning of payloads to the platform, apart from the few fields that decide how a message must be handled.

pub mod actions;
pub mod answer;
pub mod error_code;
pub mod frame;
pub mod identity;
pub mod policy;
pub mod session;
mod stable_hash;
pub mod timestamp;
pub mod version;

pub use answer::{AnswerContext, AnswerPolicy, AuthorizeStatus, default_answer};
pub use error_code::ErrorCode;
pub use frame::{
    Frame, FrameError, Limits, MAX_MESSAGE_ID_CHARS, Problem, Reaction, encode_call, encode_error,
    encode_result, encode_result_error, encode_send, parse,
};
pub use identity::{IdentityError, identity_from_path};
pub use policy::{event_type, must_be_durable_before_answer};
pub use session::{BootGate, BootState, CallRefusal, Inbound, Outcome, Session, TimedOutCall};
pub use version::{Version, negotiate};
