//! An edge: what `crates/edge` does around `domain::edge::EdgeMachine`, without its threads. Here: its state, its
//! clock, its consumer and the machine's inputs. In `edge/`: the lease, the link, the sockets.

mod keeper;
mod link;
mod socket;

use std::collections::{BTreeMap, VecDeque};

use domain::command::Lane;
use domain::edge::{EdgeMachine, EdgeSettings, EdgeTime, Input, Output};
use domain::ids::{ChargePointId, Incarnation, Micros, Nonce, Version};
use domain::slot::NoteKind;

use super::event::{EdgeEvent, Event, ShardRecord};
use super::process::Process;
use super::{EPOCH_US, Node, World};
use crate::plan::{MS, Plan, Point, SECOND};

use keeper::Keeper;
use link::LinkState;
use socket::Socket;

/// How often an edge looks at its alarms and its lease.
const TICK_US: u64 = 250 * MS;
/// Both lanes must have brought a canary within this.
const FRESH_US: u64 = 5 * SECOND;

/// An edge.
pub(crate) struct Edge {
    pub(super) process: Process<EdgeEvent>,
    machine: EdgeMachine,
    keeper: Keeper,
    /// When the process started: its monotonic clock counts from there.
    born: u64,
    /// Redis time is at most the monotonic time plus this.
    ahead: u64,
    lease_until: u64,
    link: Option<LinkState>,
    sockets: BTreeMap<u64, Socket>,
    consumer: Consumer,
    draining: bool,
    next_router: usize,
}

/// The consumer of the two lanes.
#[derive(Debug, Default)]
struct Consumer {
    open: bool,
    /// The next record of each lane; none before the consumer stood at their ends.
    offsets: Option<[usize; 2]>,
    first_link: u64,
    /// When each lane last brought a canary.
    seen: [Option<u64>; 2],
}

impl Edge {
    pub(super) fn new(n: usize, plan: &Plan) -> Self {
        let settings = EdgeSettings {
            renew_interval_us: plan.settings.connection_ttl_us / 3,
            ..EdgeSettings::default()
        };
        Self {
            process: Process::new(),
            machine: EdgeMachine::new(settings, 0, 1),
            keeper: Keeper::default(),
            born: 0,
            ahead: 0,
            lease_until: 0,
            link: None,
            sockets: BTreeMap::new(),
            consumer: Consumer::default(),
            draining: false,
            next_router: n,
        }
    }

    /// The monotonic clock.
    fn mono(&self, now: u64) -> u64 {
        now - self.born + 1
    }

    /// The time as the machine wants it.
    fn time(&self, now: u64) -> EdgeTime {
        let mono_us = self.mono(now);
        EdgeTime {
            mono_us,
            redis_upper: Micros(mono_us + self.ahead),
            lease_until_mono_us: self.lease_until,
        }
    }

    /// How much it has to tell that nobody confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.machine.unconfirmed()
    }

    /// Whether both lanes are proven.
    fn is_fresh(&self, now: u64) -> bool {
        let fresh = |at: &Option<u64>| at.is_some_and(|at| now.saturating_sub(at) <= FRESH_US);
        self.consumer.open && self.consumer.seen.iter().all(fresh)
    }

    /// Whether it takes chargers.
    fn is_ready(&self, now: u64) -> bool {
        !self.draining
            && self.link.as_ref().is_some_and(|l| l.open)
            && self.keeper.incarnation.0 > 0
            && self.time(now).lease_is_held()
            && self.is_fresh(now)
    }
}

impl World {
    /// An edge starts, with nothing but its configuration.
    pub(super) fn start_edge(&mut self, n: usize) {
        let mut fresh = Edge::new(n, &self.plan);
        std::mem::swap(&mut fresh.process, &mut self.edges[n].process);
        fresh.process.rise();
        fresh.born = self.schedule.now();
        fresh.keeper.process = self.dice.number();
        self.edges[n] = fresh;
        let us = self.dice.between(10, 250) * MS;
        self.plan_edge(n, us, EdgeEvent::Tick);
        self.plan_edge(n, us, EdgeEvent::Connect);
    }

    pub(super) fn plan_edge(&mut self, n: usize, us: u64, what: EdgeEvent) {
        let life = self.edges[n].process.life;
        self.schedule.after(us, Event::Edge { to: n, life, what });
    }

