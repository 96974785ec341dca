//! The simulated world: routers, edges, chargers, clients, Redis and Kafka, and what happens to them. One step
//! takes the next event and lets whom it concerns act. Leaves out what is right and wrong (`judge`).

mod charger;
mod client;
mod departure;
mod edge;
mod event;
mod faults;
mod kafka;
mod net;
mod process;
mod router;
mod store;

use std::rc::Rc;

use domain::ids::{ChargePointId, Micros, PodId};

use crate::dice::Dice;
use crate::judge::Judge;
use crate::plan::{Plan, SECOND};
use crate::schedule::Schedule;
use crate::stats::Stats;
use crate::trace::{Lines, Trace};

use charger::Charger;
use client::Client;
use edge::Edge;
use event::Event;
use faults::Weather;
use kafka::Broker;
use net::Net;
use router::Router;
use store::Server;

pub(crate) use event::Node;
pub(crate) use store::{Data, Op, RenewReply, Said, TakeReply, short};

/// Redis time when a run begins.
const EPOCH_US: u64 = 1_700_000_000_000_000;
/// How often the whole store is audited.
const AUDIT_US: u64 = SECOND;
/// After the mending, everything must have drained so long after the last deadline.
pub(crate) const DRAIN_US: u64 = 60 * SECOND;

/// Everything there is.
pub(crate) struct World {
    pub(crate) plan: Rc<Plan>,
    dice: Dice,
    schedule: Schedule<Event>,
    net: Net,
    weather: Weather,
    redis: Server,
    kafka: Broker,
    routers: Vec<Router>,
    edges: Vec<Edge>,
    chargers: Vec<Charger>,
    clients: Vec<Client>,
    pods: Vec<PodId>,
    charge_points: Vec<ChargePointId>,
    /// What each router's configuration says of each pod: in which shard its place is.
    shards: Vec<Vec<usize>>,
    pub(crate) judge: Judge,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    healed: bool,
    /// Since when the chargers hang up for good; nothing else is under way any more.
    leaving_since: Option<u64>,
    over: bool,
}

impl World {
    /// A world about to begin.
    pub(crate) fn new(plan: Plan, lines: Lines) -> Self {
        let plan = Rc::new(plan);
        let pods = (0..plan.edges).filter_map(|n| PodId::parse(&format!("edge-{n}")).ok());
        let charge_points = (0..plan.chargers).filter_map(|n| ChargePointId::parse(&format!("CP-{n}")).ok());
        let charge_points: Vec<_> = charge_points.collect();
        let charge_points = charge_points.into_iter();
        let mut world = Self {
            dice: Dice::new(plan.seed, 2 + plan.fate),
            schedule: Schedule::new(),
            net: Net::default(),
            weather: Weather::default(),
            redis: Server::new(&plan),
            kafka: Broker::new(plan.edges),
            routers: (0..plan.routers).map(|n| Router::new(n, &plan)).collect(),
            // The second half are twins, which a fault may start.
            edges: (0..2 * plan.edges).map(|n| Edge::new(n, &plan)).collect(),
            // The second half are clones, which a fault may wake.
            chargers: (0..2 * plan.chargers)
                .map(|n| Charger::new(n < plan.chargers))
                .collect(),
            clients: plan.calls.iter().map(|_| Client::default()).collect(),
            pods: pods.collect(),
            charge_points: charge_points.cycle().take(2 * plan.chargers).collect(),
            shards: vec![vec![0; plan.edges]; plan.routers],
            judge: Judge::new(&plan),
            trace: Trace::new(lines),
            stats: Stats::default(),
            healed: false,
            leaving_since: None,
            over: false,
            plan,
        };
        world.begin();
        world
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(&mut self) {
        while !self.over && self.judge.violation().is_none() {
            let Some(event) = self.schedule.next() else { break };
            self.stats.events += 1;
            self.trace.mix(self.schedule.now());
            self.trace.mix(event.code());
            self.handle(event);
        }
        // Who called late, when all were quiet, is not waited for.
        if self.judge.violation().is_none() && self.leaving_since.is_none() {
            let now = self.redis_now();
            self.judge.finish(&self.redis.data, now);
        }
        self.trace.mix(self.schedule.planned());
    }

    /// Lets everything happen once for the first time.
    fn begin(&mut self) {
        for n in 0..self.routers.len() {
            self.start_router(n);
        }
        for n in 0..self.plan.edges {
            self.start_edge(n);
        }
        for n in 0..self.plan.chargers {
            let at = self.dice.between(0, 3 * SECOND);
            self.schedule.at(at, Event::Dial(n));
        }
        for (n, call) in self.plan.calls.iter().enumerate() {
            self.schedule.at(call.at, Event::Call(n));
        }
        for (n, fault) in self.plan.faults.iter().enumerate() {
            self.schedule.at(fault.at, Event::Fault(n));
        }
        self.schedule.at(self.plan.heal_at, Event::Heal);
        self.schedule.at(AUDIT_US, Event::Audit);
        self.schedule.at(SECOND / 2, Event::Flush);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Router { to, life, what } => self.router_event(to, life, what),
            Event::Edge { to, life, what } => self.edge_event(to, life, what),
            Event::Wake(node) => self.wake(node),
            Event::Start(node) => self.start(node),
            Event::Redis(request) => self.redis_request(*request),
            Event::Replicated { life, upto, reply } => self.replicated(life, upto, *reply),
            Event::Flush => self.flush(),
            Event::Append(produce) => self.append(*produce),
            Event::Rpc(rpc) => self.rpc(*rpc),
            Event::Dial(charger) => self.dial(charger),
            Event::ToCharger {
                charger,
                connection,
                call,
            } => self.charger_hears(charger, connection, call),
            Event::ChargerLost { charger, connection } => self.charger_lost(charger, connection),
            Event::Flap { charger, until } => self.flap(charger, until),
            Event::HangUp(charger) => self.hang_up(charger),
            Event::Answer { charger, answer } => self.charger_answers(charger, *answer),
            Event::Call(call) => self.client_calls(call),
            Event::Reply(reply) => self.client_hears(*reply),
            Event::CallTimeout { call, round } => self.client_waited(call, round),
            Event::Cancel { call } => self.client_cancels(call),
            Event::Look { call } => self.client_looks(call),
            Event::Die {
                router,
                life,
                down_us,
            } if self.routers[router].process.life == life => {
                self.crash(Node::Router(router), down_us);
            }
            Event::Die { .. } => {}
            Event::Fault(n) => self.fault(n),
            Event::Mend(n) => self.mend(n),
            Event::Heal => self.heal(),
            Event::Audit => self.audit(),
        }
    }

