//! The edge's part of the delivery protocol without I/O: which record is taken, when a CALL may be written,
//! what the router is told, and what is remembered and repeated until somebody confirmed it.
//!
//! [`EdgeMachine`] gets inputs with the time and gives outputs. It neither reads a clock nor draws a number:
//! nonces come from the caller. Left out: sockets, OCPP framing, Kafka, the link, and the lease itself, whose
//! end by the monotonic clock comes in with every input.

mod connection;
mod fingerprint;
mod item;
mod machine;
mod memory;
mod order;
mod record;
mod recover;
mod write;

use crate::command::{Answer, Priority, RedeliveryClass};
use crate::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, Sequence, Version};
use crate::mutant::{self, Mutant};

pub use item::{DispatchRef, Item, RefusalReason};
pub use machine::EdgeMachine;

/// What an edge knows of the time when something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeTime {
    /// The monotonic clock.
    pub mono_us: u64,
    /// The latest that Redis time can be: deadlines and grants are judged by it.
    pub redis_upper: Micros,
    /// When the own lease ends by the monotonic clock; 0 while there is none.
    pub lease_until_mono_us: u64,
}

impl EdgeTime {
    /// Whether the own lease is surely held.
    #[must_use]
    pub fn lease_is_held(&self) -> bool {
        self.mono_us < self.lease_until_mono_us || mutant::active(Mutant::StaleLease)
    }

    /// When the monotonic clock will show a Redis time, if the two clocks keep their distance.
    fn mono_at(&self, at: Micros) -> u64 {
        self.mono_us
            .saturating_add(at.0.saturating_sub(self.redis_upper.0))
    }
}

/// The durations and bounds of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EdgeSettings {
    /// What was sent and neither confirmed nor refused is sent again after this.
    pub resend_us: u64,
    /// First pause after a failure; it doubles up to sixteenfold.
    pub retry_us: u64,
    /// Connections registered again a tick.
    pub registers_per_tick: usize,
    /// Connections renewed a tick.
    pub renewals_per_tick: usize,
    /// Every connection is renewed once within this.
    pub renew_interval_us: u64,
    /// Records that may wait for one charger; further ones are refused.
    pub max_waiting: usize,
    /// How long a command is remembered beyond its deadline, or after an answer to a command not remembered.
    pub memory_us: u64,
    /// Answers to unknown commands that may wait for their confirmation; further ones are forwarded once.
    pub max_strangers: usize,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000;
        Self {
            resend_us: 5 * SECOND,
            retry_us: SECOND / 2,
            registers_per_tick: 200,
            renewals_per_tick: 2_000,
            renew_interval_us: 300 * SECOND,
            max_waiting: 8,
            memory_us: 60 * SECOND,
            max_strangers: 1_024,
        }
    }
}

/// Names one socket for as long as the process lives; the caller never gives a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket(pub u64);

/// One dispatch of a command, as it came from Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoutedCommand {
    /// The command.
    pub id: CommandId,
    /// The charger.
    pub charge_point: ChargePointId,
    /// The OCPP action.
    pub action: String,
    /// The OCPP payload, a JSON object.
    pub payload: String,
    /// Its priority.
    pub priority: Priority,
    /// Safe or unsafe to repeat.
    pub class: RedeliveryClass,
    /// Not written at or after this.
    pub deadline: Micros,
    /// Grows with every claim of the command.
    pub dispatch: DispatchNumber,
    /// The connection version that the dispatch is for.
    pub version: Version,
    /// The number that the write would have, from 1.
    pub attempt: u32,
    /// How long the charger may take to answer.
    pub answer_timeout_us: u64,
}

