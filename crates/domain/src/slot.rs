//! The model of one store slot: what Redis holds under one hash tag, as plain maps, with every operation
//! that the scripts offer. The scripts must leave Redis exactly as these functions leave the model; the
//! parity test drives both with the same events. The simulation uses the model as its store.
//!
//! Left out: time to live (the model keeps what Redis forgets), leases of pods, and the barrier.

mod accept;
mod claim;
mod connection;
mod dead;
mod due;
mod events;
mod outbox;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::command::{Attempt, Command, Lane, Status};
use crate::ids::{ChargePointId, CommandId, Incarnation, Micros, PodId, Sequence, Version};
use crate::settings::DeliverySettings;

pub use accept::{AcceptRefusal, AcceptReply};
pub use connection::{RegisterRefusal, RegisterReply, Registration};
pub use dead::{DeadEntry, DeadLetter, DeadLetterReason, FORGOTTEN_A_ROUND, Replay, ReplayReply};
pub use due::DueReply;
pub use events::{Applied, EventInput};
pub use outbox::{Note, NoteKind, OutboxEntry, OutboxKind};

/// Arrivals within a priority: the queue's score is `(3 - priority) * ARRIVALS + arrival`.
pub const ARRIVALS: u64 = 1 << 40;

/// What every mutating operation is told besides its own arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Redis time, read once.
    pub now: Micros,
    /// Later than this the operation refuses.
    pub not_after: Micros,
    /// The store epoch as the caller knows it.
    pub epoch: &'a str,
    /// Jitter for a backoff that the operation may have to set.
    pub jitter: crate::settings::Jitter,
}

/// The operation ran too late and did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store ran the operation after its time limit")]
pub struct TooLate;

/// One claimed dispatch: everything that goes into the record for the edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claimed {
    /// The command, as claimed.
    pub command: Command,
}

/// What the store knows of one charger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    /// The pod of the last registration.
    pub pod: Option<PodId>,
    /// Its life.
    pub incarnation: Incarnation,
    /// The last version, kept by the tombstone.
    pub version: Version,
    /// The edge's counter at the last registration.
    pub sequence: Sequence,
    /// The version that the present socket got first.
    pub first_version: Version,
    /// False: a tombstone.
    pub connected: bool,
    /// When the registration lapses.
    pub expires: Micros,
    /// When it was made.
    pub registered: Micros,
    /// The OCPP subprotocol.
    pub ocpp_version: String,
    /// The command in the normal lane.
    pub normal: Option<CommandId>,
    /// The command in the urgent lane.
    pub urgent: Option<CommandId>,
    /// Commands that have not ended.
    pub open: u32,
    /// Results so far.
    pub results: u64,
    /// How often the command that waits longest in the normal lane was overtaken.
    pub overtakes: u32,
}

impl Device {
    /// A charger that was never seen.
    #[must_use]
    pub fn unseen() -> Self {
        Self {
            pod: None,
            incarnation: Incarnation(0),
            version: Version(0),
            sequence: Sequence(0),
            first_version: Version(0),
            connected: false,
            expires: Micros(0),
            registered: Micros(0),
            ocpp_version: String::new(),
            normal: None,
            urgent: None,
            open: 0,
            results: 0,
            overtakes: 0,
        }
    }

    /// True while there is a route to it.
    #[must_use]
    pub fn has_route(&self, now: Micros) -> bool {
        self.connected && self.expires > now
    }

