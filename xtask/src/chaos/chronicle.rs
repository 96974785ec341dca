//! The histories that the run itself writes: the client's, the auditor's, the faults', and what the topics held. The
//! lines are those of `chassis::history`, which the services write.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// One history.
#[derive(Debug)]
pub(super) struct Chronicle {
    file: Mutex<File>,
    process: String,
}

impl Chronicle {
    /// The history `<process>.jsonl` in the run's folder.
    pub(super) fn open(folder: &Path, process: &str) -> Result<Self> {
        let path = folder.join(format!("{process}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            file: Mutex::new(file.with_context(|| format!("opening {}", path.display()))?),
            process: process.to_owned(),
        })
    }

    /// Appends a line.
    pub(super) fn note(&self, event: &str, fields: Value) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = json!({
            "t_us": wall_us(), "m_us": machine_us(), "proc": self.process, "pid": std::process::id(), "ev": event,
        });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        file.write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("writing the history of {}", self.process))
    }
}

/// The monotonic clock that all processes of the machine read alike, in microseconds.
pub(super) fn machine_us() -> u64 {
    let reading = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    u64::try_from(reading.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// The wall clock in microseconds.
pub(super) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
