//! Everything that is known of a run, by command, by charger and by time. Leaves out every judgement.

pub mod chargers;
pub mod clock;
pub mod commands;
pub mod faults;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::dump::Dump;
use crate::error::ReadError;
use crate::event::{At, Milestone, Reply};
use crate::log::Log;
use crate::read::{self, History};
use crate::run::{Durability, Mode, Run};
use crate::symbols::{Sym, Symbols};

use chargers::Charger;
use clock::Clock;
use commands::Command;
use faults::Faults;

/// A run.
#[derive(Debug)]
pub struct World {
    /// Its strings.
    pub symbols: Symbols,
    /// What it declares.
    pub run: Run,
    /// Its lines.
    pub log: Log,
    /// Its commands, in the order in which they were first seen.
    pub commands: Vec<Command>,
    /// Its chargers.
    pub chargers: Vec<Charger>,
    /// Its faults.
    pub faults: Faults,
    /// How Redis time lies to the machine's clock.
    pub clock: Clock,
    /// What Redis held at the end.
    pub dump: Dump,
    /// When all faults were healed, if liveness is to be judged.
    pub healed: Option<At>,
    /// When everything was drained.
    pub drained: Option<At>,
    /// When the dump was complete.
    pub dumped: Option<At>,
    /// Liveness is to be judged.
    pub liveness: bool,
    /// The time of the last line.
    pub last_m_us: u64,
    /// Lines read.
    pub lines: u64,
    /// Lines torn by the death of a process.
    pub torn: u64,
    files: Vec<String>,
    command_index: HashMap<Sym, usize>,
    charger_index: HashMap<Sym, usize>,
}

impl World {
    /// Reads a run folder. A mode that is given overrides the run's own.
    pub fn read(folder: &Path, mode: Option<Mode>) -> Result<Self, ReadError> {
        let run = Run::read(&folder.join("run.json"))?;
        let paths = read::histories(folder)?;
        let mut symbols = Symbols::default();
        let history = read::read(&paths, &mut symbols)?;
        let dump = Dump::read(folder, &mut symbols)?;
        Ok(Self::new(run, mode, symbols, history, dump))
    }

    /// Reads some files of histories, in any order, with the run and the dump of a folder.
    pub fn read_files(folder: &Path, paths: &[PathBuf]) -> Result<Self, ReadError> {
        let run = Run::read(&folder.join("run.json"))?;
        let mut symbols = Symbols::default();
        let history = read::read(paths, &mut symbols)?;
        let dump = Dump::read(folder, &mut symbols)?;
        Ok(Self::new(run, None, symbols, history, dump))
    }

    fn new(run: Run, mode: Option<Mode>, symbols: Symbols, history: History, dump: Dump) -> Self {
        let History {
            log,
            files,
            lines,
            torn,
            last_m_us,
        } = history;
        let reached = |milestone| {
            let mut marks = log.marks.iter().rev();
            marks.find(|m| m.milestone == milestone).map(|m| m.at)
        };
        let healed = reached(Milestone::Healed);
        let drained = reached(Milestone::Drained);
        let dumped = reached(Milestone::Dumped);
        let liveness = mode.unwrap_or(run.mode).judges_liveness(healed.is_some());
        let (commands, command_index) = commands::index(&log);
        let (chargers, charger_index) = chargers::index(&log);
        let known_charger = |sym| charger_index.contains_key(&sym);
        let mut world = Self {
            faults: Faults::of(&log, &symbols, healed.map(|at| at.m_us), &known_charger),
            clock: Clock::of(&log),
            healed: healed.filter(|_| liveness),
            drained: drained.filter(|_| liveness),
            dumped,
            symbols,
            run,
            log,
            commands,
            chargers,
            dump,
            liveness,
            last_m_us,
            lines,
            torn,
            files,
            command_index,
            charger_index,
        };
        commands::find_ends(&mut world);
        world
    }

    /// The string of a symbol.
    #[must_use]
    pub fn name(&self, sym: Sym) -> &str {
        self.symbols.name(sym)
    }

    /// A line's place for people.
    #[must_use]
    pub fn place(&self, at: &At) -> String {
        let file = self.files.get(usize::from(at.file)).map_or("?", |f| f);
        format!("{file}:{}", at.line)
    }

    /// The command of an id.
    #[must_use]
    pub fn command(&self, id: Sym) -> Option<&Command> {
        self.command_index.get(&id).and_then(|&i| self.commands.get(i))
    }

    /// The charger of a name.
    #[must_use]
    pub fn charger(&self, cp: Sym) -> Option<&Charger> {
        self.charger_index.get(&cp).and_then(|&i| self.chargers.get(i))
    }

    /// The reply to each call, by the caller and the call's number.
    #[must_use]
    pub fn replies(&self) -> HashMap<(Sym, u64), &Reply> {
        let replies = self.log.replies.iter();
        replies
            .map(|reply| ((reply.at.process, reply.n), reply))
            .collect()
    }

    /// What happened from then on may be undone: the store is `relaxed` and lost its process or its file soon after.
    #[must_use]
    pub fn may_be_forgotten(&self, m_us: u64) -> bool {
        const LOST_US: u64 = 3_000_000;
        self.run.durability == Durability::Relaxed
            && self.faults.redis_loses(m_us, m_us.saturating_add(LOST_US))
    }

    /// How long after a moment a process may have been stopped within a span, with ε.
    #[must_use]
    pub fn allowance(&self, at: &At, from_m_us: u64) -> u64 {
        self.run
            .epsilon_us
            .saturating_add(self.faults.paused_us(at.process, from_m_us, at.m_us))
    }
}

/// The place of a line in the log, as an index keeps it.
fn number(i: usize) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}

/// The lines that an index names.
fn pick<'a, T>(lines: &'a [T], which: &'a [u32]) -> impl DoubleEndedIterator<Item = &'a T> {
    which.iter().filter_map(|&i| lines.get(i as usize))
}
