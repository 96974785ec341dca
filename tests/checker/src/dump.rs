//! The last dump of Redis, as far as judges use it: open commands, timers, devices and idempotency keys. Leaves out
//! everything else that lies there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::ReadError;
use crate::read::{DUMP, state};
use crate::symbols::{Sym, Symbols};

/// What the store held at the end.
#[derive(Debug, Default)]
pub struct Dump {
    /// Open commands, each with its slot.
    pub open: Vec<(Sym, Sym)>,
    /// The timers of each slot.
    pub timers: HashMap<Sym, Vec<Sym>>,
    /// Each charger's registration.
    pub devices: HashMap<Sym, Device>,
    /// Idempotency keys, as `<charger>:<key>`.
    pub keys: HashSet<String>,
    /// How many keys of Redis the dump holds.
    pub size: usize,
}

/// A charger's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// It is connected.
    pub connected: bool,
    /// By which version.
    pub version: u64,
}

#[derive(Deserialize)]
struct Line {
    key: String,
    #[serde(rename = "type")]
    kind: String,
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
        if let Some(id) = part.strip_prefix("c:").filter(|_| line.kind == "hash") {
            if field(&line.value, "st")
                .and_then(|word| state(&word))
                .is_some_and(|s| !s.is_terminal())
            {
                self.open.push((symbols.intern(id), slot));
            }
        } else if part == "due" {
            let timers = members(&line.value).ok_or("the value of a sorted set is no list of members")?;
            let timers = timers.iter().map(|id| symbols.intern(id)).collect();
            self.timers.insert(slot, timers);
        } else if let Some(cp) = part.strip_prefix("d:").filter(|_| line.kind == "hash") {
            let version = field(&line.value, "ver").and_then(|v| v.parse().ok());
            if let Some(version) = version {
                let connected = field(&line.value, "con").as_deref() == Some("1");
                self.devices
                    .insert(symbols.intern(cp), Device { connected, version });
            }
        } else if let Some(key) = part.strip_prefix("k:") {
            self.keys.insert(key.to_owned());
        }
        Ok(())
    }
}

/// A field of a hash, whether its value is a text or a number.
fn field(hash: &Value, name: &str) -> Option<String> {
    hash.get(name).map(text)
}

/// The members of a sorted set: an object by member, a list of pairs, or a list of members.
fn members(set: &Value) -> Option<Vec<String>> {
    match set {
        Value::Object(scores) => Some(scores.keys().cloned().collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Array(pair) => pair.first().map(text),
                Value::Object(pair) => pair.get("member").map(text),
                other => Some(text(other)),
            })
            .collect(),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
