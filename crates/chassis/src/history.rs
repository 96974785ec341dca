//! The history of a process: JSON lines about what it did, for a checker that trusts nobody.
//!
//! Off unless `telemetry.history_file` is set, and then one atomic load a call site. Every line is handed to the
//! kernel by one write of its own before [`note`] returns: a process that is killed right after has still said what
//! it was about to do, which a queue in the process could not promise. A slow disk therefore slows the process down
//! and loses nothing. Leaves out rotation and reading.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::clock::MonoClock;

/// The open history. In a process that opens it twice, such as a test with several services, the first holds.
static HISTORY: OnceLock<History> = OnceLock::new();

#[derive(Debug)]
struct History {
    file: Mutex<File>,
    process: String,
    failed: AtomicBool,
}

/// Opens the history for appending; the file's stem names the process in every line.
pub fn open(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let process = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let history = History::new(file, process);
    // A second history in the same process is ignored: its lines are in the first.
    drop(HISTORY.set(history));
    Ok(())
}

/// Whether there is a history. For callers that would have to gather what they note.
#[must_use]
pub fn is_on() -> bool {
    HISTORY.get().is_some()
}

/// Notes an event with its fields, a JSON object, if there is a history. The line is in the kernel on return.
pub fn note(event: &'static str, fields: impl FnOnce() -> Value) {
    if let Some(history) = HISTORY.get() {
        history.note(event, fields());
    }
}

/// The monotonic clock of the machine in microseconds, which all its processes read alike.
#[must_use]
pub fn machine_us() -> u64 {
    let reading = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from);
    // Linux always has this clock; without one every line would carry 0, which no reader takes for a time.
    u64::try_from(reading.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// A reading of a process's own clock by the machine's: both run alike, so their distance now is their distance then.
#[must_use]
pub fn machine_us_at(clock: &MonoClock, at_us: u64) -> u64 {
    let (machine, own) = (machine_us(), clock.now_us());
    if at_us >= own {
        machine.saturating_add(at_us - own)
    } else {
        machine.saturating_sub(own - at_us)
    }
}

impl History {
    fn new(file: File, process: String) -> Self {
        let (file, failed) = (Mutex::new(file), AtomicBool::new(false));
        Self {
            file,
            process,
            failed,
        }
    }

    fn note(&self, event: &'static str, fields: Value) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // The clocks are read under the lock, so that the lines of a process are in the order of their times.
        let mut line = json!({
            "t_us": wall_us(), "m_us": machine_us(), "proc": self.process, "pid": std::process::id(), "ev": event,
        });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        let written = file.write_all(format!("{line}\n").as_bytes());
        if let Err(error) = written
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, "the history cannot be written; its account is incomplete from here on");
        }
    }
}

fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_is_in_the_file_when_the_call_returns_and_carries_both_clocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge-1.jsonl");
        let history = History::new(File::create(&path).unwrap(), "edge-1".to_owned());
        let before = machine_us();
        history.note("write", json!({"id": "x", "version": u64::MAX}));
        history.note("lapsed", json!({"inc": 7}));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["proc"], "edge-1");
        assert_eq!((&lines[0]["ev"], &lines[0]["id"]), (&json!("write"), &json!("x")));
        assert_eq!(lines[0]["version"], u64::MAX);
        assert!(lines[0]["m_us"].as_u64().unwrap() >= before);
        assert!(lines[1]["m_us"].as_u64() >= lines[0]["m_us"].as_u64());
    }

    #[test]
    fn the_times_of_a_process_are_those_of_the_machine() {
        let (clock, hand) = MonoClock::manual();
        hand.advance(Duration::from_secs(100));
        let now = machine_us();
        let past = machine_us_at(&clock, 99_000_000);
        let future = machine_us_at(&clock, 103_000_000);
        assert!(past + 1_000_000 >= now && future >= now + 3_000_000);
        assert!(future - past >= 4_000_000);
    }

    #[test]
    fn without_a_file_nothing_is_gathered() {
        note("write", || panic!("the fields are not wanted"));
        assert!(!is_on());
    }
}