    /// Something happens to an edge.
    pub(super) fn edge_event(&mut self, n: usize, life: u32, what: EdgeEvent) {
        let now = self.schedule.now();
        let Some(what) = self.edges[n].process.admit(life, now, what) else {
            return;
        };
        match what {
            EdgeEvent::Tick => {
                self.plan_edge(n, TICK_US, EdgeEvent::Tick);
                self.edge_input(n, Input::Tick);
                self.link_tick(n);
            }
            EdgeEvent::Connect => self.connect(n),
            EdgeEvent::Down {
                wire,
                item,
                redis_now,
            } => self.down_item(n, wire, *item, redis_now),
            EdgeEvent::LinkBroken { wire } => self.unlink(n, wire),
            EdgeEvent::Fetch { lane } => self.fetch(n, lane),
            EdgeEvent::ConsumerOpen => self.consumer_opens(n),
            EdgeEvent::Opened { charger, connection } => self.socket_opens(n, charger, connection),
            EdgeEvent::SocketTurn { socket } => self.socket_turn(n, socket),
            EdgeEvent::Flushed { socket, id } => self.flushed(n, socket, id),
            EdgeEvent::CallTimer { socket, id, number } => self.call_timer(n, socket, id, number),
            EdgeEvent::Heard { socket, answer } => self.heard(n, socket, *answer),
            EdgeEvent::SocketGone { socket } => self.socket_gone(n, socket),
            EdgeEvent::Closing { socket } => self.close_socket(n, socket),
            EdgeEvent::Exit { down_us } => self.crash(Node::Edge(n), down_us),
        }
    }

