//! The judge: it sees every operation of the store and every write, and remembers which invariant of the
//! reliability page was broken. What it remembers of the past is part of the state.

use domain::command::{Command, FailureReason, RedeliveryClass, Status};
use domain::delivery::{Event, EventKind, Fence, Verdict};
use domain::ids::{DispatchNumber, Incarnation, Version};
use domain::slot::{Device, OutboxKind, SlotModel};
use serde::Serialize;

use crate::cases::Case;
use crate::scale::{DISPATCH_BASE, VERSION_BASE, micros};
use crate::state::{COMMANDS_MAX, Edge, Pod, State, command_id};

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// 1: no open command at the end of the run.
    NoneOpenAtTheEnd,
    /// 4: a terminal state never changes.
    EndsStay,
    /// 5: acknowledged, so the charger's log holds the CALL and its reply.
    AnswersAreReal,
    /// 7: an answer ends an open command.
    AnswersEnd,
    /// 8: what speaks of an old dispatch or version changes nothing.
    StaleIsRefused,
    /// 9: versions strictly increase.
    VersionsGrow,
    /// 10: no write without a lease.
    WritesHoldALease,
    /// 11: the end of an old socket never removes a newer registration.
    OldEndsAreHarmless,
    /// 12: at most one CALL in flight on a connection.
    OneCallInFlight,
    /// 14: no write after the deadline.
    NoWriteAfterDeadline,
    /// 15: writes are bounded; an unsafe command is written once, under a recorded intent, and not after its end.
    WritesAreBounded,
    /// 16: every open command has exactly one timer, and the slot's own audit finds nothing.
    OpenMeansTimed,
    /// 18: an end is published exactly once by the outbox.
    EndsArePublished,
    /// 23: while the charger is there and the deadline far, nothing expires.
    NothingIsStuck,
}

impl Invariant {
    /// Every one, with its name in reports.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::NoneOpenAtTheEnd, "1 no open command at the bounded end"),
        (Self::EndsStay, "4 a terminal state never changes"),
        (Self::AnswersAreReal, "5 an answer is in the charger's log"),
        (Self::AnswersEnd, "7 an answer ends an open command"),
        (Self::StaleIsRefused, "8 what is stale is refused"),
        (Self::VersionsGrow, "9 versions grow"),
        (Self::WritesHoldALease, "10 no write without a lease"),
        (
            Self::OldEndsAreHarmless,
            "11 an old socket's end removes no newer route",
        ),
        (Self::OneCallInFlight, "12 one CALL in flight"),
        (Self::NoWriteAfterDeadline, "14 no write after the deadline"),
        (
            Self::WritesAreBounded,
            "15 writes are bounded, unsafe ones single",
        ),
        (Self::OpenMeansTimed, "16 open means exactly one timer"),
        (Self::EndsArePublished, "18 an end is published once"),
        (
            Self::NothingIsStuck,
            "23 nothing expires while the charger is there",
        ),
    ];
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct End {
    status: Status,
    reason: Option<FailureReason>,
    possibly_written: bool,
    answered: bool,
}

/// What the judge remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Judge {
    broken: u16,
    version: Version,
    ends: [Option<End>; COMMANDS_MAX],
    published: [u8; COMMANDS_MAX],
    dispatches: [u64; COMMANDS_MAX],
    writes: [u8; COMMANDS_MAX],
}

/// What the store held of the charger and a command before an operation.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    device: Option<Device>,
    command: Option<Command>,
}

impl Before {
    /// Remembers what an operation may change.
    pub(crate) fn of(slot: &SlotModel, command: Option<usize>) -> Self {
        Self {
            device: slot.devices.values().next().cloned(),
            command: command.and_then(|c| slot.commands.get(&command_id(c)).cloned()),
        }
    }
}

impl Judge {
    /// An invariant does not hold.
    pub(crate) fn blame(&mut self, invariant: Invariant) {
        self.broken |= 1 << invariant as u16;
    }

    /// Whether an invariant held so far.
    pub(crate) fn holds(&self, invariant: Invariant) -> bool {
        self.broken & (1 << invariant as u16) == 0
    }

