//! The last dump of Redis, as far as judges use it: commands, timers, queues, devices, pods and idempotency keys.
//! Leaves out everything else that lies there, and what the packed form of an ended command holds.

mod value;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::ReadError;
use crate::event::State;
use crate::read::{DUMP, state};
use crate::symbols::{Sym, Symbols};

/// What the store held at the end.
#[derive(Debug, Default)]
pub struct Dump {
    /// Open commands.
    pub open: Vec<Open>,
    /// Ended ones, each with its slot and how long it is kept, in milliseconds; negative for ever.
    pub ended: HashMap<Sym, (Sym, i64)>,
    /// The timers of each slot: what for, and when.
    pub timers: HashMap<Sym, Vec<(Sym, Option<u64>)>>,
    /// Each charger's queue, with its slot.
    pub queues: HashMap<(Sym, Sym), Vec<Sym>>,
    /// Each charger's registration, with its slot.
    pub devices: HashMap<Sym, Device>,
    /// The pods' leases: when they end.
    pub pods: HashMap<Sym, u64>,
    /// Idempotency keys, as `<charger>:<key>`.
    pub keys: HashSet<String>,
    /// How many keys of Redis the dump holds.
    pub size: usize,
}

/// An open command, as it lies there.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Its id.
    pub id: Sym,
    /// Its slot.
    pub slot: Sym,
    /// Its charger.
    pub cp: Sym,
    /// Its state.
    pub state: State,
    /// Unsafe to repeat.
    pub is_unsafe: bool,
    /// Of the urgent lane.
    pub is_urgent: bool,
    /// A deadline or a cancel is marked.
    pub is_marked: bool,
    /// When its own timer is due, 0 for none.
    pub timer_us: u64,
    /// Its deadline, 0 if it is not told.
    pub deadline_us: u64,
}

/// A charger's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// It is connected.
    pub connected: bool,
    /// By which version.
    pub version: u64,
    /// Its slot.
    pub slot: Sym,
    /// The commands that hold its lanes, or none.
    pub lanes: [Sym; 2],
    /// How many open commands it counts, if it tells.
    pub open: Option<u64>,
}

impl Open {
    /// When it is due: at its timer, or at its deadline where that comes first and nothing is marked.
    #[must_use]
    pub fn due_us(&self) -> u64 {
        match self.timer_us {
            0 => self.deadline_us,
            timer if self.is_marked => timer,
            timer => timer.min(self.deadline_us),
        }
    }

    /// It is claimed or written.
    #[must_use]
    pub fn is_on_its_way(&self) -> bool {
        matches!(self.state, State::Sent | State::Delivered)
    }
}

#[derive(Deserialize)]
struct Line {
    key: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    ttl_ms: i64,
    value: Value,
}

impl Dump {
    /// Reads the dump of a run folder.
    pub fn read(folder: &Path, symbols: &mut Symbols) -> Result<Self, ReadError> {
        let path = folder.join(DUMP);
        let text = std::fs::read_to_string(&path).map_err(|source| ReadError::Io {
            path: path.clone(),
            source,
        })?;
        let mut dump = Self::default();
        for (i, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let taken = serde_json::from_str(line)
                .map_err(|error| error.to_string())
                .and_then(|line| dump.take(&line, symbols));
            taken.map_err(|problem| ReadError::Line {
                file: DUMP.to_owned(),
                line: u32::try_from(i + 1).unwrap_or(u32::MAX),
                problem,
            })?;
        }
        Ok(dump)
    }

    fn take(&mut self, line: &Line, symbols: &mut Symbols) -> Result<(), String> {
        self.size += 1;
        // A key is <prefix>:{<tag>}:<part>, and the tag of a slot is s<number>.
        let Some((tag, part)) = line
            .key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once("}:"))
        else {
            return Ok(());
        };
        let slot = symbols.intern(tag);
        let hash = line.kind == "hash";
        if let Some(id) = part.strip_prefix("c:").filter(|_| hash) {
            self.open
                .extend(open(symbols.intern(id), slot, &line.value, symbols));
        } else if let Some(id) = part.strip_prefix("e:") {
            self.ended.insert(symbols.intern(id), (slot, line.ttl_ms));
        } else if part == "due" {
            let timers = value::members(&line.value, symbols)?;
            self.timers.insert(slot, timers);
        } else if let Some(cp) = part.strip_prefix("q:") {
            let queue = value::members(&line.value, symbols)?;
            let queue = queue.into_iter().map(|(id, _)| id).collect();
            self.queues.insert((slot, symbols.intern(cp)), queue);
        } else if let Some(cp) = part.strip_prefix("d:").filter(|_| hash) {
            if let Some(device) = device(slot, &line.value, symbols) {
                self.devices.insert(symbols.intern(cp), device);
            }
        } else if let Some(pod) = part.strip_prefix("l:").filter(|_| hash) {
            let until = value::number(&line.value, "exp").unwrap_or(0);
            self.pods.insert(symbols.intern(pod), until);
        } else if let Some(key) = part.strip_prefix("k:") {
            self.keys.insert(key.to_owned());
        }
        Ok(())
    }
}

/// A command, if it is open.
fn open(id: Sym, slot: Sym, hash: &Value, symbols: &mut Symbols) -> Option<Open> {
    let state = state(&value::field(hash, "st")?).filter(|state| !state.is_terminal())?;
    let is = |name: &str, what: &str| value::field(hash, name).is_some_and(|value| value == what);
    let mark = value::field(hash, "mk").unwrap_or_default();
    Some(Open {
        id,
        slot,
        cp: symbols.intern(&value::field(hash, "cp").unwrap_or_default()),
        state,
        is_unsafe: is("cl", "u"),
        is_urgent: is("pr", "3"),
        is_marked: !matches!(mark.as_str(), "" | "-"),
        timer_us: value::number(hash, "ti").unwrap_or(0),
        deadline_us: value::number(hash, "dl").unwrap_or(0),
    })
}

/// A registration; one that never had a version is none.
fn device(slot: Sym, hash: &Value, symbols: &mut Symbols) -> Option<Device> {
    let mut lane = |name| symbols.intern(&value::field(hash, name).unwrap_or_default());
    Some(Device {
        lanes: [lane("ln"), lane("lu")],
        connected: value::field(hash, "con").as_deref() == Some("1"),
        version: value::number(hash, "ver")?,
        slot,
        open: value::number(hash, "op"),
    })
}