/// What can happen at an edge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// A charger's WebSocket opened.
    Opened {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
        /// The OCPP subprotocol.
        ocpp_version: &'static str,
    },
    /// It closed. What was handed to it and surely not written was reported by `NotWritten` before.
    Closed {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
    },
    /// The router registered a connection.
    Registered {
        /// The charger.
        charge_point: ChargePointId,
        /// Which registration.
        sequence: Sequence,
        /// The connection's version.
        version: Version,
    },
    /// The router refused: a newer socket of the charger is registered.
    RegisterRefused {
        /// The charger.
        charge_point: ChargePointId,
        /// Which registration.
        sequence: Sequence,
    },
    /// A dispatch for one life of this pod.
    Record {
        /// That life.
        incarnation: Incarnation,
        /// The dispatch.
        command: RoutedCommand,
    },
    /// A connection was displaced by one at another edge.
    Kick {
        /// The life of this pod that held it.
        incarnation: Incarnation,
        /// The charger.
        charge_point: ChargePointId,
        /// The displaced version.
        version: Version,
    },
    /// A command was cancelled.
    Cancel {
        /// The life of this pod that it was sent to.
        incarnation: Incarnation,
        /// The charger.
        charge_point: ChargePointId,
        /// The command.
        id: CommandId,
        /// Until when it must be remembered.
        deadline: Micros,
    },
    /// An intent was granted.
    Grant {
        /// The command.
        id: CommandId,
        /// Which intent.
        nonce: Nonce,
        /// Not written at or after this.
        write_before: Micros,
    },
    /// An intent speaks of a dispatch that is no longer current.
    IntentRefused {
        /// The command.
        id: CommandId,
        /// Which intent.
        nonce: Nonce,
    },
    /// A non-write is durable.
    NonWriteConfirmed {
        /// The command.
        id: CommandId,
        /// Which intent.
        nonce: Nonce,
    },
    /// An answer is durable.
    AnswerConfirmed {
        /// The command.
        id: CommandId,
        /// Who answered; none where the router could not read that.
        charge_point: Option<ChargePointId>,
    },
    /// Something could not be applied and is to be repeated later.
    Failed(Failed),
    /// Which of the renewed connections the store no longer knows.
    ConnectionsRenewed {
        /// The request.
        request: u64,
        /// The chargers.
        lost: Vec<ChargePointId>,
    },
    /// The CALL left by the socket.
    Wrote {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
        /// The command.
        id: CommandId,
    },
    /// The CALL was handed to the socket, but surely no byte of it was written, nor will be.
    NotWritten {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
        /// The command.
        id: CommandId,
    },
    /// The charger answered a command, at whatever time and over whatever connection.
    Answer {
        /// The charger.
        charge_point: ChargePointId,
        /// The command.
        id: CommandId,
        /// What it said.
        answer: Answer,
    },
    /// The charger did not answer a CALL in time.
    CallTimeout {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
        /// The command.
        id: CommandId,
    },
    /// There is a link to a router.
    LinkUp,
    /// There is none.
    LinkDown,
    /// The pod has a new life: every connection registers again.
    IncarnationTaken(Incarnation),
    /// The lease is over.
    LeaseLapsed,
    /// The lease was confirmed once more: routers know the highest version that this edge holds.
    LeaseRenewed,
    /// The store may have lost something: all connections are verified, and registrations wait for one renewal.
    EpochChanged,
    /// Time passes; due several times a second.
    Tick,
}

/// What could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Failed {
    /// A registration.
    Register(ChargePointId),
    /// A renewal of connections.
    Renewal(u64),
    /// Something about a command.
    Command(CommandId),
}

/// What an edge must do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Output {
    /// Tell a router.
    ToRouter(Item),
    /// Write a CALL, after a last [`EdgeMachine::may_write`], and say `Wrote` or `NotWritten`.
    Write(Box<Write>),
    /// Close a socket; its end is then reported as usual.
    Close {
        /// The charger.
        charge_point: ChargePointId,
        /// Its socket.
        socket: Socket,
        /// Why.
        why: CloseReason,
    },
}

/// A CALL to be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    /// The charger.
    pub charge_point: ChargePointId,
    /// Its socket.
    pub socket: Socket,
    /// The command, whose id is the messageId.
    pub id: CommandId,
    /// The OCPP action.
    pub action: String,
    /// The OCPP payload.
    pub payload: String,
    /// How long the charger may take to answer.
    pub answer_timeout_us: u64,
    /// What the write rests on.
    pub terms: Terms,
}

/// What a write rests on; for the history, which a checker judges writes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The dispatch.
    pub dispatch: DispatchNumber,
    /// The connection version that the dispatch is for.
    pub version: Version,
    /// The life of the pod that the connection is registered under.
    pub incarnation: Incarnation,
    /// The number of the write, from 1.
    pub attempt: u32,
    /// Safe or unsafe to repeat.
    pub class: RedeliveryClass,
    /// The grant's nonce; none for a safe command.
    pub nonce: Option<Nonce>,
    /// Its priority.
    pub priority: Priority,
    /// Not written at or after this.
    pub deadline: Micros,
}

/// Why an edge closes a socket of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The charger opened another one here.
    Replaced,
    /// The charger is connected to another edge.
    Displaced,
}

#[cfg(test)]
mod tests;
