//! The trace of a run: a digest of everything that happened, and on demand the last lines as text.

use std::collections::VecDeque;

/// Lines kept for a failing seed.
const TAIL: usize = 400;

/// What happened, as a number and perhaps as text.
#[derive(Debug)]
pub(crate) struct Trace {
    digest: u64,
    lines: Option<VecDeque<String>>,
    keep: usize,
}

impl Trace {
    /// With `lines`, text is kept: all of it, or only the end of it.
    pub(crate) fn new(lines: Lines) -> Self {
        Self {
            digest: 0xcbf2_9ce4_8422_2325,
            lines: (lines != Lines::None).then(VecDeque::new),
            keep: if lines == Lines::All { usize::MAX } else { TAIL },
        }
    }

    /// Adds a fact to the digest.
    pub(crate) fn mix(&mut self, fact: u64) {
        self.digest = (self.digest ^ fact)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    /// Adds a line, if lines are kept. The text is made only then.
    pub(crate) fn line(&mut self, now: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= self.keep {
                lines.pop_front();
            }
            lines.push_back(format!("{:>11.6} {}", now as f64 / 1e6, text()));
        }
    }

    /// The digest so far.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The lines that were kept.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}

/// Which lines of a trace are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// None: the digest only.
    None,
    /// The last few hundred.
    Tail,
    /// All.
    All,
}