    /// The store's clock. That of a replica that took over is a little behind.
    fn redis_now(&self) -> Micros {
        Micros(EPOCH_US + self.schedule.now() - self.redis.behind_us)
    }

    /// The pod of an edge's process.
    fn pod_of(&self, edge: usize) -> usize {
        edge % self.plan.edges
    }

    /// Once a second the judge looks at the whole store; after the mending also at whether all is over.
    fn audit(&mut self) {
        let (now, healed) = (self.redis_now(), self.healed);
        self.judge.audit(&self.redis.data, now, healed);
        self.schedule.after(AUDIT_US, Event::Audit);
        if !self.healed {
            return;
        }
        if let Some(since) = self.leaving_since {
            return self.judge_departure(since);
        }
        let quiet = self.is_quiet();
        let last = self.judge.last_deadline().0.max(EPOCH_US + self.plan.heal_at);
        if quiet {
            self.stats.recovery_us = self.schedule.now() - self.plan.heal_at;
            self.judge.drained();
            self.judge.finish(&self.redis.data, now);
            self.leave_for_good();
        } else if now.0 > last + DRAIN_US {
            let left = self.what_is_left();
            self.judge.fail(23, || {
                format!("{} s after the last deadline: {left}", DRAIN_US / SECOND)
            });
        }
    }

    /// Nothing is open, nothing waits to leave, everybody is where the store believes.
    fn is_quiet(&self) -> bool {
        self.what_is_left().is_empty()
    }

    fn what_is_left(&self) -> String {
        let data = &self.redis.data;
        let open = data.open_commands();
        let leaving: usize = data.slots.iter().map(|s| s.outbox.len() + s.notes.len()).sum();
        let unconfirmed: usize = self
            .edges
            .iter()
            .filter(|e| e.process.up)
            .map(Edge::unconfirmed)
            .sum();
        let homeless = (0..self.plan.chargers).filter(|n| !self.is_at_home(*n)).count();
        let calling = self.clients.iter().filter(|c| !c.is_done()).count();
        let apart = self
            .routers
            .iter()
            .filter(|r| r.process.up && r.breaker.is_open());
        let apart = apart.count();
        let what = [
            (open, "open commands"),
            (leaving, "entries to leave"),
            (unconfirmed, "unconfirmed at edges"),
            (homeless, "chargers without a route"),
            (calling, "clients calling"),
            (apart, "routers that leave Kafka to others"),
        ];
        let left: Vec<String> = what
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        left.join(", ")
    }
}
