//! Cutting the end off Redis' append-only file, as if its last writes had never reached the disk: how long the file was
//! is noted all the time, so that a cut takes just what was written within a span.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Where Redis keeps the parts of its append-only file, below its folder.
pub(super) const FOLDER: &str = "appendonlydir";

/// How often its length is noted.
const EACH: Duration = Duration::from_millis(50);

/// How long a length is kept.
const KEPT: Duration = Duration::from_secs(5);

/// How long a file was at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Length {
    at: Instant,
    file: PathBuf,
    bytes: u64,
}

/// The lengths lately.
#[derive(Debug)]
pub(super) struct Lengths {
    folder: PathBuf,
    lately: Arc<Mutex<VecDeque<Length>>>,
    task: JoinHandle<()>,
}

impl Lengths {
    /// Notes the length of the newest part in a folder until it is dropped.
    pub(super) fn watch(folder: PathBuf) -> Self {
        let lately = Arc::<Mutex<VecDeque<Length>>>::default();
        let (noted, from) = (Arc::clone(&lately), folder.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EACH);
            loop {
                let at = ticks.tick().await;
                let Some((file, bytes)) = newest(&from) else {
                    continue;
                };
                let mut lately = noted.lock().unwrap_or_else(PoisonError::into_inner);
                lately.push_back(Length { at, file, bytes });
                while lately.front().is_some_and(|length| length.at + KEPT < at) {
                    lately.pop_front();
                }
            }
        });
        Self { folder, lately, task }
    }

    /// Cuts off what was written within a span before `end`; returns how many bytes.
    pub(super) fn cut(&self, end: Instant, span: Duration) -> Result<u64> {
        let (file, bytes) = newest(&self.folder).context("Redis has no append-only file")?;
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = kept(lately.make_contiguous(), &file, end, span)
            .unwrap_or(bytes)
            .min(bytes);
        let open = std::fs::OpenOptions::new().write(true).open(&file);
        open.and_then(|open| open.set_len(keep))
            .with_context(|| format!("cutting {}", file.display()))?;
        Ok(bytes - keep)
    }
}

impl Drop for Lengths {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long the file was at the first look within a span before `end`. A part that was begun within it stays as long as
/// it was when it was first seen: what lies in older parts is older.
fn kept(lately: &[Length], file: &Path, end: Instant, span: Duration) -> Option<u64> {
    let within = |length: &&Length| length.file == file && length.at + span >= end && length.at <= end;
    lately.iter().find(within).map(|length| length.bytes)
}

/// The part that Redis appends to, and its length.
fn newest(folder: &Path) -> Option<(PathBuf, u64)> {
    let entries = std::fs::read_dir(folder).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let (_, path) = paths.filter_map(|path| Some((number(&path)?, path))).max()?;
    let bytes = std::fs::metadata(&path).ok()?.len();
    Some((path, bytes))
}

/// The number of a part that is appended to: 12 of `appendonly.aof.12.incr.aof`.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".incr.aof")?;
    name.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_takes_what_was_written_within_the_span_and_no_more() {
        let begun = Instant::now();
        let length = |ms, file: &str, bytes| Length {
            at: begun + Duration::from_millis(ms),
            file: PathBuf::from(file),
            bytes,
        };
        let lately = [
            length(0, "a", 10),
            length(1_000, "a", 20),
            length(2_000, "a", 30),
            length(2_500, "b", 5),
            length(3_000, "b", 9),
        ];
        let kept = |file, end_ms, span_ms| {
            let (end, span) = (
                begun + Duration::from_millis(end_ms),
                Duration::from_millis(span_ms),
            );
            kept(&lately, Path::new(file), end, span)
        };
        assert_eq!(kept("a", 2_000, 1_000), Some(20));
        assert_eq!(kept("a", 2_000, 999), Some(30));
        assert_eq!(kept("a", 2_000, 5_000), Some(10));
        assert_eq!(kept("b", 3_000, 2_000), Some(5));
        assert_eq!(kept("c", 3_000, 2_000), None);
    }

    #[test]
    fn the_newest_part_is_the_one_with_the_highest_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "appendonly.aof.9.incr.aof",
            "appendonly.aof.12.incr.aof",
            "appendonly.aof.13.base.rdb",
        ] {
            std::fs::write(folder.path().join(name), "12345").unwrap();
        }
        let (path, bytes) = newest(folder.path()).unwrap();
        assert!(path.ends_with("appendonly.aof.12.incr.aof") && bytes == 5);
        assert_eq!(newest(&folder.path().join("nowhere")), None);
    }

    #[tokio::test]
    async fn what_was_written_before_the_span_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("appendonly.aof.1.incr.aof");
        std::fs::write(&file, "old").unwrap();
        let lengths = Lengths::watch(folder.path().to_owned());
        while lengths.lately.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        std::fs::write(&file, "old and new").unwrap();
        let cut = lengths.cut(Instant::now(), KEPT).unwrap();
        assert_eq!(
            (cut, std::fs::read_to_string(&file).unwrap().as_str()),
            (8, "old")
        );
    }
}
