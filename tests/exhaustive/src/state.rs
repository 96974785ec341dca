//! One state of the small world: the store, the edges, the charger, what is under way, and what the judge
//! remembers. Leaves out how it changes, which is `world`.

use domain::command::{Answer, Deadline, Request};
use domain::edge::{EdgeMachine, EdgeTime, Input, Item, Socket};
use domain::ids::{ChargePointId, CommandId, Incarnation, LinkNumber, Micros, PodId, Slot, Version};
use domain::slot::{Claimed, SlotModel};

use crate::cases::{Budget, Case, CommandSpec};
use crate::judge::Judge;
use crate::part::Part;
use crate::scale::{ANSWER_TICKS, START_TICK, TICK_US, delivery_settings, edge_settings, micros};

/// Edges, and routers.
pub(crate) const PAIR: usize = 2;
/// Most commands of a case.
pub const COMMANDS_MAX: usize = 2;

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The clock.
    pub(crate) now: u8,
    /// The run is over.
    pub(crate) over: bool,
    /// Until then no router looks after timers; 0 while they do.
    pub(crate) stalled_until: u8,
    /// What may still go wrong.
    pub(crate) left: Budget,
    /// Whether the durability barrier is kept.
    pub(crate) barrier: bool,
    /// Commands that callers have sent, in their order.
    pub(crate) sent: u8,
    pub(crate) store: Part<Store>,
    /// The slot as it was when something last passed the barrier; kept where it may roll back.
    pub(crate) durable: Option<Part<SlotModel>>,
    pub(crate) edges: [Part<Edge>; PAIR],
    pub(crate) charger: Charger,
    pub(crate) net: Vec<Envelope>,
    pub(crate) judge: Judge,
}

/// What Redis holds: the slot and the pods' leases.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) slot: SlotModel,
    pub(crate) pods: [Pod; PAIR],
    /// Grows with every roll-back.
    pub(crate) epoch: u8,
}

/// A pod's lease record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pod {
    pub(crate) incarnation: Incarnation,
    pub(crate) link: LinkNumber,
    pub(crate) expires: Micros,
    pub(crate) suspect: bool,
    pub(crate) floor: Version,
}

/// An edge process and the sockets that it believes to have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) machine: EdgeMachine,
    pub(crate) alive: bool,
    /// Paused until this tick; 0 while it runs.
    pub(crate) wakes: u8,
    /// A router.
    pub(crate) link: Option<u8>,
    pub(crate) link_number: LinkNumber,
    /// When an edge that is dead, or without a link, must be back at last.
    pub(crate) back_by: u8,
    pub(crate) incarnation: Incarnation,
    pub(crate) lease_until_us: u64,
    pub(crate) epoch: u8,
    /// CALLs handed to connections and not written yet.
    pub(crate) mail: Vec<(Socket, CommandId)>,
    pub(crate) call: Option<Call>,
    /// A CALL whose socket has not said that it took it, and when the write times out.
    pub(crate) hanging: Option<Call>,
    pub(crate) sockets: u64,
    pub(crate) nonces: u64,
    /// Its tick is due at this time of the clock.
    pub(crate) tick_due: bool,
}

/// A CALL that a connection waits for, or is still writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) socket: Socket,
    pub(crate) id: CommandId,
    /// When it times out.
    pub(crate) until: u8,
}

/// The charger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Charger {
    /// The edge and the socket of its connection.
    pub(crate) connection: Option<(u8, Socket)>,
    /// CALLs that it received and has not answered, by command: those that it answers at once.
    pub(crate) owes: [u8; COMMANDS_MAX],
    /// Those that it answers some time.
    pub(crate) owes_late: [u8; COMMANDS_MAX],
    /// Whether its log holds a CALL and the reply.
    pub(crate) replied: [bool; COMMANDS_MAX],
}

/// A message under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Envelope {
    pub(crate) message: Part<Message>,
    /// It may stay under way for any time.
    pub(crate) late: bool,
}

/// What is under way. Nothing is ordered: any message may overtake any other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Message {
    /// An edge's word to a router.
    Up {
        /// The pod.
        edge: u8,
        /// The router.
        router: u8,
        /// The link that it came by, and a reply goes by.
        link: LinkNumber,
        /// The word.
        item: Item,
    },
    /// A router's word to an edge.
    Down {
        /// The pod.
        edge: u8,
        /// As the machine takes it.
        input: Input,
    },
    /// A claim in a router's memory.
    Claim {
        /// The router.
        router: u8,
        /// The claim.
        claimed: Box<Claimed>,
    },
    /// A record in Kafka.
    Record {
        /// The pod whose lane it is in.
        edge: u8,
        /// As the machine takes it.
        input: Input,
    },
    /// A router noticed that a link broke.
    Suspect {
        /// The router.
        router: u8,
        /// The pod.
        edge: u8,
        /// Its life.
        incarnation: Incarnation,
        /// The link.
        link: LinkNumber,
    },
    /// An edge will notice that a socket is closed.
    SocketEnd {
        /// The pod.
        edge: u8,
        /// The socket.
        socket: Socket,
    },
}

