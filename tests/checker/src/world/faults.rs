//! The faults of a run: what was hurt when, so that bounds are judged in quiet times only.

use std::collections::BTreeMap;

use crate::event::{At, Heal, Inject};
use crate::log::Log;
use crate::symbols::{Sym, Symbols};

/// What a fault does to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It dies.
    Kill,
    /// It stands still.
    Pause,
    /// It gets something that nobody can read, and is expected to go on.
    Poison,
    /// Anything else.
    Other,
}

/// One fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where it was told.
    pub at: At,
    /// What it is called.
    pub kind: String,
    /// Whom it hits.
    pub target: String,
    /// What it does.
    pub class: Class,
    /// It hits one charger only.
    pub local: bool,
    /// When it was over, none for never.
    pub to_m_us: Option<u64>,
}

impl Fault {
    /// It lasts within these moments.
    #[must_use]
    pub fn overlaps(&self, from_m_us: u64, to_m_us: u64) -> bool {
        self.at.m_us <= to_m_us && self.to_m_us.is_none_or(|end| end >= from_m_us)
    }

    /// It hits Redis itself, not a link to it.
    #[must_use]
    pub fn hits_redis(&self) -> bool {
        self.target.starts_with("redis") && !self.target.contains('/')
    }

    /// It keeps a router from working.
    #[must_use]
    pub fn stops_router(&self) -> bool {
        self.target.starts_with("router")
            && !self.target.contains('/')
            && matches!(self.class, Class::Kill | Class::Pause)
    }
}

/// All faults.
#[derive(Debug, Default)]
pub struct Faults {
    /// In the order in which they began.
    pub all: Vec<Fault>,
    /// Pauses by process.
    pauses: Vec<(Sym, u64, u64)>,
}

impl Faults {
    /// Pairs each fault with its heal, or with the moment when all were healed.
    #[must_use]
    pub fn of(
        log: &Log,
        symbols: &Symbols,
        healed_m_us: Option<u64>,
        is_charger: &dyn Fn(Sym) -> bool,
    ) -> Self {
        let mut faults = Self::default();
        let mut used = vec![false; log.heals.len()];
        for inject in &log.injects {
            let heal = heal_of(log, inject, &mut used);
            let kind = symbols.name(inject.kind).to_lowercase();
            let target = symbols.name(inject.target).to_lowercase();
            let class = class_of(&kind);
            let begun = inject.at.m_us;
            let healed = healed_m_us.filter(|&m| m >= begun);
            let to_m_us = match (heal, class) {
                (None, Class::Poison) => Some(begun),
                (end, _) => end.or(healed),
            };
            if class == Class::Pause {
                faults
                    .pauses
                    .push((inject.target, begun, to_m_us.unwrap_or(u64::MAX)));
            }
            faults.all.push(Fault {
                at: inject.at,
                local: is_charger(inject.target) || (target.starts_with("charger") && !target.contains('/')),
                kind,
                target,
                class,
                to_m_us,
            });
        }
        faults
    }

    /// How often each kind was injected.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for fault in &self.all {
            *counts.entry(fault.kind.clone()).or_default() += 1;
        }
        counts
    }

    /// A fault lasts within these moments that may slow a part of the gateway.
    #[must_use]
    pub fn disturb(&self, from_m_us: u64, to_m_us: u64) -> bool {
        self.disturbing().any(|f| f.overlaps(from_m_us, to_m_us))
    }

    /// The first moment at or after one from which nothing is disturbed for a span; none if that never comes.
    #[must_use]
    pub fn quiet_after(&self, m_us: u64, span_us: u64) -> Option<u64> {
        quiet(|| self.disturbing(), m_us, span_us)
    }

    /// The same, where one fault is not counted.
    #[must_use]
    pub fn quiet_but_for(&self, fault: &Fault, m_us: u64, span_us: u64) -> Option<u64> {
        quiet(|| self.disturbing().filter(|f| f.at != fault.at), m_us, span_us)
    }

    /// Redis may have lost what it was told: it died, was cut short or handed over.
    #[must_use]
    pub fn redis_loses(&self, from_m_us: u64, to_m_us: u64) -> bool {
        self.all.iter().any(|f| {
            let loses = f.class == Class::Kill
                || ["truncat", "failover", "loss", "move", "full"]
                    .iter()
                    .any(|word| f.kind.contains(word));
            f.hits_redis() && loses && f.overlaps(from_m_us, to_m_us)
        })
    }

    /// How often Redis was set back to an older state.
    #[must_use]
    pub fn roll_backs(&self) -> u64 {
        let rolled = self.all.iter().filter(|f| {
            ["truncat", "failover", "loss"]
                .iter()
                .any(|word| f.kind.contains(word))
        });
        rolled.count() as u64
    }

    /// How long a process stood still within these moments.
    #[must_use]
    pub fn paused_us(&self, process: Sym, from_m_us: u64, to_m_us: u64) -> u64 {
        let within = |&(name, from, to): &(Sym, u64, u64)| {
            if name == process {
                to.min(to_m_us).saturating_sub(from.max(from_m_us))
            } else {
                0
            }
        };
        self.pauses.iter().map(within).sum()
    }

    fn disturbing(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter().filter(|f| f.class != Class::Poison && !f.local)
    }
}

/// When the first heal that fits a fault, and no fault before it, was told.
fn heal_of(log: &Log, inject: &Inject, used: &mut [bool]) -> Option<u64> {
    let fits = |(i, heal): (usize, &Heal)| {
        !used[i] && (heal.kind, heal.target) == (inject.kind, inject.target) && heal.at.m_us >= inject.at.m_us
    };
    let i = log.heals.iter().enumerate().position(fits)?;
    used[i] = true;
    Some(log.heals[i].at.m_us)
}

/// Each round passes at least one fault for good.
fn quiet<'a, I: Iterator<Item = &'a Fault>>(
    disturbing: impl Fn() -> I,
    m_us: u64,
    span_us: u64,
) -> Option<u64> {
    let mut quiet = m_us;
    while let Some(fault) = disturbing().find(|f| f.overlaps(quiet, quiet.saturating_add(span_us))) {
        quiet = fault.to_m_us?.saturating_add(1);
    }
    Some(quiet)
}

/// What a fault does, by the words of its name.
fn class_of(kind: &str) -> Class {
    const WORDS: [(Class, &[&str]); 3] = [
        (
            Class::Poison,
            &["poison", "oversize", "slowloris", "garbage", "twins", "sweepers"],
        ),
        (Class::Pause, &["pause", "sigstop", "freeze", "stopped"]),
        (
            Class::Kill,
            &["kill", "crash", "term", "restart", "exit", "rolling", "power"],
        ),
    ];
    let found = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| kind.contains(word)));
    found.map_or(Class::Other, |(class, _)| *class)
}
