//! What is explored: which commands, which faults, and within which bounds. The presets are here too.

use std::fmt;

use domain::command::{Priority, RedeliveryClass};
use serde::Serialize;

/// Something that may go wrong, or that somebody does at an awkward moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// An edge process dies, with or without what it had just said, and starts again.
    EdgeCrash,
    /// A router dies with the claims in its memory and with its links, and starts again.
    RouterCrash,
    /// The link of an edge breaks, with what was under way on it, for any time up to beyond its lease.
    LinkCut,
    /// A record is in Kafka twice.
    Duplicate,
    /// A message arrives arbitrarily late.
    Delay,
    /// A record reaches Kafka, but its producer is told that it did not.
    LostReport,
    /// The charger answers arbitrarily late.
    LateReply,
    /// The charger never answers a CALL.
    Silence,
    /// The charger opens another connection, at either edge.
    Reconnect,
    /// A caller cancels a command.
    Cancel,
    /// An edge is paused until its lease is over.
    Pause,
    /// A write hangs: the CALL is out, and its connection learns so arbitrarily late, or ends first.
    SlowWrite,
    /// No router looks after timers for longer than the stall rule tolerates.
    Stall,
    /// The store crashes and loses what was not behind the durability barrier.
    RollBack,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::EdgeCrash,
        Self::RouterCrash,
        Self::LinkCut,
        Self::Duplicate,
        Self::Delay,
        Self::LostReport,
        Self::LateReply,
        Self::Silence,
        Self::Reconnect,
        Self::Cancel,
        Self::Pause,
        Self::SlowWrite,
        Self::Stall,
        Self::RollBack,
    ];

    fn index(self) -> usize {
        self as usize
    }
}

/// How often what may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    each: [u8; Fault::ALL.len()],
    together: u8,
}

impl Budget {
    /// Each of these once, so many at most.
    pub(crate) fn new(faults: &[Fault], together: u8) -> Self {
        let mut each = [0; Fault::ALL.len()];
        for fault in faults {
            each[fault.index()] += 1;
        }
        Self { each, together }
    }

    /// Whether it may still happen.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.together > 0 && self.each[fault.index()] > 0
    }

    /// It happens.
    pub(crate) fn spend(&mut self, fault: Fault) {
        self.each[fault.index()] = self.each[fault.index()].saturating_sub(1);
        self.together = self.together.saturating_sub(1);
        if self.together == 0 {
            // Equal states, whatever faults are left that cannot happen any more.
            self.each = [0; Fault::ALL.len()];
        }
    }
}

/// A command of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CommandSpec {
    /// Safe or unsafe to repeat.
    pub class: RedeliveryClass,
    /// Its priority.
    pub priority: Priority,
}

impl CommandSpec {
    /// Reads `safe`, `unsafe`, `urgent-safe` or `urgent-unsafe`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (priority, class) = match text.strip_prefix("urgent-") {
            Some(class) => (Priority::Urgent, class),
            None => (Priority::Normal, text),
        };
        let class = match class {
            "safe" => RedeliveryClass::Safe,
            "unsafe" => RedeliveryClass::Unsafe,
            _ => {
                return Err(format!(
                    "{text:?} is none of safe, unsafe, urgent-safe, urgent-unsafe"
                ));
            }
        };
        Ok(Self { class, priority })
    }
}

impl fmt::Display for CommandSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            RedeliveryClass::Safe => "safe",
            RedeliveryClass::Unsafe => "unsafe",
        };
        let urgent = if self.priority == Priority::Urgent {
            "urgent-"
        } else {
            ""
        };
        write!(f, "{urgent}{class}")
    }
}

/// One small world to be explored in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The commands.
    pub commands: Vec<CommandSpec>,
    /// The faults, each at most once.
    pub faults: Vec<Fault>,
    /// So many of them at most in one run.
    pub faults_together: u8,
    /// Faults begin within so many ticks.
    pub fault_ticks: u8,
    /// Most writes of a safe command.
    pub max_attempts: u32,
    /// The commands' deadline, in ticks after acceptance.
    pub deadline_ticks: u8,
    /// Every run ends after so many ticks.
    pub ticks: u8,
    /// The deadline is so far that a command which expires was stuck.
    pub deadline_is_far: bool,
    /// The charger is not connected at first.
    pub offline: bool,
    /// What the protocol wants durable is so before anyone hears of it; otherwise only what is a tick old.
    pub barrier: bool,
}