impl State {
    /// The beginning: edges up with leases, the charger connected where the case has it so, no command yet.
    pub(crate) fn first(case: &Case) -> Self {
        let slot = SlotModel::new(delivery_settings());
        let pods = [Pod::default(); PAIR];
        let mut state = Self {
            now: START_TICK,
            over: false,
            stalled_until: 0,
            left: Budget::new(&case.faults, case.faults_together),
            barrier: case.barrier,
            sent: 0,
            store: Part::new(Store { slot, pods, epoch: 1 }),
            durable: None,
            edges: [Part::new(Edge::new()), Part::new(Edge::new())],
            charger: Charger::default(),
            net: Vec::new(),
            judge: Judge::default(),
        };
        state.start(case);
        state.seal();
        state
    }

    /// Ends a change: hashes are right again, and equal sets of messages are equal.
    pub(crate) fn seal(&mut self) {
        self.store.seal();
        self.edges.iter_mut().for_each(Part::seal);
        self.drop_what_is_spent();
        self.net.sort_by_key(|e| (e.message.digest(), e.late));
    }

    /// Puts a message under way.
    pub(crate) fn post(&mut self, message: Message) {
        self.net.push(Envelope {
            message: Part::new(message),
            late: false,
        });
    }

    /// Redis time.
    pub(crate) fn time(&self) -> Micros {
        micros(self.now)
    }
}

impl Edge {
    pub(crate) fn new() -> Self {
        Self {
            machine: EdgeMachine::new(edge_settings(), 0, 1),
            alive: false,
            wakes: 0,
            link: None,
            link_number: LinkNumber(0),
            back_by: 0,
            incarnation: Incarnation(0),
            lease_until_us: 0,
            epoch: 0,
            mail: Vec::new(),
            call: None,
            hanging: None,
            sockets: 0,
            nonces: 0,
            tick_due: false,
        }
    }

    /// Whether it does anything.
    pub(crate) fn runs(&self) -> bool {
        self.alive && self.wakes == 0
    }

    /// Whether a connection has a CALL to write, and is not still writing one.
    pub(crate) fn has_mail(&self) -> bool {
        let next = self.mail.first();
        next.is_some_and(|(socket, _)| self.hanging.is_none_or(|hanging| hanging.socket != *socket))
    }

    /// Whether it takes chargers.
    pub(crate) fn is_ready(&self, now: u8) -> bool {
        self.runs() && self.link.is_some() && self.incarnation.0 > 0 && self.holds_lease(now)
    }

    /// Whether its lease lasts, by its own reckoning.
    pub(crate) fn holds_lease(&self, now: u8) -> bool {
        micros(now).0 < self.lease_until_us
    }

    /// What it knows of the time.
    pub(crate) fn time(&self, now: u8) -> EdgeTime {
        EdgeTime {
            mono_us: micros(now).0,
            redis_upper: micros(now),
            lease_until_mono_us: self.lease_until_us,
        }
    }
}

/// The charger's name.
pub(crate) fn charge_point() -> ChargePointId {
    ChargePointId::parse("c").unwrap_or_else(|_| unreachable!("a letter is a name"))
}

/// The name of an edge's pod.
pub(crate) fn pod(edge: u8) -> PodId {
    PodId::parse(if edge == 0 { "a" } else { "b" }).unwrap_or_else(|_| unreachable!("a letter is a name"))
}

/// The edge of a pod.
pub(crate) fn edge_of(pod: &PodId) -> u8 {
    u8::from(pod.as_str() != "a")
}

/// The id of a command.
pub(crate) fn command_id(command: usize) -> CommandId {
    let n = u8::try_from(command).unwrap_or(0);
    CommandId::new(u64::from(n) + 1, [n; 10], Slot(0))
}

/// The number of a command's id.
pub(crate) fn command_of(id: CommandId) -> usize {
    usize::from(id != command_id(0))
}

/// What a caller asks for.
pub(crate) fn request(case: &Case, command: usize, spec: CommandSpec) -> Request {
    Request {
        id: command_id(command),
        charge_point: charge_point(),
        action: String::new(),
        payload: String::new(),
        priority: spec.priority,
        class: spec.class,
        max_attempts: case.max_attempts,
        answer_timeout_us: u64::from(ANSWER_TICKS) * TICK_US,
        deadline: Deadline::After(u64::from(case.deadline_ticks) * TICK_US),
        idempotency: None,
        replay_of: None,
    }
}

/// What the charger says.
pub(crate) fn answer() -> Answer {
    Answer::Result(String::new())
}
