//! Everything that can happen, and the messages between the processes.

use std::rc::Rc;

use domain::command::{Answer, Lane};
use domain::dispatch::Lease;
use domain::edge::Item;
use domain::ids::{ChargePointId, CommandId, Incarnation, Micros, Version};

use super::client::{Reply, Rpc};
use super::kafka::Produce;
use super::store::{Request, Response, StoreReply};

/// A place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Router(usize),
    Edge(usize),
    Redis,
    Kafka,
    Clients,
}

/// What happens next. `life` names the process that it was meant for: another one never hears of it.
pub(crate) enum Event {
    Router {
        to: usize,
        life: u32,
        what: RouterEvent,
    },
    Edge {
        to: usize,
        life: u32,
        what: EdgeEvent,
    },
    /// A process that stood still goes on.
    Wake(Node),
    /// A process that died starts anew.
    Start(Node),
    /// A request reaches Redis.
    Redis(Box<Request>),
    /// The replica has everything up to a number; a reply that waited for it may leave.
    Replicated {
        life: u32,
        upto: u64,
        reply: Box<Option<(Request, StoreReply)>>,
    },
    /// Redis flushes to its disk.
    Flush,
    /// A record reaches Kafka.
    Append(Box<Produce>),
    /// A client's call reaches a router.
    Rpc(Box<Rpc>),
    /// A charger tries to connect.
    Dial(usize),
    /// A CALL reaches a charger.
    ToCharger {
        charger: usize,
        connection: u64,
        call: CommandId,
    },
    /// A charger learns that its connection is gone.
    ChargerLost {
        charger: usize,
        connection: u64,
    },
    /// A charger loses its connection once more.
    Flap {
        charger: usize,
        until: u64,
    },
    /// A charger hangs up for good.
    HangUp(usize),
    /// A charger has made up its mind.
    Answer {
        charger: usize,
        answer: Box<(CommandId, Answer)>,
    },
    /// A client begins a call, or a further try of it.
    Call(usize),
    /// A reply reaches a client.
    Reply(Box<Reply>),
    /// A client has waited long enough.
    CallTimeout {
        call: usize,
        round: u32,
    },
    /// A client takes its command back.
    Cancel {
        call: usize,
    },
    /// A client looks what became of its command.
    Look {
        call: usize,
    },
    /// A drained router exits.
    Die {
        router: usize,
        life: u32,
        down_us: u64,
    },
    Fault(usize),
    Mend(usize),
    Heal,
    Audit,
}

/// What happens to a router.
pub(crate) enum RouterEvent {
    /// Time passes.
    Tick,
    /// The timers of a slot are due.
    Due(usize),
    /// What is patient in the queue of a slot has its turn.
    Turn(usize),
    /// Redis replied.
    Store(Box<Response>),
    /// Kafka reported.
    Report { token: u64, stored: bool },
    /// A client calls.
    Rpc(Box<Rpc>),
    /// An edge opens a link.
    LinkOpened { wire: u64, edge: usize, hello: Hello },
    /// An edge says something.
    Up { wire: u64, item: Box<Up> },
    /// A link is gone.
    LinkBroken { wire: u64 },
    /// Canaries are due on a link.
    Canary { wire: u64 },
    /// An unregistration is tried again.
    UnregisterAgain(Box<(ChargePointId, Incarnation, Version, u32)>),
}

/// What happens to an edge.
pub(crate) enum EdgeEvent {
    /// Time passes.
    Tick,
    /// A link is to be opened.
    Connect,
    /// A router says something.
    Down {
        wire: u64,
        item: Box<Down>,
        redis_now: Micros,
    },
    /// The link is gone.
    LinkBroken { wire: u64 },
    /// What lingers on a link leaves.
    Leave { wire: u64 },
    /// There may be records in a lane.
    Fetch { place: u64, lane: Lane },
    /// The consumer of a place stands at the end of its lanes.
    ConsumerOpen { place: u64 },
    /// A charger connects.
    Opened { charger: usize, connection: u64 },
    /// A socket can take something.
    SocketTurn { socket: u64 },
    /// What a socket took has left.
    Flushed { socket: u64, id: CommandId },
    /// A CALL's time is over.
    CallTimer { socket: u64, id: CommandId, number: u64 },
    /// A charger answered.
    Heard {
        socket: u64,
        answer: Box<(CommandId, Answer)>,
    },
    /// A socket is over.
    SocketGone { socket: u64 },
    /// A socket is closed, because the edge drains.
    Closing { socket: u64 },
    /// A drained edge exits.
    Exit { down_us: u64 },
}

/// How an edge greets a router.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hello {
    pub(crate) incarnation: Incarnation,
    pub(crate) process: u64,
}