impl Case {
    /// A case of these commands and faults with the usual bounds.
    #[must_use]
    pub fn new(name: &str, commands: &[&str], faults: &[Fault], faults_together: u8) -> Self {
        Self {
            name: name.to_owned(),
            commands: commands
                .iter()
                .filter_map(|c| CommandSpec::parse(c).ok())
                .collect(),
            faults: faults.to_vec(),
            faults_together,
            fault_ticks: 4,
            max_attempts: 2,
            deadline_ticks: 5,
            ticks: 12,
            deadline_is_far: false,
            offline: false,
            barrier: true,
        }
    }

    /// The same with a charger that connects only after it begins.
    #[must_use]
    pub fn offline(self) -> Self {
        Self {
            offline: true,
            ..self
        }
    }

    /// The same over a store whose setting is `relaxed`.
    #[must_use]
    pub fn relaxed(self) -> Self {
        Self {
            barrier: false,
            ..self
        }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn deadline(self, deadline_ticks: u8) -> Self {
        Self {
            deadline_ticks,
            ticks: deadline_ticks + 7,
            ..self
        }
    }

    /// The same with a deadline so far that every fault is long over before it.
    #[must_use]
    pub fn far_deadline(self) -> Self {
        let deadline_ticks = 16;
        Self {
            deadline_ticks,
            ticks: deadline_ticks + 7,
            deadline_is_far: true,
            ..self
        }
    }
}

/// The presets, smallest first.
#[must_use]
pub fn presets() -> Vec<Case> {
    use Fault::*;
    let may_happen: Vec<Fault> = Fault::ALL.into_iter().filter(|f| *f != RollBack).collect();
    let awkward = [Delay, LateReply, Duplicate, Reconnect, Cancel];
    let at_one_place = [
        EdgeCrash,
        RouterCrash,
        LinkCut,
        Duplicate,
        Delay,
        LostReport,
        LateReply,
        Silence,
        Cancel,
        SlowWrite,
        Stall,
    ];
    let lossy = [RollBack, EdgeCrash, Reconnect, Delay];
    vec![
        tiny(),
        Case::new("safe-far", &["safe"], &may_happen, 1).far_deadline(),
        Case::new("unsafe-far", &["unsafe"], &may_happen, 1).far_deadline(),
        Case::new("both", &["safe", "unsafe"], &may_happen, 1),
        Case::new("both-far", &["unsafe", "safe"], &may_happen, 1).far_deadline(),
        Case::new("both-offline", &["safe", "unsafe"], &at_one_place, 1).offline(),
        Case::new("two-lanes-late", &["safe", "urgent-unsafe"], &may_happen, 1).deadline(2),
        Case::new("two-lanes", &["unsafe", "urgent-safe"], &may_happen, 1),
        Case::new("unsafe-three", &["unsafe"], &awkward, 3),
        Case::new("safe-three", &["safe"], &awkward, 3),
        Case::new("unsafe-roll-back", &["unsafe"], &lossy, 2),
        Case::new("safe-roll-back", &["safe"], &[RollBack, EdgeCrash, Delay], 2),
        Case::new(
            "both-pairs",
            &["safe", "unsafe"],
            &[EdgeCrash, Delay, LateReply, Cancel],
            2,
        ),
        Case::new("unsafe-pairs", &["unsafe"], &may_happen, 2),
        Case::new("safe-pairs", &["safe"], &at_one_place, 2).far_deadline(),
    ]
}

/// The one that every test run explores.
#[must_use]
pub fn tiny() -> Case {
    Case::new(
        "tiny",
        &["unsafe"],
        &[Fault::EdgeCrash, Fault::Reconnect, Fault::Cancel],
        1,
    )
}
