//! The state of one connection end: the one outstanding CALL of ours, the open CALLs of the charger, and the
//! gate of BootNotification. Leaves out sockets, queues, retries and clocks: `now_ms` is any clock that only
//! grows, and the caller sends what is decided here.
//!
//! A million of these live in one process. What an idle connection does not need sits behind a pointer that is
//! null while it is not needed; a test bounds the size.

mod gate;
mod inbound;

use serde_json::value::RawValue;
use std::borrow::Cow;

use crate::error_code::ErrorCode;
use crate::frame::Frame;
use crate::version::Version;

pub use gate::{BootGate, BootState};
use inbound::{Admission, OpenCalls};

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    outstanding: Option<Box<Outstanding>>,
    open: OpenCalls,
    version: Version,
    gate: BootGate,
    boot: BootState,
}

/// A CALL of ours that waits for its answer.
#[derive(Debug)]
struct Outstanding {
    id: Box<str>,
    begun_ms: u64,
    deadline_ms: u64,
}

/// What a received message means for the connection.
#[derive(Debug)]
pub enum Inbound<'a> {
    /// A CALL to be answered. Call [`Session::answered`] once the answer is written or given up.
    Call {
        /// Its messageId.
        id: Cow<'a, str>,
        /// Its action, known to this version.
        action: Cow<'a, str>,
        /// Its payload.
        payload: &'a RawValue,
        /// The id equals that of the CALL answered last on this connection: probably a retry of a lost answer.
        duplicate: bool,
    },
    /// A CALL to be answered at once with CALLERROR and not processed. It does not count as open.
    Refuse {
        /// Its messageId.
        id: Cow<'a, str>,
        /// The code; spell it with [`ErrorCode::as_str`].
        code: ErrorCode,
        /// The description.
        reason: &'static str,
    },
    /// A repetition of a CALL that is still being worked on. Say nothing: the one answer serves both.
    StillOpen {
        /// Its messageId.
        id: Cow<'a, str>,
    },
    /// A SEND (2.1), never answered. Its action is known to this version.
    Send {
        /// Its messageId.
        id: Cow<'a, str>,
        /// Its action.
        action: Cow<'a, str>,
        /// Its payload.
        payload: &'a RawValue,
    },
    /// The answer to our outstanding CALL, which is thereby over.
    Answer {
        /// The id of our CALL.
        id: Cow<'a, str>,
        /// What the charger said.
        outcome: Outcome<'a>,
        /// How long it took.
        waited_ms: u64,
    },
    /// An answer to no CALL that is outstanding here: late, doubled or from a former connection. Commands are
    /// settled by id, so it must be passed on.
    LateAnswer {
        /// The id of the CALL it answers.
        id: Cow<'a, str>,
        /// What the charger said.
        outcome: Outcome<'a>,
    },
    /// 2.1: the charger could not read our CALLRESULT. To be logged; there is nothing to send.
    ResultRefused {
        /// The id of its CALL.
        id: Cow<'a, str>,
        /// Its code, as sent.
        code: Cow<'a, str>,
        /// Its description.
        description: Cow<'a, str>,
    },
    /// Nothing to do: a SEND of unknown action, or a CALLERROR to no readable id.
    Ignore,
}

/// How a charger answered a CALL. Both are answers: neither is a failure of the transport.
#[derive(Debug, Clone)]
pub enum Outcome<'a> {
    /// CALLRESULT with its payload.
    Result(&'a RawValue),
    /// CALLERROR.
    Error {
        /// The code as sent.
        code: Cow<'a, str>,
        /// The description, empty where it was left out.
        description: Cow<'a, str>,
        /// The details, where there are any.
        details: Option<&'a RawValue>,
    },
}

/// Why a CALL cannot be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// Another CALL is outstanding.
    #[error("another CALL is outstanding")]
    Busy,
    /// The charger's BootNotification was rejected, so it takes no commands (B03).
    #[error("the charger's boot was rejected")]
    BootRejected,
    /// The boot is pending, and this action has to wait for its acceptance (B02).
    #[error("the charger's boot is pending")]
    BootPending,
}

/// A CALL of ours that was not answered in time. Its answer may still come, as [`Inbound::LateAnswer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOutCall {
    /// Its id.
    pub id: Box<str>,
    /// How long it had waited.
    pub waited_ms: u64,
}

impl Session {
    /// A new connection. `boot` is what is known of the charger: one that reconnects is not asked to boot again
    /// (J16 §5.4), so a strict gate needs the memory of the earlier acceptance.
    #[must_use]
    pub fn new(version: Version, gate: BootGate, boot: BootState) -> Self {
        Self {
            outstanding: None,
            open: OpenCalls::default(),
            version,
            gate,
            boot,
        }
    }

    /// The negotiated version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Where the charger's boot stands.
    #[must_use]
    pub const fn boot_state(&self) -> BootState {
        self.boot
    }

    /// Notes what BootNotification was answered with.
    pub const fn boot_answered(&mut self, status: BootState) {
        self.boot = status;
    }

