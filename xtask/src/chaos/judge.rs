//! Has the checker, a program that trusts nobody, judge a run's folder.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::stack::binaries::Binaries;
use crate::supervise::Guarded;

/// The checker's binary.
pub(super) const CHECKER: &str = "checker";

/// What the checker found.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// Its table, for people.
    pub(super) table: String,
    /// Its result, for programs.
    pub(super) json: Value,
    /// No violation.
    pub(super) clean: bool,
}

/// Judges a folder. An error means that it cannot be judged, which is no verdict.
pub(super) async fn judge(binaries: &Binaries, folder: &Path) -> Result<Verdict> {
    let ask = |output: &str| {
        Guarded::new(binaries.path(CHECKER))
            .arg(folder)
            .args(["--output", output])
    };
    let result = ask("json").outcome().await?;
    let clean = match result.status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => bail!(
            "the checker cannot read {}:\n{}",
            folder.display(),
            result.err.trim()
        ),
    };
    Ok(Verdict {
        json: serde_json::from_str(&result.out).context("the checker's result is no JSON")?,
        table: ask("table").outcome().await?.out,
        clean,
    })
}
