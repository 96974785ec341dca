//! What Redis holds and what a script does to it: the slots by `domain::slot`, the leases by `leases`.

use std::collections::BTreeMap;

use domain::command::{Command, Request};
use domain::ids::{ChargePointId, CommandId, Incarnation, LinkNumber, Micros, PodId, Slot, Version};
use domain::settings::Jitter;
use domain::slot::{Call, Device, EventInput, Registration, SlotModel, TooLate};

use super::Said;
use super::leases::Pod;
use crate::plan::{Plan, SECOND};

/// How long a drain lease lasts.
const DRAIN_LEASE_US: u64 = 5 * SECOND / 2;

/// Everything.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    pub(crate) slots: Vec<SlotModel>,
    pub(super) pods: Vec<Pod>,
    /// Whether it matters over which link a request about a lease came.
    pub(super) heeds_links: bool,
    /// Who drains a slot, and until when.
    drains: Vec<(u64, Micros)>,
}

/// A connection that its edge says it holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) charge_point: ChargePointId,
    pub(crate) pod: usize,
    pub(crate) incarnation: Incarnation,
    pub(crate) version: Version,
}

/// One script with its arguments.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Accept(Box<Request>),
    Register(Box<Registration>),
    Renew(usize, Vec<Held>),
    Unregister(ChargePointId, Incarnation, Version),
    Apply(usize, Vec<EventInput>),
    /// Timers of a slot, at most so many, that have been due for so long.
    RunDue(usize, usize, u64),
    Drain(usize, u64, usize),
    Trim(usize, Vec<u64>, Vec<(ChargePointId, String)>),
    NoteDone(ChargePointId, String),
    Get(CommandId),
    Link(usize, Incarnation),
    Take {
        pod: usize,
        /// The link that it came over.
        link: LinkNumber,
        last: Incarnation,
        process: u64,
        shard: usize,
    },
    RenewLease {
        pod: usize,
        link: LinkNumber,
        incarnation: Incarnation,
        floor: Version,
        shard: Option<usize>,
    },
    Suspect(usize, Incarnation, LinkNumber),
    Draining(usize, Incarnation),
    Lease(usize),
    Leases,
}

/// What every script is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallFacts {
    pub(crate) now: Micros,
    pub(crate) not_after: Micros,
    pub(crate) epoch: u32,
    pub(crate) jitter: u16,
}

impl Op {
    /// Whether it changes anything.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Self::Get(_) | Self::Lease(_) | Self::Leases)
    }

    /// Whether its reply must not be seen before it is durable.
    pub(crate) fn is_behind_the_barrier(&self) -> bool {
        matches!(
            self,
            Self::Accept(_)
                | Self::Register(_)
                | Self::Renew(..)
                | Self::Apply(..)
                | Self::RunDue(..)
                | Self::Drain(..)
                | Self::Get(_)
                | Self::Take { .. }
        )
    }
}

