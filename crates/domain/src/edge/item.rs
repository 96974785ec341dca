//! What an edge tells a router.

use crate::command::Answer;
use crate::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Nonce, Sequence, Version};

/// One thing an edge says about a charger or a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Item {
    /// A charger connected, or its connection is registered again.
    Register {
        /// The charger.
        charge_point: ChargePointId,
        /// The life that registers.
        incarnation: Incarnation,
        /// Which registration.
        sequence: Sequence,
        /// The version that this socket got first, 0 for a new one.
        first_version: Version,
        /// The OCPP subprotocol.
        ocpp_version: &'static str,
    },
    /// A charger disconnected.
    Unregister {
        /// The charger.
        charge_point: ChargePointId,
        /// The life that registered it.
        incarnation: Incarnation,
        /// The version that ended.
        version: Version,
    },
    /// Connections that are still held.
    RenewConnections {
        /// Names this item, unique among the machines of the process.
        request: u64,
        /// The life that holds them.
        incarnation: Incarnation,
        /// They.
        connections: Vec<(ChargePointId, Version)>,
    },
    /// May an unsafe command be written?
    Intent {
        /// The dispatch.
        dispatch: DispatchRef,
        /// Fresh for each record taken.
        nonce: Nonce,
    },
    /// What this intent was for was not written and never will be under it.
    NonWrite {
        /// The dispatch.
        dispatch: DispatchRef,
        /// The intent.
        nonce: Nonce,
    },
    /// The command was written.
    Written {
        /// The dispatch.
        dispatch: DispatchRef,
    },
    /// A record was not taken.
    Refusal {
        /// The dispatch.
        dispatch: DispatchRef,
        /// The life that refuses.
        incarnation: Incarnation,
        /// Why.
        reason: RefusalReason,
    },
    /// The charger answered.
    Answer {
        /// The command.
        id: CommandId,
        /// The charger.
        charge_point: ChargePointId,
        /// What it said.
        answer: Answer,
    },
    /// A kick or a cancel was carried out, or can have no effect any more.
    NoteDone {
        /// The charger.
        charge_point: ChargePointId,
        /// The note's name.
        note: String,
    },
}

/// Names one dispatch of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DispatchRef {
    /// The command.
    pub id: CommandId,
    /// The charger.
    pub charge_point: ChargePointId,
    /// The claim.
    pub dispatch: DispatchNumber,
    /// The connection version that it was for.
    pub version: Version,
}

/// Why a record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// Other version, or the charger is not here.
    StaleRoute,
    /// The edge cannot write now.
    NotReady,
}

/// The name of the note that carries a kick.
pub(super) fn kick_note(incarnation: Incarnation, version: Version) -> String {
    format!("kick:{incarnation}:{version}")
}

/// The name of the note that carries a cancel.
pub(super) fn cancel_note(id: CommandId) -> String {
    format!("cancel:{id}")
}
