//! A command and what may be said of it. Which change is allowed when is decided in `delivery`.

mod attempt;

use serde::{Deserialize, Serialize};

use crate::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, PodId, Version};

pub use attempt::{ATTEMPTS_KEPT, Attempt, AttemptOutcome, remember};

/// Where a command is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Waits in the charger's queue.
    Pending,
    /// Claimed for dispatch.
    Sent,
    /// Granted, or noticed as written.
    Delivered,
    /// The charger answered.
    Acknowledged,
    /// See the reason.
    Failed,
    /// The deadline passed.
    Expired,
    /// A caller took it back.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Sent,
        Self::Delivered,
        Self::Acknowledged,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// True once nothing can change any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self >= Self::Acknowledged
    }

    /// The letter that stands for it in Redis.
    #[must_use]
    pub fn code(self) -> char {
        match self {
            Self::Pending => 'P',
            Self::Sent => 'S',
            Self::Delivered => 'D',
            Self::Acknowledged => 'A',
            Self::Failed => 'F',
            Self::Expired => 'E',
            Self::Cancelled => 'C',
        }
    }

    /// The status of a letter.
    #[must_use]
    pub fn from_code(code: char) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }
}

/// 0 low to 3 urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// 0
    Low,
    /// 1
    Normal,
    /// 2
    High,
    /// 3
    Urgent,
}

impl Priority {
    /// Every priority, lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// 0 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The priority of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The lane that carries it.
    #[must_use]
    pub fn lane(self) -> Lane {
        if self == Self::Urgent {
            Lane::Urgent
        } else {
            Lane::Normal
        }
    }
}

/// The two lanes of a charger's window and of an edge's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Priorities low to high.
    Normal,
    /// Priority urgent.
    Urgent,
}

impl Lane {
    /// Both, the urgent one first: the order in which work is looked for.
    pub const ALL: [Self; 2] = [Self::Urgent, Self::Normal];
}

/// What may be done when it is unknown whether the charger executed the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RedeliveryClass {
    /// Safe to repeat.
    Safe,
    /// Never written again after a possible write.
    Unsafe,
}

impl RedeliveryClass {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Safe, Self::Unsafe];
}

/// An end that was asked for while an unsafe command was out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mark {
    /// None.
    None,
    /// Its deadline passed.
    Deadline,
    /// A caller cancelled it.
    Cancel,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 3] = [Self::None, Self::Deadline, Self::Cancel];

    /// The letter that stands for it in Redis.
    #[must_use]
    pub fn code(self) -> char {
        match self {
            Self::None => '-',
            Self::Deadline => 'd',
            Self::Cancel => 'c',
        }
    }

    /// The mark of a letter.
    #[must_use]
    pub fn from_code(code: char) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.code() == code)
    }
}

/// Why a command is `Failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureReason {
    /// Every attempt was written, none was answered.
    NoAnswer,
    /// Unsafe to repeat, possibly written, never answered.
    OutcomeUnknown,
}

impl FailureReason {
    /// Its name in records and in Redis.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoAnswer => "NO_ANSWER",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
        }
    }

    /// The reason of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::NoAnswer, Self::OutcomeUnknown]
            .into_iter()
            .find(|r| r.name() == name)
    }
}

/// What the charger said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// The payload of its CALLRESULT, JSON, untouched.
    Result(String),
    /// Its CALLERROR: code, description and details as a JSON array.
    Error(String),
}

/// The route of a dispatch: which connection it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The pod.
    pub pod: PodId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The connection's version.
    pub version: Version,
}

/// What a caller asks for; never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// The id.
    pub id: CommandId,
    /// The charger.
    pub charge_point: ChargePointId,
    /// The OCPP action.
    pub action: String,
    /// A JSON object.
    pub payload: String,
    /// 0 to 3.
    pub priority: Priority,
    /// Safe or unsafe.
    pub class: RedeliveryClass,
    /// Most writes.
    pub max_attempts: u32,
    /// How long a written command waits for its answer.
    pub answer_timeout_us: u64,
    /// How long from acceptance it may take; of an accepted command, the moment that it gives up.
    pub deadline: Deadline,
    /// The caller's key and the hash of what it covers; of an accepted command, the key only, of an ended one
    /// none.
    pub idempotency: Option<IdempotencyKey>,
    /// The dead letter that it replays.
    pub replay_of: Option<CommandId>,
}