impl Data {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            slots: (0..plan.slots)
                .map(|_| SlotModel::new(plan.settings.clone()))
                .collect(),
            pods: vec![Pod::default(); plan.edges],
            heeds_links: plan.heeds_links,
            drains: vec![(0, Micros(0)); usize::from(plan.slots)],
        }
    }

    /// How many commands are open.
    pub(crate) fn open_commands(&self) -> usize {
        let commands = self.slots.iter().flat_map(|s| s.commands.values());
        commands.filter(|c| !c.progress.status.is_terminal()).count()
    }

    /// A command.
    pub(crate) fn command(&self, id: CommandId) -> Option<&Command> {
        self.slots.get(self.slot_of_id(id))?.commands.get(&id)
    }

    /// The newest open command of every charger but one.
    pub(crate) fn newest_of_others(&self, but: &ChargePointId) -> Vec<CommandId> {
        let mut newest: BTreeMap<&ChargePointId, CommandId> = BTreeMap::new();
        for command in self.slots.iter().flat_map(|s| s.commands.values()) {
            if !command.progress.status.is_terminal() && command.request.charge_point != *but {
                newest.insert(&command.request.charge_point, command.request.id);
            }
        }
        newest.into_values().collect()
    }

    /// What is known of a charger.
    pub(crate) fn device(&self, charge_point: &ChargePointId) -> Option<&Device> {
        self.slots[self.slot_of(charge_point)].devices.get(charge_point)
    }

    /// The slot of a charger.
    pub(crate) fn slot_of(&self, charge_point: &ChargePointId) -> usize {
        usize::from(charge_point.slot(self.slot_count()).0)
    }

    /// The slot of a command.
    pub(crate) fn slot_of_id(&self, id: CommandId) -> usize {
        usize::from(id.slot(self.slot_count()).unwrap_or(Slot(0)).0)
    }

    fn slot_count(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(1)
    }

    /// Executes a script.
    pub(crate) fn execute(&mut self, op: Op, facts: &CallFacts) -> Result<Said, TooLate> {
        let epoch = format!("e{}", facts.epoch);
        let call = &Call {
            now: facts.now,
            not_after: facts.not_after,
            epoch: &epoch,
            jitter: Jitter(facts.jitter),
        };
        match op {
            Op::Accept(request) => {
                let slot = self.slot_of(&request.charge_point);
                Ok(Said::Accepted(self.slots[slot].accept(*request, call)?))
            }
            Op::Register(r) => {
                let slot = self.slot_of(&r.charge_point);
                Ok(Said::Registered(self.slots[slot].register(&r, call)?))
            }
            Op::Renew(slot, held) => self.renew(slot, &held, call),
            Op::Unregister(charge_point, incarnation, version) => {
                let slot = self.slot_of(&charge_point);
                let done = self.slots[slot].unregister(&charge_point, incarnation, version, call)?;
                Ok(Said::Done(done))
            }
            Op::Apply(slot, inputs) => self.apply(slot, &inputs, call),
            Op::Get(id) => Ok(Said::Command(self.command(id).cloned().map(Box::new))),
            other => self.execute_rest(other, call),
        }
    }

    fn execute_rest(&mut self, op: Op, call: &Call) -> Result<Said, TooLate> {
        Ok(match op {
            Op::RunDue(slot, limit, late_us) => {
                let slot = &mut self.slots[slot];
                let reply = slot.run_overdue(limit, late_us, call)?;
                let (handled, claimed) = (reply.handled, reply.claimed);
                let leaving = slot.outbox.len() + slot.notes.len();
                Said::Due {
                    handled,
                    claimed,
                    leaving,
                }
            }
            Op::Drain(slot, holder, limit) => self.drain(slot, holder, limit, call.now),
            Op::Trim(slot, numbers, notes) => {
                self.slots[slot].outbox_done(&numbers);
                for (charge_point, name) in notes {
                    self.slots[slot].note_done(&charge_point, &name);
                }
                Said::Done(true)
            }
            Op::NoteDone(charge_point, name) => {
                let slot = self.slot_of(&charge_point);
                Said::Done(self.slots[slot].note_done(&charge_point, &name))
            }
            other => self.execute_lease(&other, call.now),
        })
    }

    fn renew(&mut self, slot: usize, held: &[Held], call: &Call) -> Result<Said, TooLate> {
        let (mut current, mut claimed) = (Vec::new(), Vec::new());
        for one in held {
            let Ok(pod) = PodId::parse(&format!("edge-{}", one.pod)) else {
                continue;
            };
            let held = (&one.charge_point, &pod, one.incarnation, one.version);
            let (is_current, more) = self.slots[slot].renew(held, true, call)?;
            current.push(is_current);
            claimed.extend(more);
        }
        Ok(Said::Renewed(current, claimed))
    }

    fn apply(&mut self, slot: usize, inputs: &[EventInput], call: &Call) -> Result<Said, TooLate> {
        let mut applied = Vec::new();
        for (n, input) in (0_u16..).zip(inputs) {
            let jitter = Jitter(call.jitter.0.wrapping_add(n.wrapping_mul(40_503)));
            applied.push(self.slots[slot].apply(input, &Call { jitter, ..*call })?);
        }
        Ok(Said::Applied(applied))
    }

    fn drain(&mut self, slot: usize, holder: u64, limit: usize, now: Micros) -> Said {
        let drain = &mut self.drains[slot];
        if drain.0 != holder && drain.1 > now {
            return Said::Drained {
                held: false,
                entries: vec![],
                notes: vec![],
            };
        }
        *drain = (holder, now.plus(DRAIN_LEASE_US));
        let entries = self.slots[slot].outbox_head(limit);
        let notes = self.slots[slot].notes_to_send(now, limit);
        Said::Drained {
            held: true,
            entries,
            notes,
        }
    }
}