/// What an edge says to a router.
#[derive(Debug, Clone)]
pub(crate) enum Up {
    Take {
        request: u64,
        last: Incarnation,
    },
    Renew {
        request: u64,
        incarnation: Incarnation,
        floor: Version,
        /// The shard where canaries of late prove that it consumes.
        shard: Option<usize>,
    },
    /// The edge drains.
    Goodbye {
        incarnation: Incarnation,
    },
    Item(Item, Haste),
}

/// Whether something waits for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    Now,
    /// It may wait a little for more of its kind.
    Patient,
}

/// What a router says to an edge.
#[derive(Debug, Clone)]
pub(crate) enum Down {
    Placement {
        link: u64,
        shard: usize,
    },
    Lease {
        request: u64,
        incarnation: Incarnation,
        lease_us: u64,
        epoch: u32,
        /// The place of the request was passed over.
        passed_over: bool,
    },
    LeaseRefused {
        request: u64,
        superseded: bool,
    },
    Failed {
        request: u64,
    },
    Input(domain::edge::Input),
}

/// A record in a lane.
#[derive(Debug, Clone)]
pub(crate) enum ShardRecord {
    Canary { link: u64 },
    Command(Rc<(Incarnation, domain::edge::RoutedCommand)>),
    Note(Rc<(ChargePointId, domain::slot::Note)>),
}

/// A lease as a router read it, and when it began to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cached<T> {
    pub(crate) read_at: Option<u64>,
    pub(crate) value: T,
}

impl<T> Cached<T> {
    pub(crate) fn is_fresh(&self, now: u64, max_age: u64) -> bool {
        self.read_at.is_some_and(|at| now.saturating_sub(at) < max_age)
    }
}

/// The lease of a pod, if it has one.
pub(crate) type MaybeLease = Option<Lease>;

impl Event {
    /// What the digest keeps of it.
    pub(crate) fn code(&self) -> u64 {
        let (kind, who) = match self {
            Self::Router { to, what, .. } => (what.code(), *to as u64),
            Self::Edge { to, what, .. } => (what.code(), *to as u64),
            Self::Wake(_) => (1, 0),
            Self::Start(_) => (2, 0),
            Self::Redis(request) => (3, request.token),
            Self::Replicated { upto, .. } => (4, *upto),
            Self::Flush => (5, 0),
            Self::Append(produce) => (6, produce.token),
            Self::Rpc(rpc) => (7, rpc.call as u64),
            Self::Dial(charger) => (8, *charger as u64),
            Self::ToCharger { connection, .. } => (9, *connection),
            Self::ChargerLost { connection, .. } => (10, *connection),
            Self::Answer { charger, .. } => (11, *charger as u64),
            Self::Call(call) => (12, *call as u64),
            Self::Reply(reply) => (13, reply.call as u64),
            Self::CallTimeout { call, .. } => (14, *call as u64),
            Self::Cancel { call } => (15, *call as u64),
            Self::Look { call } => (16, *call as u64),
            Self::Fault(n) => (17, *n as u64),
            Self::Mend(n) => (18, *n as u64),
            Self::Heal => (19, 0),
            Self::Audit => (20, 0),
            Self::Die { router, .. } => (22, *router as u64),
            Self::Flap { charger, .. } => (21, *charger as u64),
            Self::HangUp(charger) => (23, *charger as u64),
        };
        kind << 48 ^ who
    }
}

impl RouterEvent {
    /// Whether the process does it of its own accord: it is no message.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Tick | Self::Due(_) | Self::Turn(_))
    }

    fn code(&self) -> u64 {
        match self {
            Self::Tick => 30,
            Self::Due(slot) => 31 + ((*slot as u64) << 8),
            Self::Store(_) => 32,
            Self::Report { .. } => 33,
            Self::Rpc(_) => 34,
            Self::LinkOpened { .. } => 35,
            Self::Up { .. } => 36,
            Self::LinkBroken { .. } => 37,
            Self::Canary { .. } => 38,
            Self::UnregisterAgain(_) => 39,
            Self::Turn(slot) => 40 + ((*slot as u64) << 8),
        }
    }
}

impl EdgeEvent {
    /// Whether the process does it of its own accord.
    pub(crate) fn is_own(&self) -> bool {
        matches!(
            self,
            Self::Tick | Self::Leave { .. } | Self::SocketTurn { .. } | Self::CallTimer { .. }
        )
    }

    fn code(&self) -> u64 {
        match self {
            Self::Tick => 50,
            Self::Connect => 51,
            Self::Down { .. } => 52,
            Self::LinkBroken { .. } => 53,
            Self::Fetch { .. } => 54,
            Self::ConsumerOpen { .. } => 55,
            Self::Opened { .. } => 56,
            Self::SocketTurn { .. } => 57,
            Self::Flushed { .. } => 58,
            Self::CallTimer { .. } => 59,
            Self::Heard { .. } => 60,
            Self::SocketGone { .. } => 61,
            Self::Closing { .. } => 62,
            Self::Exit { .. } => 63,
            Self::Leave { .. } => 64,
        }
    }
}
