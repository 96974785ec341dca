//! The machine itself: its state, the dispatch of inputs, and what all its parts use.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::memory::{Conn, Remembered, Stage};
use super::{EdgeSettings, EdgeTime, Input, Item, Output, Socket};
use crate::command::Priority;
use crate::ids::{ChargePointId, CommandId, Incarnation, Nonce, Version};
use crate::mutant::{self, Mutant};

/// The state of one shard of an edge: its connections and what it remembers of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeMachine {
    pub(super) settings: EdgeSettings,
    pub(super) conns: HashMap<ChargePointId, Conn>,
    pub(super) commands: BTreeMap<CommandId, Remembered>,
    /// When which command or connection has to be looked at.
    pub(super) alarms: BTreeSet<(u64, Alarm)>,
    pub(super) link_up: bool,
    pub(super) incarnation: Incarnation,
    /// A changed store epoch: no registration before the routers know every floor.
    pub(super) registers_wait: bool,
    pub(super) highest_version: Version,
    pub(super) sequences: u64,
    pub(super) arrivals: u64,
    pub(super) strangers: usize,
    pub(super) register_queue: VecDeque<ChargePointId>,
    pub(super) renew_queue: VecDeque<ChargePointId>,
    /// Renewals without a reply.
    pub(super) renewals: BTreeMap<u64, Vec<(ChargePointId, Version)>>,
    /// After a failed renewal none is sent before this; grows with each that fails.
    pub(super) renew_after: u64,
    pub(super) renew_tries: u32,
    pub(super) next_request: u64,
    pub(super) request_step: u64,
    pub(super) renew_bucket: u8,
    pub(super) next_bucket_at: u64,
    /// Ended connections, repeated when a link comes up soon after: their report has no confirmation.
    pub(super) unregistered: VecDeque<Unregistered>,
    /// Sockets that were replaced while a CALL was handed to them: what became of it is still to be said.
    pub(super) replaced: BTreeMap<Socket, CommandId>,
}

/// What an alarm is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Alarm {
    /// A command's resend, end of grant, deadline or forgetting.
    Command(CommandId),
    /// A registration without a reply.
    Register(ChargePointId),
    /// Commands that could not be written while the lease was in doubt.
    Pump(ChargePointId),
}

/// A connection that ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unregistered {
    pub(super) at: u64,
    pub(super) charge_point: ChargePointId,
    pub(super) incarnation: Incarnation,
    pub(super) version: Version,
}

/// What one call of the machine works with.
pub(super) struct Cx<'a> {
    pub(super) time: EdgeTime,
    pub(super) nonces: &'a mut dyn FnMut() -> Nonce,
    pub(super) out: &'a mut Vec<Output>,
}

impl EdgeMachine {
    /// A machine without connections. It is the shard `index` of `count`, so that its request numbers differ
    /// from those of the others.
    #[must_use]
    pub fn new(settings: EdgeSettings, index: u64, count: u64) -> Self {
        Self {
            settings,
            conns: HashMap::new(),
            commands: BTreeMap::new(),
            alarms: BTreeSet::new(),
            link_up: false,
            incarnation: Incarnation(0),
            registers_wait: false,
            highest_version: Version(0),
            sequences: 0,
            arrivals: 0,
            strangers: 0,
            register_queue: VecDeque::new(),
            renew_queue: VecDeque::new(),
            renewals: BTreeMap::new(),
            renew_after: 0,
            renew_tries: 0,
            next_request: index,
            request_step: count.max(1),
            renew_bucket: 0,
            next_bucket_at: 0,
            unregistered: VecDeque::new(),
            replaced: BTreeMap::new(),
        }
    }

