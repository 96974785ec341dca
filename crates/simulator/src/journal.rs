//! The log of what chargers see and say: one JSON object a line, appended. Leaves out rotation and reading.
//!
//! A batch of lines is handed to the kernel in one write before anything it describes goes to a socket. So the
//! log may run ahead of the wire by one failed write, and never behind it, also when the process is killed.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::charger::Now;

/// The open log.
#[derive(Debug)]
pub(crate) struct Journal(Mutex<File>);

/// One line. Fields without a value are left out.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// Wall clock, microseconds since 1970.
    pub(crate) t_us: u64,
    /// Monotonic clock, microseconds since the simulator's start: comparable within one process only.
    pub(crate) mono_us: u64,
    /// The machine's monotonic clock in microseconds, comparable with that of other processes.
    pub(crate) m_us: u64,
    /// The charge point id.
    pub(crate) cp: &'a str,
    /// How often the charger had connected by then, counted from 1.
    pub(crate) conn: u64,
    pub(crate) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<&'a RawValue>,
    /// For answers in either direction: the code of a CALLERROR, nothing for a CALLRESULT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<&'a str>,
    /// The messageId was seen before by this charger, on this connection or an earlier one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) duplicate: bool,
}

/// What a line tells of.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Connected,
    Disconnected,
    CallReceived,
    ReplySent,
    CallSent,
    ResultReceived,
}

impl Journal {
    /// Opens the file for appending, creating it if need be.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Mutex::new(
            OpenOptions::new().create(true).append(true).open(path)?,
        )))
    }

    /// Writes whole lines. They are in the kernel when this returns.
    pub(crate) fn append(&self, lines: &[u8]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(lines)
    }
}

impl<'a> Line<'a> {
    /// A line without its optional fields.
    pub(crate) fn new(cp: &'a str, conn: u64, kind: Kind, now: Now) -> Self {
        let (t_us, mono_us, m_us) = (now.wall_us, now.mono_us, now.machine_us);
        let (message_id, action, payload, error_code) = (None, None, None, None);
        Self {
            t_us,
            mono_us,
            m_us,
            cp,
            conn,
            kind,
            message_id,
            action,
            payload,
            error_code,
            duplicate: false,
        }
    }

    /// Appends the line to a batch. Payloads are verbatim, and their line breaks, which JSON allows only between
    /// tokens, become spaces.
    pub(crate) fn append_to(&self, batch: &mut Vec<u8>) {
        let start = batch.len();
        if let Err(error) = serde_json::to_writer(&mut *batch, self) {
            // A struct of strings and numbers always has a JSON form and a Vec always takes it.
            tracing::error!(%error, "a log line could not be written");
            batch.truncate(start);
            return;
        }
        for byte in &mut batch[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        batch.push(b'\n');
    }
}