    /// Whether any was broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken != 0
    }

    /// How a command ended, if it did.
    pub(crate) fn ended(&self, command: usize) -> Option<(Status, Option<FailureReason>)> {
        self.ends[command].map(|end| (end.status, end.reason))
    }

    /// The highest version so far.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The number of a new claim: above every one before, also above those that a roll-back took away, since in
    /// production the clock is above them.
    pub(crate) fn next_dispatch(&mut self, command: usize) -> DispatchNumber {
        self.dispatches[command] += 1;
        DispatchNumber(DISPATCH_BASE + self.dispatches[command])
    }

    /// How many commands ended.
    pub(crate) fn ends(&self) -> usize {
        self.ends.iter().flatten().count()
    }

    /// How often a command was written.
    pub(crate) fn writes(&self, command: usize) -> u8 {
        self.writes[command]
    }

    /// Looks at the whole slot after an operation, and takes the outbox.
    pub(crate) fn see_slot(&mut self, slot: &mut SlotModel, replied: [bool; COMMANDS_MAX]) {
        for (_, entry) in std::mem::take(&mut slot.outbox) {
            if matches!(entry.kind, OutboxKind::Ended { .. }) {
                self.published[crate::state::command_of(entry.command.request.id)] += 1;
            }
        }
        for (command, replied) in replied.into_iter().enumerate() {
            if let Some(held) = slot.commands.get(&command_id(command)) {
                self.see_end(command, held, replied);
            }
        }
        if !slot.audit().is_empty() {
            self.blame(Invariant::OpenMeansTimed);
        }
        let version = slot.devices.values().next().map_or(Version(0), |d| d.version);
        self.version = self.version.max(version);
    }

    fn see_end(&mut self, command: usize, held: &Command, replied: bool) {
        let p = &held.progress;
        let end = p.status.is_terminal().then_some(End {
            status: p.status,
            reason: p.reason,
            possibly_written: p.possibly_written,
            answered: p.answer.is_some(),
        });
        if self.ends[command].is_some() && self.ends[command] != end {
            self.blame(Invariant::EndsStay);
        }
        self.ends[command] = end;
        if u8::from(end.is_some()) != self.published[command] {
            self.blame(Invariant::EndsArePublished);
        }
        if p.status == Status::Acknowledged && !(replied && self.writes[command] > 0) {
            self.blame(Invariant::AnswersAreReal);
        }
    }

    /// A registration was answered with a version.
    pub(crate) fn see_version(&mut self, before: &Before, version: Version, repeated: bool) {
        let old = before.device.as_ref().map_or(Version(0), |d| d.version);
        let fine = if repeated {
            version == old
        } else {
            version > old && version > self.version
        };
        if !fine {
            self.blame(Invariant::VersionsGrow);
        }
    }

    /// A connection's end was reported: of a route that is not this one, nothing changes.
    pub(crate) fn see_unregister(
        &mut self,
        before: &Before,
        after: &SlotModel,
        (incarnation, version): (Incarnation, Version),
    ) {
        let other = |d: &Device| d.connected && (d.version, d.incarnation) != (version, incarnation);
        let was_other = before.device.as_ref().is_some_and(other);
        if was_other && after.devices.values().next().is_some_and(|d| !d.connected) {
            self.blame(Invariant::OldEndsAreHarmless);
        }
    }

    /// An event was applied. What follows it in the same step, a claim, is not its doing.
    pub(crate) fn see_event(&mut self, before: &Before, after: &SlotModel, event: &Event, verdict: Verdict) {
        let Some(old) = &before.command else { return };
        let new = after.commands.get(&old.request.id);
        let p = &old.progress;
        let version = p.route.as_ref().map_or(Version(0), |r| r.version);
        let named = p.dispatch == event.dispatch && version == event.version;
        let fits = match event.kind.fence() {
            Fence::Open => true,
            Fence::Dispatch => named,
            Fence::DispatchAndNonce => named && (p.status != Status::Delivered || p.nonce == event.nonce),
        };
        let took = !matches!(verdict, Verdict::Stale | Verdict::Ended);
        if !fits && (took || new.is_none_or(|c| c.progress.attempts != p.attempts && c.progress.ended.0 == 0))
        {
            self.blame(Invariant::StaleIsRefused);
        }
        let ended = new.is_some_and(|c| c.progress.status.is_terminal());
        if event.kind == EventKind::Answer && !ended {
            self.blame(Invariant::AnswersEnd);
        }
    }

    /// A CALL is written.
    pub(crate) fn see_write(&mut self, command: usize, write: &Writing<'_>) {
        let now = micros(write.now);
        let lease = now.0 < write.edge.lease_until_us
            && now < write.pod.expires
            && write.edge.incarnation == write.pod.incarnation;
        if !lease {
            self.blame(Invariant::WritesHoldALease);
        }
        if write.busy {
            self.blame(Invariant::OneCallInFlight);
        }
        let Some(held) = write.slot.commands.get(&command_id(command)) else {
            return self.blame(Invariant::WritesAreBounded);
        };
        if now >= held.deadline {
            self.blame(Invariant::NoWriteAfterDeadline);
        }
        self.writes[command] += 1;
        let bounded = match held.request.class {
            RedeliveryClass::Unsafe => self.writes[command] == 1 && held.progress.status == Status::Delivered,
            // Declared bound 1, with every registration so far as a change of version.
            RedeliveryClass::Safe => {
                let versions = self.version.0.saturating_sub(VERSION_BASE);
                let lost = u64::from(write.roll_backs) * u64::from(held.request.max_attempts);
                u64::from(self.writes[command]) <= u64::from(held.request.max_attempts) + versions + 1 + lost
            }
        };
        if !bounded {
            self.blame(Invariant::WritesAreBounded);
        }
    }

    /// The run is over.
    pub(crate) fn see_end_of_run(&mut self, case: &Case, slot: &SlotModel) {
        let open = |c: &&Command| !c.progress.status.is_terminal();
        if slot.commands.values().any(|c| open(&c)) || slot.commands.len() != case.commands.len() {
            self.blame(Invariant::NoneOpenAtTheEnd);
        }
        let expired = slot
            .commands
            .values()
            .any(|c| c.progress.status == Status::Expired);
        if expired && case.deadline_is_far {
            self.blame(Invariant::NothingIsStuck);
        }
    }
}

/// The circumstances of a write.
pub(crate) struct Writing<'a> {
    pub(crate) now: u8,
    pub(crate) edge: &'a Edge,
    pub(crate) pod: &'a Pod,
    pub(crate) slot: &'a SlotModel,
    /// A CALL is in flight on the connection.
    pub(crate) busy: bool,
    /// How often the store lost something.
    pub(crate) roll_backs: u8,
}

impl State {
    /// Whether an invariant held so far.
    pub(crate) fn holds(&self, invariant: Invariant) -> bool {
        self.judge.holds(invariant)
    }
}