    /// Takes a received message.
    pub fn receive<'a>(&mut self, frame: Frame<'a>, now_ms: u64) -> Inbound<'a> {
        match frame {
            Frame::Call { id, action, payload } => self.receive_call(id, action, payload),
            Frame::CallResult { id, payload } => self.receive_answer(id, Outcome::Result(payload), now_ms),
            Frame::CallError { id, .. } if id == crate::frame::UNREADABLE_ID => Inbound::Ignore,
            Frame::CallError {
                id,
                code,
                description,
                details,
            } => self.receive_answer(
                id,
                Outcome::Error {
                    code,
                    description,
                    details,
                },
                now_ms,
            ),
            Frame::CallResultError {
                id,
                code,
                description,
                ..
            } => Inbound::ResultRefused {
                id,
                code,
                description,
            },
            Frame::Send { id, action, payload } => {
                if crate::actions::sends_from_charger(self.version).contains(&action.as_ref()) {
                    Inbound::Send { id, action, payload }
                } else {
                    Inbound::Ignore
                }
            }
        }
    }

    /// Notes that the charger's CALL was answered, or never will be.
    pub fn answered(&mut self, id: &str) {
        self.open.close(id);
    }

    /// How many CALLs of the charger are not answered yet.
    #[must_use]
    pub fn open_calls(&self) -> usize {
        self.open.len()
    }

    /// Whether a CALL of this action may be sent now.
    ///
    /// # Errors
    /// The reason why it has to wait.
    pub fn may_call(&self, action: &str) -> Result<(), CallRefusal> {
        if self.outstanding.is_some() {
            return Err(CallRefusal::Busy);
        }
        match self.boot {
            BootState::Rejected => Err(CallRefusal::BootRejected),
            BootState::Pending if gate::waits_for_acceptance(action) => Err(CallRefusal::BootPending),
            _ => Ok(()),
        }
    }

    /// Records a CALL as outstanding. The caller then writes it.
    ///
    /// # Errors
    /// As [`Session::may_call`]; nothing is recorded.
    pub fn begin_call(
        &mut self,
        id: &str,
        action: &str,
        now_ms: u64,
        timeout_ms: u64,
    ) -> Result<(), CallRefusal> {
        self.may_call(action)?;
        let deadline_ms = now_ms.saturating_add(timeout_ms);
        self.outstanding = Some(Box::new(Outstanding {
            id: id.into(),
            begun_ms: now_ms,
            deadline_ms,
        }));
        Ok(())
    }

    /// The id of the outstanding CALL.
    #[must_use]
    pub fn outstanding_id(&self) -> Option<&str> {
        self.outstanding.as_deref().map(|call| call.id.as_ref())
    }

    /// When [`Session::expire`] has something to do, for the owner's timer wheel.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        self.outstanding.as_deref().map(|call| call.deadline_ms)
    }

    /// Gives up the outstanding CALL if its time is over, which frees the place for the next.
    pub fn expire(&mut self, now_ms: u64) -> Option<TimedOutCall> {
        let call = self.outstanding.take_if(|call| call.deadline_ms <= now_ms)?;
        Some(TimedOutCall {
            waited_ms: now_ms.saturating_sub(call.begun_ms),
            id: call.id,
        })
    }

    /// Gives up the outstanding CALL whatever its time, when the connection ends or its write failed.
    pub fn abandon_call(&mut self) -> Option<Box<str>> {
        self.outstanding.take().map(|call| call.id)
    }

    /// Decides on a CALL of the charger.
    fn receive_call<'a>(
        &mut self,
        id: Cow<'a, str>,
        action: Cow<'a, str>,
        payload: &'a RawValue,
    ) -> Inbound<'a> {
        if !crate::actions::is_from_charger(self.version, &action) {
            return Inbound::Refuse {
                id,
                code: ErrorCode::NotImplemented,
                reason: "the action is unknown",
            };
        }
        if !self.gate.admits(self.boot, self.version, &action) {
            let reason = "BootNotification has not been accepted";
            return Inbound::Refuse {
                id,
                code: ErrorCode::SecurityError,
                reason,
            };
        }
        match self.open.admit(&id) {
            Admission::New => Inbound::Call {
                id,
                action,
                payload,
                duplicate: false,
            },
            Admission::AnsweredBefore => Inbound::Call {
                id,
                action,
                payload,
                duplicate: true,
            },
            Admission::StillOpen => Inbound::StillOpen { id },
            Admission::TooMany => {
                let (code, reason) = (ErrorCode::GenericError, "too many CALLs are unanswered");
                Inbound::Refuse { id, code, reason }
            }
        }
    }

    /// Correlates an answer with the outstanding CALL.
    fn receive_answer<'a>(&mut self, id: Cow<'a, str>, outcome: Outcome<'a>, now_ms: u64) -> Inbound<'a> {
        match self.outstanding.take_if(|call| *call.id == *id) {
            Some(call) => {
                let waited_ms = now_ms.saturating_sub(call.begun_ms);
                Inbound::Answer {
                    id,
                    outcome,
                    waited_ms,
                }
            }
            None => Inbound::LateAnswer { id, outcome },
        }
    }
}

#[cfg(test)]
mod tests;
