//! Why a run cannot be judged.

use std::path::PathBuf;

/// A run folder that cannot be read. What a run did wrong is a violation, not an error.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The folder or one of its files cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what the format says.
    #[error("{file}:{line}: {problem}")]
    Line {
        /// The file's name in the run folder.
        file: String,
        /// Counted from 1.
        line: u32,
        /// What is wrong with it.
        problem: String,
    },
    /// `run.json` is not what the format says.
    #[error("{}: {problem}", path.display())]
    Run {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing to judge.
    #[error("{} holds no history: no *.jsonl file beside dump.jsonl", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}