    /// What a lane holds.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> Option<CommandId> {
        match lane {
            Lane::Normal => self.normal,
            Lane::Urgent => self.urgent,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Option<CommandId> {
        match lane {
            Lane::Normal => &mut self.normal,
            Lane::Urgent => &mut self.urgent,
        }
    }
}

/// An idempotency key's entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyEntry {
    /// The command that it names.
    pub id: CommandId,
    /// The hash of what it covers.
    pub content_hash: String,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotModel {
    /// Durations and bounds.
    pub settings: DeliverySettings,
    /// Chargers.
    pub devices: BTreeMap<ChargePointId, Device>,
    /// Open and retained commands.
    pub commands: BTreeMap<CommandId, Command>,
    /// Queues: per charger, score to command.
    pub queues: BTreeMap<ChargePointId, BTreeMap<u64, CommandId>>,
    /// Timers: every open command has exactly one.
    pub due: BTreeMap<CommandId, Micros>,
    /// Idempotency keys.
    pub keys: BTreeMap<(ChargePointId, String), KeyEntry>,
    /// Commands accepted so far.
    pub arrivals: u64,
    /// Outbox entries so far.
    pub outbox_numbers: u64,
    /// Results waiting to leave.
    pub outbox: BTreeMap<u64, OutboxEntry>,
    /// Kicks and cancels waiting to be confirmed, by charger and name.
    pub notes: BTreeMap<(ChargePointId, String), Note>,
    /// Attempts that are over, of open commands and of dead letters.
    pub attempts: BTreeMap<CommandId, Vec<Attempt>>,
    /// Dead letters.
    pub dead_letters: BTreeMap<CommandId, DeadEntry>,
    /// When timers were last looked at, or when the slot last got a timer; 0 for never.
    pub last_round: Micros,
    /// Until then the timers of delivered commands wait, because their answers may wait in the edges.
    pub hold: Micros,
}

impl SlotModel {
    /// An empty slot.
    #[must_use]
    pub fn new(settings: DeliverySettings) -> Self {
        Self {
            settings,
            devices: BTreeMap::new(),
            commands: BTreeMap::new(),
            queues: BTreeMap::new(),
            due: BTreeMap::new(),
            keys: BTreeMap::new(),
            arrivals: 0,
            outbox_numbers: 0,
            outbox: BTreeMap::new(),
            notes: BTreeMap::new(),
            attempts: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            last_round: Micros(0),
            hold: Micros(0),
        }
    }

    /// What is wrong with the slot: the invariants that hold after every operation, as sentences.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, command) in &self.commands {
            let open = !command.progress.status.is_terminal();
            if open != self.due.contains_key(id) {
                wrong.push(format!("{id}: open is {open}, but its timer says otherwise"));
            }
            if open && self.due.get(id) != Some(&crate::delivery::next_due(command)) {
                wrong.push(format!(
                    "{id}: its timer is not the earlier of timer and deadline"
                ));
            }
            let queued = self.queue_has(&command.request.charge_point, command.score);
            if queued != (command.progress.status == Status::Pending) {
                wrong.push(format!(
                    "{id}: {:?} but queued is {queued}",
                    command.progress.status
                ));
            }
        }
        for id in self.dead_letters.keys() {
            if self.commands.get(id).and_then(DeadLetterReason::of).is_none() {
                wrong.push(format!("{id}: kept as a dead letter, which it is not"));
            }
        }
        for (id, device) in &self.devices {
            self.audit_device(id, device, &mut wrong);
        }
        wrong
    }

    fn audit_device(&self, id: &ChargePointId, device: &Device, wrong: &mut Vec<String>) {
        let open = self
            .commands
            .values()
            .filter(|c| c.request.charge_point == *id && !c.progress.status.is_terminal());
        if open.count() != device.open as usize {
            wrong.push(format!("{id}: counts {} open commands", device.open));
        }
        for lane in Lane::ALL {
            let held = device.lane(lane).and_then(|c| self.commands.get(&c));
            let fine = held.is_none_or(|c| {
                matches!(c.progress.status, Status::Sent | Status::Delivered)
                    && c.request.priority.lane() == lane
            });
            if !fine || (device.lane(lane).is_some() && held.is_none()) {
                wrong.push(format!("{id}: its {lane:?} lane holds what is not on its way"));
            }
        }
    }

    fn queue_has(&self, id: &ChargePointId, score: u64) -> bool {
        self.queues.get(id).is_some_and(|q| q.contains_key(&score))
    }

    fn device(&mut self, id: &ChargePointId) -> &mut Device {
        self.devices.entry(id.clone()).or_insert_with(Device::unseen)
    }
}

/// Too late, or go on.
fn in_time(call: &Call) -> Result<(), TooLate> {
    if call.now > call.not_after {
        Err(TooLate)
    } else {
        Ok(())
    }
}
