//! Judges the invariants of the delivery protocol from histories, chargers' logs and a dump of Redis; trusts nobody.
//!
//! A run folder holds the history of every process (`*.jsonl`, one JSON object a line, each with the machine's
//! monotonic clock), the simulator's log of what the chargers saw and said, what readers found on the result topics,
//! the auditor's and the faults' lines, `dump.jsonl` (Redis at the end) and `run.json` (seed, settings, bounds).
//! The checker shares no code with what it judges: it knows the format and the invariants, nothing else.
//!
//! * `read` turns lines into a [`log::Log`]. An unknown event, a missing field, a wrong type or bad JSON is an error
//!   with file and line; a line that the death of its process tore is forgiven and counted.
//! * [`world::World`] finds the lines of each command and charger, pairs faults with heals, and bounds from below how
//!   Redis time lies to the machine's clock.
//! * [`judge`] holds a judge for each invariant. `exercised` counts the situations in which the invariant could have
//!   broken; one that never was is reported as not shown, which is not the same as passed.
//! * [`report`] counts and prints.
//!
//! In safety mode only what must hold throughout is judged; liveness mode judges as well that, after the heal, what
//! was accepted ends and drains. It leaves out whether the run was hard enough: that is for the reader of the counts.

pub mod dump;
pub mod error;
pub mod event;
pub mod judge;
pub mod log;
mod read;
pub mod report;
pub mod run;
pub mod symbols;
pub mod world;

use std::path::{Path, PathBuf};

pub use error::ReadError;
pub use report::Report;
pub use run::Mode;

use world::World;

/// Judges a run folder. A mode that is given overrides the one in `run.json`.
pub fn check(folder: &Path, mode: Option<Mode>) -> Result<Report, ReadError> {
    Ok(report::report(&World::read(folder, mode)?))
}

/// Judges some files of histories, in any order, with the `run.json` and the dump of a folder.
pub fn check_files(folder: &Path, histories: &[PathBuf]) -> Result<Report, ReadError> {
    Ok(report::report(&World::read_files(folder, histories)?))
}
