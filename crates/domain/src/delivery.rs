//! The one place that decides what becomes of a command.
//!
//! `step` is a pure function of a command, an event and the time. What it decides depends on a small
//! [`Cell`] only (status, class and a few yes/no facts), so the whole decision is a finite table:
//! [`table::all`] enumerates it, and the store renders that table into its Lua scripts. A script works out
//! the cell, looks the outcome up and applies it; it decides nothing itself.

mod decide;
pub mod table;

use crate::command::{AttemptOutcome, Command, FailureReason, Mark, RedeliveryClass, Status};
use crate::ids::{DispatchNumber, Incarnation, Micros, Nonce, Version};
use crate::mutant::{self, Mutant};

pub use decide::decide;

/// What can happen to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Work is due and the charger has a route: claim it for dispatch.
    Claim,
    /// The edge asks to write an unsafe command.
    Intent,
    /// The edge wrote the command.
    Written,
    /// The edge did not write under its grant and never will.
    NonWrite,
    /// The edge holds another version of the connection, or none.
    StaleRoute,
    /// The edge took the record but cannot write now.
    NotReady,
    /// The record did not reach Kafka, or the pod of the route has no live lease.
    Undelivered,
    /// The command's own timer is due; the status says which timer that is.
    Timer,
    /// The deadline passed.
    Deadline,
    /// A caller takes it back.
    Cancel,
    /// The charger registered with a newer version.
    Displaced,
    /// The charger answered.
    Answer,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Claim,
        Self::Intent,
        Self::Written,
        Self::NonWrite,
        Self::StaleRoute,
        Self::NotReady,
        Self::Undelivered,
        Self::Timer,
        Self::Deadline,
        Self::Cancel,
        Self::Displaced,
        Self::Answer,
    ];

    /// Its name in the rendered table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Intent => "intent",
            Self::Written => "written",
            Self::NonWrite => "nonwrite",
            Self::StaleRoute => "stale",
            Self::NotReady => "notready",
            Self::Undelivered => "undelivered",
            Self::Timer => "timer",
            Self::Deadline => "deadline",
            Self::Cancel => "cancel",
            Self::Displaced => "displaced",
            Self::Answer => "answer",
        }
    }

    /// What of an event must equal the command's for the event to fit.
    #[must_use]
    pub fn fence(self) -> Fence {
        match self {
            Self::Intent | Self::NonWrite => Fence::DispatchAndNonce,
            Self::Written | Self::StaleRoute | Self::NotReady | Self::Undelivered => Fence::Dispatch,
            Self::Claim | Self::Timer | Self::Deadline | Self::Cancel | Self::Displaced | Self::Answer => {
                Fence::Open
            }
        }
    }
}

/// The compare of the compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Fits whatever the dispatch.
    Open,
    /// Dispatch number and version.
    Dispatch,
    /// Those and, once a grant exists, its nonce.
    DispatchAndNonce,
}

/// An event with what its fence compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The dispatch that it speaks of.
    pub dispatch: DispatchNumber,
    /// The version that it speaks of.
    pub version: Version,
    /// The nonce that it speaks of.
    pub nonce: Nonce,
    /// The incarnation of the edge that speaks; compared only where a refusal tombstones a connection.
    pub incarnation: Incarnation,
}

impl Event {
    /// An event that carries no fence.
    #[must_use]
    pub fn open(kind: EventKind) -> Self {
        Self {
            kind,
            dispatch: DispatchNumber(0),
            version: Version(0),
            nonce: Nonce(0),
            incarnation: Incarnation(0),
        }
    }
}

/// Everything about a command that a decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// Where the command is.
    pub status: Status,
    /// Safe or unsafe.
    pub class: RedeliveryClass,
    /// Was claimed before, or was open across a change of the store's epoch: it may have been written.
    pub exposed: bool,
    /// Another write is allowed.
    pub attempts_left: bool,
    /// An end that was asked for.
    pub mark: Mark,
    /// The event's fence holds.
    pub fits: bool,
}

impl Cell {
    /// The cell of a command as an event sees it.
    #[must_use]
    pub fn of(command: &Command, event: &Event, epoch: &str) -> Self {
        let p = &command.progress;
        Self {
            status: p.status,
            class: command.request.class,
            exposed: p.dispatch.0 > 0 || command.epoch != epoch,
            attempts_left: p.attempts < command.request.max_attempts,
            mark: p.mark,
            fits: fits(command, event),
        }
    }
}