/// When to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Deadline {
    /// So long after acceptance.
    After(u64),
    /// At a moment, at most `max_us` after acceptance.
    At {
        /// The moment.
        at: Micros,
        /// The configured maximum.
        max_us: u64,
    },
}

/// A key scoped to the charger, with the hash of charger, action, payload and class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// As given, not empty.
    pub key: String,
    /// Hexadecimal, fixed length.
    pub content_hash: String,
}

/// What changes over a command's life.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// Where it is.
    pub status: Status,
    /// Writes, or grants not returned.
    pub attempts: u32,
    /// Returns to `Pending` without a write since the last write.
    pub misses: u32,
    /// The last claim.
    pub dispatch: DispatchNumber,
    /// The route of the last claim.
    pub route: Option<Route>,
    /// The nonce of the grant.
    pub nonce: Nonce,
    /// When the grant ends.
    pub write_before: Micros,
    /// The timer beside the deadline, 0 for none: `Pending` no claim before it, `Sent` lease of the claim,
    /// `Delivered` answer timer or settlement.
    pub timer: Micros,
    /// An end that was asked for.
    pub mark: Mark,
    /// When the attempt that is out was granted or noticed; 0 while none is out.
    pub attempt_at: Micros,
    /// Grows with every change.
    pub revision: u64,
    /// Its reason if `Failed`.
    pub reason: Option<FailureReason>,
    /// Expired or cancelled, though the charger may have received it.
    pub possibly_written: bool,
    /// What the charger said.
    pub answer: Option<Answer>,
    /// When it ended; 0 while it is open.
    pub ended: Micros,
    /// The number of its result among the charger's results; 0 while it is open.
    pub result_sequence: u64,
}

impl Progress {
    /// A command that was just accepted.
    #[must_use]
    pub fn accepted() -> Self {
        Self {
            status: Status::Pending,
            attempts: 0,
            misses: 0,
            dispatch: DispatchNumber(0),
            route: None,
            nonce: Nonce(0),
            write_before: Micros(0),
            timer: Micros(0),
            mark: Mark::None,
            attempt_at: Micros(0),
            revision: 1,
            reason: None,
            possibly_written: false,
            answer: None,
            ended: Micros(0),
            result_sequence: 0,
        }
    }

    /// Ended without an answer, though the charger may have received it. What failed was written, or may have been:
    /// nothing else fails.
    #[must_use]
    pub fn may_have_reached_its_charger(&self) -> bool {
        self.possibly_written || self.status == Status::Failed
    }
}

impl Command {
    /// Drops what nobody asks of a command that has ended, so that it can be kept in little space; what a replay
    /// needs stays with a dead letter.
    pub fn shed(&mut self, dead_letter: bool) {
        if !dead_letter {
            self.request.payload.clear();
            (self.request.max_attempts, self.request.answer_timeout_us) = (0, 0);
        }
        self.request.idempotency = None;
        (self.score, self.epoch) = (0, String::new());
        self.progress = Progress {
            misses: 0,
            dispatch: DispatchNumber(0),
            nonce: Nonce(0),
            write_before: Micros(0),
            timer: Micros(0),
            mark: Mark::None,
            attempt_at: Micros(0),
            ..self.progress.clone()
        };
    }
}

/// A command in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// What was asked.
    pub request: Request,
    /// When it was accepted.
    pub created: Micros,
    /// When it gives up.
    pub deadline: Micros,
    /// Its place: priority, then arrival.
    pub score: u64,
    /// The store epoch that it was accepted under.
    pub epoch: String,
    /// What changes.
    pub progress: Progress,
}
