//! Why an operation on the store failed. Mapping to gRPC codes is the services' business.

use std::path::PathBuf;

use fred::error::{Error as RedisError, ErrorKind};

/// Why an operation failed. [`StoreError::may_have_run`] says whether it may have taken effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configuration cannot be used.
    #[error("the store's configuration is wrong: {}", problems.join("; "))]
    Config {
        /// Every problem.
        problems: Vec<String>,
    },
    /// The password cannot be read.
    #[error("cannot read the password file {}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Redis was not reached at start.
    #[error("cannot connect to Redis")]
    Connect {
        /// Why.
        #[source]
        source: RedisError,
    },
    /// Another deployment's data: slot count, hash or schema differ.
    #[error("the store is pinned to {found:?}, this service was configured for {expected:?}")]
    Pins {
        /// What the configuration says.
        expected: String,
        /// What Redis says.
        found: String,
    },
    /// Redis is configured so that it cannot keep what `durability` promises.
    #[error("Redis does not promise durability {durability}: {problem}")]
    Durability {
        /// The configured setting.
        durability: &'static str,
        /// What is missing.
        problem: String,
    },
    /// Redis cannot be reached, or failed over, or answered nonsense on the wire.
    #[error("Redis is unavailable for {operation}")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: RedisError,
    },
    /// No reply in time. Redis will refuse to run it later, but may have run it before.
    #[error("Redis did not answer {operation} in time")]
    Timeout {
        /// What was tried.
        operation: &'static str,
    },
    /// Redis ran the operation after its time limit and changed nothing.
    #[error("Redis reached {operation} after its time limit, and did nothing")]
    TooLate {
        /// What was tried.
        operation: &'static str,
    },
    /// Redis refuses writes because its disk fails or is full.
    #[error("Redis refuses writes, its disk fails or is full: {text}")]
    Misconf {
        /// What Redis said.
        text: String,
    },
    /// Redis is at its memory limit.
    #[error("Redis is out of memory")]
    OutOfMemory,
    /// The change was made, but too few replicas have it.
    #[error("{operation} reached {got} of {wanted} replicas")]
    Barrier {
        /// What was done.
        operation: &'static str,
        /// The configured count.
        wanted: u32,
        /// Who confirmed.
        got: u32,
    },
    /// A script failed: a defect of this software, or foreign data under its keys.
    #[error("the script {operation} failed: {text}")]
    Script {
        /// Which.
        operation: &'static str,
        /// What Redis said.
        text: String,
    },
    /// A reply that is not what the script returns.
    #[error("{operation} replied what cannot be read: {problem}")]
    Reply {
        /// Which.
        operation: &'static str,
        /// What was unexpected.
        problem: String,
    },
    /// A command id that does not belong to the slot of its charger, or to no slot of this store.
    #[error("the command id does not belong to this slot")]
    WrongSlot,
    /// A text that no listing returned as its continuation.
    #[error("the page token is not one of this service")]
    Cursor,
}

impl StoreError {
    /// True if the operation may have taken effect although it failed.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Timeout { .. }
                | Self::Barrier { .. }
                | Self::Reply { .. }
                | Self::Script { .. }
        )
    }

    /// True if trying again later can help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Unavailable { .. }
                | Self::Timeout { .. }
                | Self::TooLate { .. }
                | Self::Misconf { .. }
                | Self::OutOfMemory
                | Self::Barrier { .. }
        )
    }

    /// A label for metrics, one of a closed set.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } | Self::PasswordFile { .. } => "config",
            Self::Connect { .. } => "connect",
            Self::Pins { .. } => "pins",
            Self::Durability { .. } => "durability",
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::TooLate { .. } => "too_late",
            Self::Misconf { .. } => "misconf",
            Self::OutOfMemory => "out_of_memory",
            Self::Barrier { .. } => "barrier",
            Self::Script { .. } => "script",
            Self::Reply { .. } => "reply",
            Self::WrongSlot => "wrong_slot",
            Self::Cursor => "cursor",
        }
    }

    /// Sorts what the client reports. Redis's own errors are told apart by the first word of their text,
    /// because the client knows only some of them.
    pub(crate) fn from_redis(operation: &'static str, source: RedisError) -> Self {
        let text = source.details();
        if text.contains("OOM command not allowed") {
            return Self::OutOfMemory;
        }
        if text.contains("MISCONF") {
            return Self::Misconf {
                text: text.to_owned(),
            };
        }
        if source.kind() == &ErrorKind::Timeout {
            return Self::Timeout { operation };
        }
        if is_script_error(text) {
            return Self::Script {
                operation,
                text: text.to_owned(),
            };
        }
        Self::Unavailable { operation, source }
    }
}

/// True if Redis does not know the script: then it ran nothing.
pub(crate) fn is_no_script(error: &RedisError) -> bool {
    error.details().starts_with("NOSCRIPT")
}

fn is_script_error(text: &str) -> bool {
    text.starts_with("WRONGTYPE") || (text.starts_with("ERR") && text.contains("user_script"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &'static str) -> &'static str {
        StoreError::from_redis("test", RedisError::new(ErrorKind::Unknown, text)).kind()
    }

    #[test]
    fn redis_errors_are_told_apart_by_their_text() {
        assert_eq!(
            sorted("OOM command not allowed when used memory > 'maxmemory'."),
            "out_of_memory"
        );
        assert_eq!(
            sorted("MISCONF Errors writing to the AOF file: No space left on device"),
            "misconf"
        );
        assert_eq!(
            sorted("ERR user_script:12: attempt to index a nil value"),
            "script"
        );
        assert_eq!(sorted("CLUSTERDOWN The cluster is down"), "unavailable");
        let timeout = RedisError::new(ErrorKind::Timeout, "");
        assert_eq!(StoreError::from_redis("test", timeout).kind(), "timeout");
    }
}
