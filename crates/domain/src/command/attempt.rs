//! What is kept of attempts that are over: one write to the charger each, or one permission to write. Only
//! commands that needed more than one attempt, or ended as dead letters, have any.

use serde::{Deserialize, Serialize};

use super::Route;
use crate::ids::Micros;

/// The newest attempts that are kept of a command.
pub const ATTEMPTS_KEPT: usize = 10;

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttemptOutcome {
    /// Written; the charger did not answer in time.
    NoAnswer,
    /// Granted, and the edge said that it did not write.
    NotWritten,
    /// Written over a connection that a newer one replaced.
    Displaced,
    /// Granted or written, and the command ended before anything was heard.
    Unknown,
}

impl AttemptOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::NoAnswer, Self::NotWritten, Self::Displaced, Self::Unknown];

    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "NO_ANSWER",
            Self::NotWritten => "NOT_WRITTEN",
            Self::Displaced => "DISPLACED",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The letter that stands for it in Redis.
    #[must_use]
    pub fn code(self) -> char {
        match self {
            Self::NoAnswer => 'n',
            Self::NotWritten => 'w',
            Self::Displaced => 'd',
            Self::Unknown => 'u',
        }
    }

    /// The outcome of a letter.
    #[must_use]
    pub fn from_code(code: char) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.code() == code)
    }
}

/// One attempt that is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1. A permission that was not used has the number of the attempt that follows it.
    pub number: u32,
    /// When it was granted or noticed.
    pub at: Micros,
    /// The connection that it went to.
    pub route: Route,
    /// What became of it.
    pub outcome: AttemptOutcome,
}

/// Adds an attempt and drops what is older than the newest [`ATTEMPTS_KEPT`].
pub fn remember(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    attempts.push(attempt);
    let surplus = attempts.len().saturating_sub(ATTEMPTS_KEPT);
    attempts.drain(..surplus);
}