/// Where the command stands in the charger's queue and window afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// As before.
    Keep,
    /// Into its lane, out of the queue.
    Lane,
    /// Back into the queue at its old place; the lane is free.
    Queue,
    /// Out of both: it only waits for its settlement.
    Aside,
    /// Out of everything.
    Gone,
}

/// How the command's timer is set; the deadline is always watched beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// As before.
    Keep,
    /// None.
    Clear,
    /// The lease of the claim.
    DispatchLease,
    /// The answer timer.
    Answer,
    /// When an unsafe command's outcome is given up: end of the grant, the answer timeout and one pod lease.
    Settle,
    /// No claim before a backoff has passed.
    Backoff,
}

/// What the attempt counter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempts {
    /// As before.
    Keep,
    /// One more write.
    Spend,
    /// A granted write did not happen.
    Return,
}

/// Something besides the command that changes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// Record the nonce and the end of the grant.
    Grant,
    /// Tell the edge of the last route to suppress the command.
    CancelNote,
    /// Tombstone the connection that the event names, if it is still the current one.
    TombstoneRoute,
}

/// What the sender of the event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It took effect.
    Applied,
    /// It had taken effect before.
    Repeated,
    /// It was noted: the command is out and its outcome is awaited.
    Noted,
    /// It speaks of something that is no longer so.
    Stale,
    /// The command has ended.
    Ended,
}

impl Verdict {
    /// Its name in the scripts' replies.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Repeated => "repeated",
            Self::Noted => "noted",
            Self::Stale => "stale",
            Self::Ended => "ended",
        }
    }
}

/// The decision for one cell and event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// What the sender is told.
    pub verdict: Verdict,
    /// The change, if there is one.
    pub change: Option<Change>,
}

/// A change of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// Its new status, perhaps the old one.
    pub to: Status,
    /// The reason if it failed.
    pub reason: Option<FailureReason>,
    /// It ends, but may have been written.
    pub possibly_written: bool,
    /// The attempt counter.
    pub attempts: Attempts,
    /// Its place.
    pub place: Place,
    /// Its timer.
    pub timer: Timer,
    /// A new mark, or none to keep the old one.
    pub mark: Option<Mark>,
    /// What else changes.
    pub also: Also,
    /// The attempt that was out is over, and worth remembering: what became of it.
    pub attempt_over: Option<AttemptOutcome>,
}

impl Change {
    /// Terminal transitions that are dead letters, not answers or cancellations.
    #[must_use]
    pub fn is_dead_letter(&self) -> bool {
        matches!(self.to, Status::Failed | Status::Expired)
    }
}

/// The decision with the command's next progress computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// What the sender is told.
    pub verdict: Verdict,
    /// The change that was decided, if any; the holder of the slot applies place and effects.
    pub change: Option<Change>,
}

/// Decides what an event does to a command.
#[must_use]
pub fn step(command: &Command, event: &Event, epoch: &str) -> Transition {
    let outcome = decide(Cell::of(command, event, epoch), event.kind);
    Transition {
        verdict: outcome.verdict,
        change: outcome.change,
    }
}

/// Which timer event is due for a command at a time, if any. The deadline comes first; it is not asked
/// again once it was marked.
#[must_use]
pub fn due(command: &Command, now: Micros) -> Option<EventKind> {
    let p = &command.progress;
    if p.status.is_terminal() {
        return None;
    }
    if command.deadline <= now && p.mark == Mark::None {
        return Some(EventKind::Deadline);
    }
    (p.timer.0 > 0 && p.timer <= now).then_some(EventKind::Timer)
}

/// When a command's next timer is due: the earlier of its timer and its deadline, which is watched until
/// it was marked.
#[must_use]
pub fn next_due(command: &Command) -> Micros {
    let p = &command.progress;
    match (p.timer.0 > 0, p.mark == Mark::None) {
        (true, true) => p.timer.min(command.deadline),
        (true, false) => p.timer,
        (false, _) => command.deadline,
    }
}

fn fits(command: &Command, event: &Event) -> bool {
    let p = &command.progress;
    let version = p.route.as_ref().map_or(Version(0), |r| r.version);
    let dispatch = p.dispatch.0 > 0 && p.dispatch == event.dispatch && version == event.version;
    if mutant::active(Mutant::SkipFence) {
        return true;
    }
    match event.kind.fence() {
        Fence::Open => true,
        Fence::Dispatch => dispatch,
        // A claim carries no nonce yet; a delivery by a mere notice never has one, and none fits it.
        Fence::DispatchAndNonce => dispatch && (p.status == Status::Sent || p.nonce == event.nonce),
    }
}

#[cfg(test)]
mod tests;