    /// Takes an input. `nonces` gives random numbers other than 0; what is to be done is appended to `out`.
    #[allow(
        clippy::too_many_lines,
        reason = "one arm an input, so that the compiler sees that none is left out"
    )]
    pub fn handle(
        &mut self,
        time: EdgeTime,
        input: Input,
        nonces: &mut dyn FnMut() -> Nonce,
        out: &mut Vec<Output>,
    ) {
        let cx = &mut Cx { time, nonces, out };
        match input {
            Input::Opened {
                charge_point,
                socket,
                ocpp_version,
            } => self.opened(&charge_point, socket, ocpp_version, cx),
            Input::Closed { charge_point, socket } => self.closed(&charge_point, socket, cx),
            Input::Registered {
                charge_point,
                sequence,
                version,
            } => self.registered(&charge_point, sequence, version, cx),
            Input::RegisterRefused {
                charge_point,
                sequence,
            } => self.register_refused(&charge_point, sequence, cx),
            Input::Record { incarnation, command } => self.record(incarnation, command, cx),
            Input::Kick {
                incarnation,
                charge_point,
                version,
            } => self.kick(incarnation, &charge_point, version, cx),
            Input::Cancel {
                incarnation,
                charge_point,
                id,
                deadline,
            } => self.cancel(incarnation, &charge_point, id, deadline, cx),
            Input::Grant {
                id,
                nonce,
                write_before,
            } => self.granted(id, nonce, write_before, cx),
            Input::IntentRefused { id, nonce } => self.intent_refused(id, nonce, cx),
            Input::NonWriteConfirmed { id, nonce } => self.non_write_confirmed(id, nonce, cx),
            Input::AnswerConfirmed { id, charge_point } => {
                self.answer_confirmed(id, charge_point.as_ref(), cx);
            }
            Input::Failed(failed) => self.failed(failed, cx),
            Input::ConnectionsRenewed { request, lost } => self.renewed(request, &lost, cx),
            Input::Wrote {
                charge_point,
                socket,
                id,
            } => self.wrote(&charge_point, socket, id, cx),
            Input::NotWritten {
                charge_point,
                socket,
                id,
            } => self.not_written(&charge_point, socket, id, cx),
            Input::Answer {
                charge_point,
                id,
                answer,
            } => self.answered(&charge_point, id, answer, cx),
            Input::CallTimeout {
                charge_point,
                socket,
                id,
            } => self.timed_out(&charge_point, socket, id, cx),
            Input::LinkUp => self.link_came_up(cx),
            Input::LinkDown => self.link_up = false,
            Input::IncarnationTaken(incarnation) => self.incarnation_taken(incarnation, cx),
            Input::LeaseLapsed => self.lease_lapsed(cx),
            Input::LeaseRenewed => self.registers_wait = false,
            Input::EpochChanged => self.epoch_changed(),
            Input::Tick => self.tick(cx),
        }
    }

    /// The last look before a write: true only while the own lease is held, the version is current, the deadline
    /// and the grant's end are ahead and nobody cancelled. On false the caller says `NotWritten`.
    #[must_use]
    pub fn may_write(&self, id: CommandId, time: EdgeTime) -> bool {
        let Some(command) = self.commands.get(&id) else {
            return false;
        };
        let Stage::Writing(writing) = &command.stage else {
            return false;
        };
        let current = self
            .conns
            .get(&command.charge_point)
            .is_some_and(|conn| conn.socket == writing.socket && conn.version == writing.dispatch.version);
        // A CALL that waited behind a blocked socket may outlive the life that took it; the version stays until the
        // new life's registration is answered.
        let alive = self.incarnation.0 > 0
            && self
                .conns
                .get(&command.charge_point)
                .is_some_and(|conn| conn.incarnation == self.incarnation);
        current
            && alive
            && time.lease_is_held()
            && !command.cancelled
            && (time.redis_upper < command.deadline || mutant::active(Mutant::IgnoreDeadline))
            && writing
                .grant
                .is_none_or(|grant| time.redis_upper < grant.write_before)
    }

    /// The priority of a command; normal for one that no record made known.
    #[must_use]
    pub fn priority_of(&self, id: CommandId) -> Priority {
        self.commands
            .get(&id)
            .map_or(Priority::Normal, |command| command.priority)
    }

    /// The highest version of any connection that this machine has seen.
    #[must_use]
    pub fn floor(&self) -> Version {
        self.highest_version
    }

    /// How many chargers are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// How many connections wait for their registration.
    #[must_use]
    pub fn registering(&self) -> usize {
        self.conns.values().filter(|conn| conn.registering).count()
    }

    /// How many commands are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.commands.len()
    }

    /// How many commands have an answer, an intent or a non-write that no router has confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.commands
            .values()
            .filter(|command| command.is_unconfirmed())
            .count()
    }

    /// The connections whose CALL slot is taken.
    #[must_use]
    pub fn busy_sockets(&self) -> BTreeSet<Socket> {
        self.conns
            .values()
            .filter(|conn| conn.busy().is_some())
            .map(|conn| conn.socket)
            .collect()
    }

    /// The socket of a charger's connection; none while it has none.
    #[must_use]
    pub fn socket_of(&self, charge_point: &ChargePointId) -> Option<Socket> {
        self.conns.get(charge_point).map(|conn| conn.socket)
    }

    /// The version of a charger's connection; none while it has none.
    #[must_use]
    pub fn version_of(&self, charge_point: &ChargePointId) -> Option<Version> {
        self.conns
            .get(charge_point)
            .map(|conn| conn.version)
            .filter(|v| v.0 > 0)
    }

    /// Tells the router, if there is one. What must not be lost is remembered by the caller and sent again.
    pub(super) fn send(&self, item: Item, cx: &mut Cx) {
        if self.link_up {
            cx.out.push(Output::ToRouter(item));
        }
    }

    /// Plans the next look at a command: its resend, the end of its grant, its deadline or its forgetting.
    pub(super) fn plan(&mut self, id: CommandId, cx: &Cx) {
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let mut next = cx.time.mono_at(command.deadline.plus(self.settings.memory_us));
        if next <= cx.time.mono_us {
            // Remembered beyond its time, because something is unconfirmed.
            next = cx.time.mono_us.saturating_add(self.settings.resend_us);
        }
        if command.again_at > 0 {
            next = next.min(command.again_at);
        }
        if command.is_unwritten() {
            next = next.min(cx.time.mono_at(command.deadline));
        }
        if let Stage::Granted(_, grant) = &command.stage {
            next = next.min(cx.time.mono_at(grant.write_before));
        }
        // An alarm that is due already is for the next tick: one that repeats itself must not spin.
        let next = next.max(cx.time.mono_us.saturating_add(1));
        let old = std::mem::replace(&mut command.alarm_at, next);
        self.alarms.remove(&(old, Alarm::Command(id)));
        self.alarms.insert((next, Alarm::Command(id)));
    }
}