    /// Gives the machine an input, and does what it says.
    pub(super) fn edge_input(&mut self, n: usize, input: Input) {
        let now = self.schedule.now();
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            if !matches!(input, Input::Tick | Input::LeaseRenewed) {
                self.trace.line(now, || format!("edge {n} <- {}", brief(&input)));
            }
            if let Input::Registered { charge_point, .. } = &input {
                self.judge.registered(n, charge_point);
            }
            let edge = &mut self.edges[n];
            let (time, dice) = (edge.time(now), &mut self.dice);
            edge.machine
                .handle(time, input, &mut || Nonce(dice.number().max(1)), &mut outputs);
            for output in outputs.drain(..) {
                inputs.extend(self.perform(n, output));
            }
        }
    }

    fn perform(&mut self, n: usize, output: Output) -> Option<Input> {
        match output {
            Output::ToRouter(item) => self.tell_router(n, item),
            Output::Write(write) => return self.hand_over(n, *write),
            Output::Close { socket, .. } => self.close_socket(n, socket.0),
        }
        None
    }

    /// The consumer stands where it will read next: at the end of its lanes at first, where it was after that.
    fn consumer_opens(&mut self, n: usize) {
        if self.is_cut(Node::Kafka, Node::Edge(n)) {
            return self.plan_edge(n, SECOND, EdgeEvent::ConsumerOpen);
        }
        let ends = [Lane::Normal, Lane::Urgent].map(|lane| self.kafka.end(self.pod_of(n), lane));
        let consumer = &mut self.edges[n].consumer;
        consumer.offsets.get_or_insert(ends);
        consumer.open = true;
        for lane in Lane::ALL {
            self.plan_fetch(n, lane);
        }
    }

    /// The consumer is replaced. Where its offset is out of range, it starts at the log's start.
    pub(super) fn rebuild_consumer(&mut self, n: usize, from_start: bool) {
        if self.edges[n].consumer.open {
            self.edges[n].consumer.open = false;
            if from_start {
                self.edges[n].consumer.offsets = Some([0, 0]);
            }
            let us = self.dice.between(200, 2_000) * MS;
            self.plan_edge(n, us, EdgeEvent::ConsumerOpen);
        }
    }

    /// Reads what is there in a lane.
    fn fetch(&mut self, n: usize, lane: Lane) {
        while self.edges[n].consumer.open && self.edges[n].process.up {
            let pod = self.pod_of(n);
            let Some(offsets) = &mut self.edges[n].consumer.offsets else {
                return;
            };
            let offset = offsets[lane as usize];
            let Some(record) = self.kafka.record(pod, lane, offset) else {
                return;
            };
            offsets[lane as usize] += 1;
            self.consume(n, lane, record);
        }
    }

    fn consume(&mut self, n: usize, lane: Lane, record: ShardRecord) {
        let now = self.schedule.now();
        match record {
            ShardRecord::Canary { link } => {
                let consumer = &mut self.edges[n].consumer;
                if link >= consumer.first_link {
                    consumer.seen[lane as usize] = Some(now);
                }
            }
            ShardRecord::Command(record) => {
                if self.edge_dies_at(n, Point::AfterConsume) {
                    return;
                }
                let (incarnation, command) = (record.0, record.1.clone());
                if incarnation == self.edges[n].keeper.incarnation {
                    self.judge.consumed(n, &command);
                }
                self.edge_input(n, Input::Record { incarnation, command });
            }
            ShardRecord::Note(note) => {
                let (charge_point, note) = (note.0.clone(), &note.1);
                let incarnation = note.incarnation;
                let input = match note.kind {
                    NoteKind::Kick { version, .. } => Input::Kick {
                        incarnation,
                        charge_point,
                        version,
                    },
                    NoteKind::Cancel { id, deadline } => Input::Cancel {
                        incarnation,
                        charge_point,
                        id,
                        deadline,
                    },
                };
                self.edge_input(n, input);
            }
        }
    }

    /// An edge dies: its sockets and its link break.
    pub(super) fn edge_died(&mut self, n: usize) {
        self.edges[n].process.up = false;
        let sockets: Vec<(usize, u64)> = self.edges[n]
            .sockets
            .values()
            .map(|s| (s.charger, s.connection))
            .collect();
        // A process that dies resets its connections; a host that dies is silent for a while.
        let silent_us = if self.dice.chance(200) { 4 * SECOND } else { 0 };
        for (charger, connection) in sockets {
            let us = silent_us + self.delay();
            self.schedule
                .after(us, Event::ChargerLost { charger, connection });
        }
        if let Some(link) = self.edges[n].link.take() {
            self.break_towards_router(n, &link);
        }
    }

    /// An edge is told to stop: it says so, closes its sockets, and exits.
    pub(super) fn drain_edge(&mut self, n: usize, down_us: u64) {
        if !self.edges[n].process.up || self.edges[n].draining {
            return;
        }
        self.edges[n].draining = true;
        self.say_goodbye(n);
        let sockets: Vec<u64> = self.edges[n].sockets.keys().copied().collect();
        for socket in sockets {
            let us = self.dice.between(0, 2_000) * MS;
            self.plan_edge(n, us, EdgeEvent::Closing { socket });
        }
        self.plan_edge(n, 4 * SECOND, EdgeEvent::Exit { down_us });
    }

    /// Whether a charger sits where the store believes it.
    pub(super) fn is_at_home(&self, charger: usize) -> bool {
        let Some((n, life, socket)) = self.chargers[charger].home else {
            return false;
        };
        let (edge, charge_point) = (&self.edges[n], &self.charge_points[charger]);
        let version = edge.machine.version_of(charge_point);
        let here = edge.process.up && edge.process.life == life && edge.sockets.contains_key(&socket);
        here && version.is_some_and(|v| self.store_believes(charger, n, edge.keeper.incarnation, v))
    }

    fn store_believes(&self, charger: usize, n: usize, incarnation: Incarnation, version: Version) -> bool {
        let charge_point: &ChargePointId = &self.charge_points[charger];
        let slot = self.redis.data.slot_of(charge_point);
        self.redis.data.slots[slot]
            .devices
            .get(charge_point)
            .is_some_and(|d| {
                d.connected
                    && d.pod.as_ref() == Some(&self.pods[self.pod_of(n)])
                    && d.incarnation == incarnation
                    && d.version == version
            })
    }

    /// What an edge believes of Redis time is at most this much too late.
    pub(super) fn learn_time(&mut self, n: usize, sent_mono: u64, redis_now: Micros) {
        debug_assert!(redis_now.0 >= EPOCH_US, "Redis time begins at the epoch");
        self.edges[n].ahead = redis_now.0 - sent_mono;
    }
}

/// What the trace says of an input.
fn brief(input: &Input) -> String {
    let short = super::store::short;
    match input {
        Input::Record { command: c, .. } => format!(
            "record {} {:?} {:?} dispatch {} v{} attempt {} for {}",
            short(c.id),
            c.class,
            c.priority,
            c.dispatch.0 % 100_000_000,
            c.version.0 % 100_000_000,
            c.attempt,
            c.charge_point
        ),
        Input::Registered {
            charge_point,
            sequence,
            version,
        } => {
            format!(
                "registered {charge_point} seq {sequence} v{}",
                version.0 % 100_000_000
            )
        }
        Input::Grant { id, .. } => format!("grant {}", short(*id)),
        Input::Wrote { id, .. } => format!("wrote {}", short(*id)),
        Input::NotWritten { id, .. } => format!("not written {}", short(*id)),
        Input::Answer { id, .. } => format!("answer {}", short(*id)),
        other => format!("{other:?}"),
    }
}
