//! The last lines of a log, for the message about a child that ended unexpectedly.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How many bytes from a log's end are read at most.
const WINDOW: u64 = 16 * 1024;

/// The last `count` lines of a file; empty when it cannot be read.
#[must_use]
pub fn of_file(path: &Path, count: usize) -> String {
    let Ok(mut file) = File::open(path) else {
        return String::new();
    };
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    if file.seek(SeekFrom::Start(length.saturating_sub(WINDOW))).is_err() {
        return String::new();
    }
    let mut bytes = Vec::new();
    if file.read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    last_lines(&String::from_utf8_lossy(&bytes), count)
}

/// The last `count` lines of a text, each indented.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(count);
    lines[start..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_remain_and_blank_ones_do_not_count() {
        assert_eq!(last_lines("a\nb\n\nc\n", 2), "    b\n    c");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn a_missing_log_gives_nothing() {
        assert_eq!(of_file(Path::new("no/such/file"), 3), "");
    }
}
