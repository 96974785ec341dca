//! An edge: what `crates/edge` does around `domain::edge::EdgeMachine`, without its threads. Here: its state, its
//! clock and the machine's inputs. In `edge/`: the consumers and their places, the lease, the link, the sockets.

mod consumer;
mod keeper;
mod link;
mod patient;
mod places;
mod socket;

use std::collections::{BTreeMap, VecDeque};

use domain::edge::{EdgeMachine, EdgeSettings, EdgeTime, Input, Output};
use domain::ids::{ChargePointId, Incarnation, Micros, Nonce, Version};

use super::event::{EdgeEvent, Event};
use super::process::Process;
use super::{EPOCH_US, Node, World};
use crate::plan::{MS, Plan, SECOND};

use keeper::Keeper;
use link::LinkState;
use patient::Patient;
use places::Places;
use socket::Socket;

/// How often an edge looks at its alarms and its lease.
const TICK_US: u64 = 250 * MS;

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
    patient: Patient,
    sockets: BTreeMap<u64, Socket>,
    places: Places,
    draining: bool,
    next_router: usize,
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
            patient: Patient::default(),
            sockets: BTreeMap::new(),
            places: Places::default(),
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

    /// The life that it lives; 0 for none.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.keeper.incarnation
    }

    /// Whether it still has a connection of a version.
    pub(super) fn holds(&self, charge_point: &ChargePointId, version: Version) -> bool {
        self.machine.version_of(charge_point) == Some(version)
    }

    /// Whether it takes chargers.
    fn is_ready(&self, now: u64) -> bool {
        !self.draining
            && self.link.as_ref().is_some_and(|l| l.open)
            && self.keeper.incarnation.0 > 0
            && self.time(now).lease_is_held()
            && self.places.proven(now).is_some()
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
                self.places_tick(n);
                self.link_tick(n);
            }
            EdgeEvent::Connect => self.connect(n),
            EdgeEvent::Down {
                wire,
                item,
                redis_now,
            } => self.down_item(n, wire, *item, redis_now),
            EdgeEvent::LinkBroken { wire } => self.unlink(n, wire),
            EdgeEvent::Leave { wire } => self.leave(n, wire),
            EdgeEvent::Fetch { place, lane } => self.fetch(n, place, lane),
            EdgeEvent::ConsumerOpen { place } => self.consumer_opens(n, place),
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
            let who = (n, self.edges[n].process.life);
            let (life, redis_now) = (self.edges[n].keeper.incarnation, self.redis_now());
            let given = self.judge.given(who, life, redis_now, &input);
            let edge = &mut self.edges[n];
            let (time, dice) = (edge.time(now), &mut self.dice);
            edge.machine
                .handle(time, input, &mut || Nonce(dice.number().max(1)), &mut outputs);
            for output in outputs.drain(..) {
                self.judge.gave(who, &given, &output);
                inputs.extend(self.perform(n, output));
            }
            self.judge.has_done(&given);
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
        debug_assert!(redis_now.0 > EPOCH_US / 2, "Redis time is near the epoch");
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
