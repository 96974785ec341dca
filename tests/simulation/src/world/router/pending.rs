//! What a router waits for: replies of the store, reports of Kafka, and who waits for them.

use std::collections::VecDeque;
use std::rc::Rc;

use domain::command::Route;
use domain::edge::Item;
use domain::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Nonce, Version};
use domain::slot::{Claimed, Note, OutboxEntry, Registration};

use super::told::Told;

/// A request without a reply.
pub(in crate::world) struct Call {
    pub(in crate::world) sent_at: u64,
    pub(in crate::world) late: bool,
    pub(in crate::world) then: Then,
}

/// What is done with a reply.
pub(in crate::world) enum Then {
    Accept {
        call: usize,
        round: u32,
        id: CommandId,
    },
    Get {
        call: usize,
        round: u32,
    },
    FloorFor(Box<(u64, Registration)>),
    Register {
        wire: u64,
        charge_point: ChargePointId,
        sequence: u64,
    },
    Renew {
        join: u64,
        slot: usize,
        charge_points: Vec<ChargePointId>,
    },
    Unregister(Box<(ChargePointId, Incarnation, Version, u32)>),
    Apply {
        slot: usize,
        origins: Vec<Origin>,
    },
    Due {
        slot: usize,
    },
    Drain {
        slot: usize,
    },
    Trim {
        slot: usize,
    },
    LeaseFor {
        pod: usize,
        begun: u64,
        claimed: Box<(Told, Claimed)>,
    },
    LeaseForNote {
        pod: usize,
        begun: u64,
        slot: usize,
        note: Rc<(ChargePointId, Note)>,
    },
    Link {
        wire: u64,
        edge: usize,
    },
    Take {
        wire: u64,
        request: u64,
    },
    RenewLease {
        wire: u64,
        request: u64,
        incarnation: Incarnation,
    },
    Nothing,
}

/// Who sent an event.
#[derive(Debug)]
pub(in crate::world) enum Origin {
    Link {
        wire: u64,
        item: Box<Item>,
        nonce: Nonce,
    },
    GiveBack,
    Cancel {
        call: usize,
        round: u32,
    },
}

/// A record without a report.
pub(in crate::world) enum Reporting {
    Dispatch {
        id: CommandId,
        route: Route,
        dispatch: DispatchNumber,
    },
    Entry {
        slot: usize,
        chain: usize,
    },
    Note {
        slot: usize,
    },
}

/// A renewal of connections in several slots.
pub(in crate::world) struct Join {
    pub(in crate::world) wire: u64,
    pub(in crate::world) request: u64,
    pub(in crate::world) left: usize,
    pub(in crate::world) failed: bool,
    pub(in crate::world) lost: Vec<ChargePointId>,
}

/// One charger's entries on their way out, the first one first.
pub(in crate::world) type Chain = VecDeque<(Rc<(u64, OutboxEntry)>, bool)>;
