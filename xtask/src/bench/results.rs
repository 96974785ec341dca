//! When each command's record came off `command-results`: through `topic-tail`, over a pipe, so that nothing is
//! polled between the broker and the clock.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;
use wire::gateway::record::v1::CommandResult;

use super::rig::Rig;
use crate::demo::results::decode;
use crate::stack::settings;
use crate::supervise::Guarded;

/// Ends by command id.
type Ends = Arc<Mutex<HashMap<String, End>>>;

/// How a command ended and when that was read; a copy of the record does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// ACKNOWLEDGED, FAILED, EXPIRED or CANCELLED.
    pub(super) state: String,
    /// When.
    pub(super) read: Instant,
}

/// The reader of the results; dropping it ends its process.
#[derive(Debug)]
pub(super) struct Results {
    ends: Ends,
    reader: JoinHandle<()>,
    /// Its standard input, held open, is what keeps it alive.
    _tail: Child,
}

impl Results {
    /// Begins to read.
    pub(super) fn follow(rig: &Rig) -> Result<Self> {
        let kafka = rig.stack().addresses().kafka.context("the stack has no broker")?;
        let program = rig.stack().binaries().path(settings::TOPIC_TAIL);
        let tail = Guarded::new(program).args(settings::tail_flags(kafka));
        let mut tail = tail.spawn(Stdio::piped(), Stdio::inherit())?;
        let stdout = tail.stdout.take().context("the results have no pipe")?;
        let ends = Ends::default();
        let reader = tokio::spawn(read(stdout, Arc::clone(&ends)));
        Ok(Self {
            ends,
            reader,
            _tail: tail,
        })
    }

    /// How a command ended, if it did.
    pub(super) fn end_of(&self, command: &str) -> Option<End> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.get(command).cloned()
    }

    /// How many commands ended.
    pub(super) fn count(&self) -> usize {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(stdout: ChildStdout, ends: Ends) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let read = Instant::now();
        match decode(&line) {
            Ok(Some(result)) => add(&ends, result, read),
            Ok(None) => {}
            Err(error) => crate::progress::complain(format!("{error:#}")),
        }
    }
}

/// Adds an end unless there is one.
fn add(ends: &Ends, result: CommandResult, read: Instant) {
    let end = End {
        state: result.state,
        read,
    };
    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
    ends.entry(result.command_id).or_insert(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_of_a_command_counts() {
        let ends = Ends::default();
        let first = Instant::now();
        for (state, read) in [
            ("ACKNOWLEDGED", first),
            ("ACKNOWLEDGED", first + std::time::Duration::from_secs(1)),
        ] {
            let result = CommandResult {
                command_id: "x".to_owned(),
                state: state.to_owned(),
                ..CommandResult::default()
            };
            add(&ends, result, read);
        }
        assert_eq!(ends.lock().unwrap()["x"].read, first);
    }
}
