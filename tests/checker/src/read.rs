//! Reads the histories of a run folder into a log. Strict: a line that the format does not know is an error with its
//! place. The one thing forgiven is a line torn by the death of its process, and that is counted. Leaves out
//! `run.json` and the dump (`run`, `dump`), and every judgement.

mod fields;
mod parse;
mod row;
mod text;

use std::path::{Path, PathBuf};

use crate::error::ReadError;
use crate::event::At;
use crate::log::Log;
use crate::symbols::{Sym, Symbols};

use row::Row;

pub(crate) use text::state;

/// The name of the dump, which is no history.
pub(crate) const DUMP: &str = "dump.jsonl";

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Every line, by kind.
    pub(crate) log: Log,
    /// The files' names, by number.
    pub(crate) files: Vec<String>,
    /// How many lines there were.
    pub(crate) lines: u64,
    /// How many of them were torn.
    pub(crate) torn: u64,
    /// The time of the last line.
    pub(crate) last_m_us: u64,
}

/// The histories in a folder, by name.
pub(crate) fn histories(folder: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let io = |source| ReadError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_history = path.extension().is_some_and(|e| e == "jsonl");
        if is_history && path.file_name().is_some_and(|name| name != DUMP) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(ReadError::Empty {
            path: folder.to_owned(),
        });
    }
    Ok(paths)
}

/// Reads files of histories, in any order.
pub(crate) fn read(paths: &[PathBuf], symbols: &mut Symbols) -> Result<History, ReadError> {
    let mut history = History::default();
    for path in paths {
        let text = std::fs::read(path).map_err(|source| ReadError::Io {
            path: path.clone(),
            source,
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let reader = FileReader {
            file: u16::try_from(history.files.len()).unwrap_or(u16::MAX),
            name: &name,
            stem: symbols.intern(&stem),
        };
        history.files.push(name.to_string());
        reader.read(&text, symbols, &mut history)?;
    }
    history.log.sort();
    Ok(history)
}

/// One file.
struct FileReader<'a> {
    file: u16,
    name: &'a str,
    /// Names the process of lines that do not.
    stem: Sym,
}

impl FileReader<'_> {
    fn read(&self, text: &[u8], symbols: &mut Symbols, history: &mut History) -> Result<(), ReadError> {
        let ends_whole = text.last().is_none_or(|&b| b == b'\n');
        let lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
        // What follows the last line break is a line only if it is torn or lacks its break.
        let count = lines.len() - usize::from(ends_whole);
        let mut last_pid = None;
        for (i, line) in lines.iter().take(count).enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let number = u32::try_from(i + 1).unwrap_or(u32::MAX);
            history.lines += 1;
            let problem = match self.take(line, number, symbols, history) {
                Ok(pid) => {
                    last_pid = Some(pid);
                    continue;
                }
                Err(Bad::Meaning(problem)) => return Err(self.error(number, problem)),
                Err(Bad::Form(problem)) => problem,
            };
            let is_last = i + 1 == count && !ends_whole;
            let next_pid = lines.get(i + 1).and_then(|next| pid_of(next));
            if is_last || (next_pid.is_some() && last_pid.is_some() && next_pid != last_pid) {
                history.torn += 1;
            } else if let Some(rest) = glued(line) {
                history.torn += 1;
                last_pid = Some(
                    self.take(rest, number, symbols, history)
                        .map_err(|bad| self.error(number, bad.text()))?,
                );
            } else {
                return Err(self.error(number, problem));
            }
        }
        Ok(())
    }

    /// Puts one line into the log and returns the pid of its writer.
    fn take(
        &self,
        line: &[u8],
        number: u32,
        symbols: &mut Symbols,
        history: &mut History,
    ) -> Result<u32, Bad> {
        let row: Row = serde_json::from_slice(line).map_err(|error| Bad::of(&error))?;
        let at = At {
            m_us: row.m_us.ok_or_else(|| Bad::missing("m_us"))?,
            t_us: row.t_us.ok_or_else(|| Bad::missing("t_us"))?,
            file: self.file,
            line: number,
            process: row.proc.as_ref().map_or(self.stem, |p| symbols.intern(&p.0)),
            pid: row.pid.unwrap_or(0),
        };
        history.last_m_us = history.last_m_us.max(at.m_us);
        parse::take(&row, at, symbols, &mut history.log).map_err(Bad::Meaning)?;
        Ok(at.pid)
    }

    fn error(&self, line: u32, problem: String) -> ReadError {
        ReadError::Line {
            file: self.name.to_owned(),
            line,
            problem,
        }
    }
}

/// What is wrong with a line.
enum Bad {
    /// It is not JSON, as a torn line is not.
    Form(String),
    /// It is JSON that the format does not know.
    Meaning(String),
}

impl Bad {
    /// Wrong types are no tear: only what is not JSON may be one.
    fn of(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        if error.is_data() {
            Self::Meaning(text)
        } else {
            Self::Form(text)
        }
    }

    fn missing(field: &str) -> Self {
        Self::Meaning(format!("`{field}` is missing"))
    }

    fn text(self) -> String {
        match self {
            Self::Form(text) | Self::Meaning(text) => text,
        }
    }
}

fn pid_of(line: &[u8]) -> Option<u32> {
    serde_json::from_slice::<Row>(line).ok().and_then(|row| row.pid)
}

/// The whole line that a restarted process wrote right behind its predecessor's torn one.
fn glued(line: &[u8]) -> Option<&[u8]> {
    line.windows(2)
        .enumerate()
        .skip(1)
        .filter(|(_, pair)| *pair == b"{\"")
        .map(|(i, _)| &line[i..])
        .find(|rest| serde_json::from_slice::<Row>(rest).is_ok_and(|row| row.m_us.is_some()))
}
