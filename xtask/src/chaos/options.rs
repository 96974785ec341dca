//! What a run is told, and the bounds that it gives the services: smaller than the defaults where a command must come to
//! its end within a run. Left out: the command line's modes that are no runs.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::fault::Kind;
use super::scenario::Scenario;

/// The settings of a run.
#[derive(Debug, Clone)]
pub(super) struct Options {
    /// A fixed plan instead of a drawn one.
    pub(super) scenario: Option<Scenario>,
    /// How long the faults last.
    pub(super) duration: Duration,
    /// Which faults.
    pub(super) kinds: Vec<Kind>,
    /// What the names of the links end in that faults may hit; empty for all.
    pub(super) links: &'static str,
    /// What is judged.
    pub(super) mode: Mode,
    /// One or three.
    pub(super) brokers: u16,
    /// What the store promises.
    pub(super) durability: Durability,
    /// Commands a second.
    pub(super) rate: u64,
    /// How long everything may take to drain after the last heal.
    pub(super) drain: Duration,
    /// Fetches nothing.
    pub(super) offline: bool,
    /// The services' log level, where it is not the default.
    pub(super) log: Option<String>,
    /// A bug that is planted in the services.
    pub(super) mutant: Option<&'static str>,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The invariants that hold throughout.
    Safety,
    /// That everything drains after the heal.
    Liveness,
    /// Both.
    Both,
}

/// What the store promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Redis flushes before every reply.
    Fsync,
    /// A replica has it before the replies that matter.
    Replicated,
    /// About two seconds may be lost.
    Relaxed,
}

impl Durability {
    /// The name in the services' configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Replicated => "replicated",
            Self::Relaxed => "relaxed",
        }
    }
}

impl Mode {
    /// The name in `run.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Liveness => "liveness",
            Self::Both => "both",
        }
    }
}

/// The services' bounds, and what the checker is told of them.
pub(super) mod bounds {
    use serde_json::{Value, json};

    use super::Options;

    /// Most open commands of a charger: few enough that a run meets the bound.
    pub(in super::super) const MAX_OPEN: u64 = 30;

    /// How long a charger may take to answer, in milliseconds.
    const ANSWER_MS: u64 = 4_000;
    const URGENT_ANSWER_MS: u64 = 3_000;

    /// What routers are told beside addresses.
    pub(in super::super) const ROUTER: [(&str, u64); 4] = [
        ("delivery.answer_timeout_ms", ANSWER_MS),
        ("delivery.urgent_answer_timeout_ms", URGENT_ANSWER_MS),
        ("delivery.deadline_default_ms", 30_000),
        ("delivery.max_open_per_charger", MAX_OPEN),
    ];

    /// The same for the checker, with the defaults that stay.
    pub(in super::super) fn told(options: &Options) -> Value {
        json!({
            "durability": options.durability.name(),
            "slots": 64,
            "max_attempts": 3,
            "max_open_per_charger": MAX_OPEN,
            "lease_ms": 10_000,
            "grant_ms": 5_000,
            "dispatch_lease_ms": 6_000,
            "answer_timeout_ms": ANSWER_MS,
            "urgent_answer_timeout_ms": URGENT_ANSWER_MS,
            "canary_ms": 5_000,
            "drain_ms": u64::try_from(options.drain.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
