//! What the machine knows of a connection and of a command. Leaves out what follows from it.

use super::{DispatchRef, RoutedCommand, Socket};
use crate::command::{Answer, Priority, RedeliveryClass};
use crate::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, Sequence, Version};

/// A connection. A million of these live in one process, so what an idle one does not need is in [`Work`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Conn {
    pub(super) socket: Socket,
    /// The registration in flight, or the last one.
    pub(super) sequence: Sequence,
    /// 0 until the first registration is answered.
    pub(super) version: Version,
    /// The version that this socket got first.
    pub(super) first_version: Version,
    /// The life under which it got `version`.
    pub(super) incarnation: Incarnation,
    pub(super) ocpp_version: &'static str,
    pub(super) registering: bool,
    /// Which part of the renewal round it belongs to.
    pub(super) bucket: u8,
    pub(super) work: Option<Box<Work>>,
}

/// What a connection has while something is going on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Work {
    /// The command whose CALL occupies the connection.
    pub(super) busy: Option<CommandId>,
    /// What was taken and not written, in the order of writing.
    pub(super) waiting: Vec<Waiting>,
    /// Records of a version that the registration in flight may bring.
    pub(super) held: Vec<RoutedCommand>,
    /// The newest kick that the registration in flight may concern.
    pub(super) held_kick: Option<Version>,
    /// When the registration is sent again; 0 while it is not planned.
    pub(super) register_at: u64,
    pub(super) register_tries: u32,
}

/// A command's place in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub(super) priority: Priority,
    pub(super) arrival: u64,
    pub(super) id: CommandId,
}

impl Conn {
    /// The work, allocated where there was none.
    pub(super) fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Frees the work where nothing is going on.
    pub(super) fn trim(&mut self) {
        let idle = |w: &Work| w.busy.is_none() && w.waiting.is_empty() && w.held.is_empty();
        if !self.registering && self.work.as_deref().is_some_and(idle) {
            self.work = None;
        }
    }

    /// Whether the CALL slot is taken, and by what.
    pub(super) fn busy(&self) -> Option<CommandId> {
        self.work.as_ref().and_then(|w| w.busy)
    }

    /// Frees the CALL slot if this command has it.
    pub(super) fn free_slot(&mut self, id: CommandId) -> bool {
        match self.work.as_mut() {
            Some(work) if work.busy == Some(id) => {
                work.busy = None;
                true
            }
            _ => false,
        }
    }

    /// Takes a command out of the order of writing.
    pub(super) fn unqueue(&mut self, id: CommandId) {
        if let Some(work) = &mut self.work {
            work.waiting.retain(|w| w.id != id);
        }
    }

    /// Puts a command into the order of writing: the higher priority first, then the earlier arrival.
    pub(super) fn queue(&mut self, entry: Waiting) {
        let waiting = &mut self.work().waiting;
        let order = |w: &Waiting| (std::cmp::Reverse(w.priority), w.arrival);
        let at = waiting.partition_point(|w| order(w) < order(&entry));
        waiting.insert(at, entry);
    }
}

/// A command that this edge wrote, answered, dropped or is about to write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Remembered {
    pub(super) charge_point: ChargePointId,
    pub(super) class: RedeliveryClass,
    pub(super) priority: Priority,
    pub(super) deadline: Micros,
    /// The highest dispatch seen, and its version.
    pub(super) dispatch: DispatchNumber,
    pub(super) version: Version,
    /// The highest attempt that was or may have been written; 0 for none.
    pub(super) written_attempt: u32,
    pub(super) cancelled: bool,
    pub(super) stage: Stage,
    /// Intents under which nothing was and will be written, until that is durable.
    pub(super) non_writes: Vec<(Nonce, DispatchRef)>,
    /// When what is unconfirmed is sent again; 0 while nothing is.
    pub(super) again_at: u64,
    pub(super) tries: u32,
    /// The one alarm of this command.
    pub(super) alarm_at: u64,
    /// Only an answer made it known.
    pub(super) stranger: bool,
    /// What another charger answered while this one's answer was unconfirmed: one of them is forged.
    pub(super) rival: Option<Box<(ChargePointId, Answer)>>,
}

/// Where a command is at this edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// Not written, and not here any more.
    Gone,
    /// Taken.
    Waiting(Box<Content>),
    /// An intent was sent.
    Asking(Box<Content>, Nonce),
    /// A grant came, the CALL slot did not.
    Granted(Box<Content>, Grant),
    /// Handed to the socket.
    Writing(Writing),
    /// Written. Timed out: its CALL slot was given up.
    Written { timed_out: bool },
    /// Answered, and no router confirmed it yet.
    Answered(Answer),
    /// Answered and confirmed.
    Settled,
}

/// A permission to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Grant {
    pub(super) nonce: Nonce,
    pub(super) write_before: Micros,
}

/// A CALL between the machine and the socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Writing {
    pub(super) socket: Socket,
    /// The dispatch that it is written under; a later record may be adopted meanwhile.
    pub(super) dispatch: DispatchRef,
    pub(super) grant: Option<Grant>,
    /// `written_attempt` before, in case nothing is written.
    pub(super) attempt_before: u32,
}

/// What a write needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Content {
    pub(super) action: String,
    pub(super) payload: String,
    pub(super) attempt: u32,
    pub(super) answer_timeout_us: u64,
}

impl Remembered {
    /// A command of which nothing was seen yet.
    pub(super) fn new(charge_point: ChargePointId, class: RedeliveryClass, deadline: Micros) -> Self {
        Self {
            charge_point,
            class,
            priority: Priority::Normal,
            deadline,
            dispatch: DispatchNumber(0),
            version: Version(0),
            written_attempt: 0,
            cancelled: false,
            stage: Stage::Gone,
            non_writes: Vec::new(),
            again_at: 0,
            tries: 0,
            alarm_at: 0,
            stranger: false,
            rival: None,
        }
    }

    /// The highest dispatch seen.
    pub(super) fn dispatch_ref(&self, id: CommandId) -> DispatchRef {
        DispatchRef {
            id,
            charge_point: self.charge_point.clone(),
            dispatch: self.dispatch,
            version: self.version,
        }
    }

    /// Whether no router said yet which charger it is for: only an answer made it known.
    pub(super) fn is_hearsay(&self) -> bool {
        self.stranger && self.dispatch.0 == 0 && !self.cancelled
    }

    /// Whether it waits for a confirmation that may be lost.
    pub(super) fn is_unconfirmed(&self) -> bool {
        !self.non_writes.is_empty() || matches!(self.stage, Stage::Asking(..) | Stage::Answered(_))
    }

    /// Whether it is taken and unwritten.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(
            self.stage,
            Stage::Waiting(_) | Stage::Asking(..) | Stage::Granted(..)
        )
    }

    /// Whether nothing depends on it but the memory of what happened.
    pub(super) fn is_forgettable(&self) -> bool {
        let over = matches!(
            self.stage,
            Stage::Gone | Stage::Settled | Stage::Written { timed_out: true }
        );
        over && self.non_writes.is_empty()
    }
}
