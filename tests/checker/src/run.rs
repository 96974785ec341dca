//! `run.json`: what the run was, and the bounds that it declares. What it leaves out has the services' defaults.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::ReadError;

/// Whether only safety is judged, or liveness too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Faults may last to the end.
    Safety,
    /// Everything is healed and drains.
    Liveness,
    /// Liveness if the run was healed.
    Both,
}

impl Mode {
    /// Liveness is to be judged of a run that was healed, or was not.
    #[must_use]
    pub fn judges_liveness(self, healed: bool) -> bool {
        match self {
            Self::Safety => false,
            Self::Liveness => true,
            Self::Both => healed,
        }
    }
}

/// What the store promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed before every reply.
    Fsync,
    /// On a replica before the replies that matter.
    Replicated,
    /// About two seconds may be lost.
    Relaxed,
}

/// A run. All durations are microseconds.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it was drawn from.
    pub seed: u64,
    /// What it wants judged.
    pub mode: Mode,
    /// What the store promises.
    pub durability: Durability,
    /// What a process may take between a check and the act, and clocks may differ by.
    pub epsilon_us: u64,
    /// Most writes of a command.
    pub max_attempts: u64,
    /// Most open commands of a charger.
    pub max_open: u64,
    /// The pod lease.
    pub lease_us: u64,
    /// How long a grant permits the write.
    pub grant_us: u64,
    /// How long a claim lasts.
    pub dispatch_lease_us: u64,
    /// How long a written command waits for its answer.
    pub answer_timeout_us: u64,
    /// The same for urgent ones.
    pub urgent_answer_timeout_us: u64,
    /// The oldest canary of a ready edge.
    pub canary_us: u64,
    /// How long after its deadline, in quiet times, a command may be open.
    pub end_us: u64,
    /// How long after the last heal there may be a backlog.
    pub drain_us: u64,
    /// How long a dead router's work may lie.
    pub takeover_us: u64,
    /// How long, in quiet times, a displaced edge may go on writing.
    pub kick_us: u64,
    /// How long a poison record may lie before it is put aside.
    pub quarantine_us: u64,
    /// How long nobody may look over the store while commands are open and Redis answers.
    pub audit_us: u64,
    /// How long after its lease a pod's record is still kept.
    pub forget_pod_us: u64,
}

impl Run {
    /// Reads `run.json`.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let text = std::fs::read_to_string(path).map_err(|source| ReadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|problem| ReadError::Run {
            path: path.to_owned(),
            problem,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let root = value.as_object().ok_or("it is no JSON object")?;
        let fields = Fields::of(root)?;
        let run = Self {
            seed: fields.number("seed")?.ok_or("`seed` is missing")?,
            mode: match fields.word("mode")?.unwrap_or("both") {
                "safety" => Mode::Safety,
                "liveness" => Mode::Liveness,
                "both" | "safety+liveness" => Mode::Both,
                other => return Err(format!("`mode` is `{other}`, which is unknown")),
            },
            durability: match fields.word("durability")?.unwrap_or("fsync") {
                "fsync" => Durability::Fsync,
                "replicated" => Durability::Replicated,
                "relaxed" => Durability::Relaxed,
                other => return Err(format!("`durability` is `{other}`, which is unknown")),
            },
            epsilon_us: fields.time("epsilon", 200)?,
            max_attempts: fields.number("max_attempts")?.unwrap_or(3),
            max_open: fields.number("max_open_per_charger")?.unwrap_or(100),
            lease_us: fields.time("lease", 10_000)?,
            grant_us: fields.time("grant", 5_000)?,
            dispatch_lease_us: fields.time("dispatch_lease", 6_000)?,
            answer_timeout_us: fields.time("answer_timeout", 30_000)?,
            urgent_answer_timeout_us: fields.time("urgent_answer_timeout", 10_000)?,
            canary_us: fields.time("canary", 5_000)?,
            end_us: fields.time("end", 10_000)?,
            drain_us: fields.time("drain", 60_000)?,
            takeover_us: fields.time("takeover", 15_000)?,
            kick_us: fields.time("kick", 10_000)?,
            quarantine_us: fields.time("quarantine", 10_000)?,
            audit_us: fields.time("audit", 20_000)?,
            forget_pod_us: fields.time("forget_pod", 86_400_000)?,
        };
        Ok(run)
    }

    /// How long a written command of a priority waits for its answer.
    #[must_use]
    pub fn answer_timeout(&self, priority: u8) -> u64 {
        if priority == 3 {
            self.urgent_answer_timeout_us
        } else {
            self.answer_timeout_us
        }
    }
}

/// The objects that a setting may stand in: the bounds, the settings, the root.
struct Fields<'a>(Vec<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    fn of(root: &'a Map<String, Value>) -> Result<Self, String> {
        let mut places = vec![root];
        for name in ["settings", "bounds"] {
            let found = places.iter().rev().find_map(|place| place.get(name));
            match found {
                Some(Value::Object(place)) => places.push(place),
                Some(Value::Null) | None => {}
                Some(_) => return Err(format!("`{name}` is no JSON object")),
            }
        }
        places.reverse();
        Ok(Self(places))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let found = self.0.iter().find_map(|place| place.get(name));
        found.filter(|value| !value.is_null())
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let number = |value: &Value| {
            value
                .as_u64()
                .ok_or_else(|| format!("`{name}` is no whole number: {value}"))
        };
        self.get(name).map(number).transpose()
    }

    fn word(&self, name: &str) -> Result<Option<&'a str>, String> {
        let word = |value: &'a Value| {
            value
                .as_str()
                .ok_or_else(|| format!("`{name}` is no string: {value}"))
        };
        self.get(name).map(word).transpose()
    }

    /// A duration given as `<name>_us` or `<name>_ms`, in microseconds.
    fn time(&self, name: &str, default_ms: u64) -> Result<u64, String> {
        if let Some(us) = self.number(&format!("{name}_us"))? {
            return Ok(us);
        }
        let ms = self.number(&format!("{name}_ms"))?.unwrap_or(default_ms);
        Ok(ms.saturating_mul(1_000))
    }
}
