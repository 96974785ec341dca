//! The words that lines use: closed sets, each with what the judges ask of it.

use crate::symbols::Sym;

/// A command's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits in the charger's queue.
    Pending,
    /// Claimed.
    Sent,
    /// Written or granted.
    Delivered,
    /// The charger answered.
    Acknowledged,
    /// No answer, or an unknown outcome.
    Failed,
    /// The deadline passed.
    Expired,
    /// Taken back.
    Cancelled,
}

impl State {
    /// Nothing may change it any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Acknowledged | Self::Failed | Self::Expired | Self::Cancelled
        )
    }

    /// Its commands are dead letters.
    #[must_use]
    pub fn is_dead_letter(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }
}

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Every attempt was written, none answered.
    NoAnswer,
    /// Unsafe, possibly written, never answered.
    OutcomeUnknown,
}

/// What matters of a charger's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Said {
    /// A CALLRESULT with its `status`, or none.
    Status(Sym),
    /// A CALLERROR with its code.
    Error(Sym),
}

/// What may happen to a command in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Claimed for dispatch.
    Claim,
    /// An edge asks to write.
    Intent,
    /// An edge wrote.
    Written,
    /// An edge did not write under its grant.
    NonWrite,
    /// An edge holds another version.
    Stale,
    /// An edge cannot write now.
    NotReady,
    /// The record did not leave.
    Undelivered,
    /// The command's timer.
    Timer,
    /// The command's deadline.
    Deadline,
    /// A caller takes it back.
    Cancel,
    /// The charger registered anew.
    Displaced,
    /// The charger answered.
    Answer,
}

impl Kind {
    /// It must name the current dispatch and version to take effect.
    #[must_use]
    pub fn is_fenced(self) -> bool {
        matches!(
            self,
            Self::Intent | Self::Written | Self::NonWrite | Self::Stale | Self::NotReady | Self::Undelivered
        )
    }
}

/// What the store answered to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It took effect.
    Applied,
    /// It had taken effect.
    Repeated,
    /// It was noted.
    Noted,
    /// It is out of date.
    Stale,
    /// The command has ended.
    Ended,
}

/// A lane of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Everything but urgent.
    Normal,
    /// Urgent.
    Urgent,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// Every fault is over.
    Healed,
    /// Nothing is open any more.
    Drained,
    /// The dump of Redis is complete.
    Dumped,
}

/// What a line of a charger's log tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A connection stands.
    Connected,
    /// It does not any more.
    Disconnected,
    /// A CALL came.
    Call,
    /// It was answered.
    Reply,
    /// Anything else.
    Other,
}
