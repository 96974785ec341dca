//! A router: what `crates/router` does, without its threads. Each request to Redis, each record to Kafka and each
//! reply is an event of its own, so it can die, stand still or lose a message between any two.
//!
//! Here: its state, its calls to the store, and the queue of each slot. In `router/`: links, dispatches, drains.

mod breaker;
mod dispatch;
mod drain;
mod items;
mod link;
mod pending;
mod replies;
mod slots;
mod told;

use std::collections::BTreeMap;

use domain::ids::{Micros, Version};

use super::client::Body;
use super::event::{Cached, Event, RouterEvent};
use super::process::Process;
use super::store::{Op, Request, Said, StoreFailure, StoreReply};
use super::{Node, World};
use crate::plan::{MS, Plan, SECOND};

use breaker::Breaker;
use drain::Drain;
use link::Session;
use pending::{Call, Chain, Join, Origin, Reporting, Then};
use slots::SlotQueue;
use told::{LeaseView, Told};

/// How long a call to the store may take.
const COMMAND_TIMEOUT_US: u64 = 2 * SECOND;
/// How often a router looks at its calls and links.
const TICK_US: u64 = 500 * MS;

/// A router.
pub(crate) struct Router {
    pub(super) process: Process<RouterEvent>,
    holder: u64,
    /// The store's epoch as it is known; 0 before it is.
    epoch: u32,
    /// Redis time minus the own clock, at the last reply; 0 before there was one. For time limits only.
    offset: u64,
    tokens: u64,
    calls: BTreeMap<u64, Call>,
    slots: Vec<SlotQueue>,
    leases: Vec<Option<LeaseView>>,
    floor: Cached<Version>,
    drains: Vec<Drain>,
    pub(super) breaker: Breaker,
    pub(super) wires: BTreeMap<u64, Session>,
    reports: BTreeMap<u64, Reporting>,
    joins: BTreeMap<u64, Join>,
}

impl Router {
    pub(super) fn new(n: usize, plan: &Plan) -> Self {
        let slots = usize::from(plan.slots);
        Self {
            process: Process::new(),
            holder: n as u64,
            epoch: 0,
            offset: 0,
            tokens: 0,
            calls: BTreeMap::new(),
            slots: (0..slots).map(|_| SlotQueue::default()).collect(),
            leases: vec![None; plan.edges],
            floor: Cached::default(),
            drains: (0..slots).map(|_| Drain::default()).collect(),
            breaker: Breaker::default(),
            wires: BTreeMap::new(),
            reports: BTreeMap::new(),
            joins: BTreeMap::new(),
        }
    }

    /// Until when a call may be executed. A router that never heard of Redis time names the past, and is told.
    fn not_after(&self, begun: u64) -> Micros {
        Micros(self.offset + begun + COMMAND_TIMEOUT_US)
    }

    /// A reply shows Redis time. One that was long on its way shows the past: then a call is too late too early.
    fn learn(&mut self, now: u64, redis_now: Micros) {
        self.offset = redis_now.0.saturating_sub(now);
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }
}

impl World {
    /// A router starts, with nothing but its configuration.
    pub(super) fn start_router(&mut self, n: usize) {
        let mut fresh = Router::new(n, &self.plan);
        std::mem::swap(&mut fresh.process, &mut self.routers[n].process);
        // Tokens never come twice, so that what comes for the former life fits nothing.
        fresh.tokens = self.routers[n].tokens;
        fresh.holder = (n as u64 + 1) << 32 | u64::from(fresh.process.life + 1);
        fresh.process.rise();
        self.routers[n] = fresh;
        let at = self.dice.between(10, 400) * MS;
        self.plan_router(n, at, RouterEvent::Tick);
        for slot in 0..self.routers[n].slots.len() {
            let at = self.dice.between(10, 1_000) * MS;
            self.plan_router(n, at, RouterEvent::Due(slot));
        }
    }

    pub(super) fn plan_router(&mut self, n: usize, us: u64, what: RouterEvent) {
        let life = self.routers[n].process.life;
        self.schedule.after(us, Event::Router { to: n, life, what });
    }

    /// Something happens to a router.
    pub(super) fn router_event(&mut self, n: usize, life: u32, what: RouterEvent) {
        let now = self.schedule.now();
        let Some(what) = self.routers[n].process.admit(life, now, what) else {
            return;
        };
        match what {
            RouterEvent::Tick => self.router_tick(n),
            RouterEvent::Due(slot) => {
                let next = self.dice.between(900, 1_100) * MS;
                self.plan_router(n, next, RouterEvent::Due(slot));
                let late_us = self.routers[n].breaker.leaves_timers_us();
                self.ask(n, Op::RunDue(slot, 20, late_us), Then::Due { slot });
            }
            RouterEvent::Store(response) => {
                let lost = response.epoch != self.redis.epoch && self.dice.chance(500);
                let reply = if lost {
                    Err(StoreFailure::Unavailable)
                } else {
                    response.reply
                };
                self.store_replied(n, response.token, reply);
            }
            RouterEvent::Turn(slot) => self.turn_came(n, slot),
            RouterEvent::Report { token, stored } => self.reported(n, token, stored),
            RouterEvent::Rpc(rpc) => match rpc.body {
                Body::Send => self.send_command(n, rpc.call, rpc.round),
                Body::Cancel(id) => self.cancel_command(n, rpc.call, rpc.round, id),
                Body::Get(id) => {
                    let (call, round) = (rpc.call, rpc.round);
                    self.ask(n, Op::Get(id), Then::Get { call, round });
                }
            },
            RouterEvent::LinkOpened { wire, edge, hello } => self.link_opened(n, wire, edge, hello),
            RouterEvent::Up { wire, item } => self.up_item(n, wire, *item),
            RouterEvent::LinkBroken { wire } => self.link_broke(n, wire),
            RouterEvent::Canary { wire } => self.sing(n, wire),
            RouterEvent::UnregisterAgain(what) => self.unregister(n, *what),
        }
    }

    /// Calls that took too long have failed; links that are silent are given up.
    fn router_tick(&mut self, n: usize) {
        self.plan_router(n, TICK_US, RouterEvent::Tick);
        let now = self.schedule.now();
        let late = |call: &Call| now.saturating_sub(call.sent_at) >= COMMAND_TIMEOUT_US;
        while let Some((token, call)) = self.routers[n].calls.first_key_value() {
            if !late(call) {
                break;
            }
            let token = *token;
            if let Some(call) = self.routers[n].calls.remove(&token) {
                self.finish(n, call.then, Err(()));
            }
            if !self.routers[n].process.up {
                return;
            }
        }
        self.give_up_silent_links(n);
        self.breaker_tick(n);
    }

    /// Sends a request to the store.
    pub(super) fn ask(&mut self, n: usize, op: Op, then: Then) {
        let sent_at = self.schedule.now();
        let token = self.routers[n].token();
        let call = Call {
            sent_at,
            late: false,
            then,
        };
        self.routers[n].calls.insert(token, call);
        self.send_request(n, token, op, sent_at);
    }

    fn send_request(&mut self, n: usize, token: u64, op: Op, begun: u64) {
        let router = &self.routers[n];
        let request = Request {
            router: n,
            life: router.process.life,
            token,
            op,
            not_after: router.not_after(begun),
            epoch: router.epoch,
            jitter: u16::try_from(self.dice.below(65_536)).unwrap_or(0),
        };
        let mut at = self.arrival(Node::Router(n), Node::Redis);
        if matches!(request.op, Op::Take { .. } | Op::RenewLease { .. }) {
            at += self.hold_up(&request, at);
        }
        self.schedule.at(at, Event::Redis(Box::new(request)));
    }

    /// A request about a lease may be on its way for as long as it may be executed, and come once more: for how long it
    /// is.
    fn hold_up(&mut self, request: &Request, at: u64) -> u64 {
        let share = if self.healed { 0 } else { self.plan.late_leases };
        if self.dice.chance(share) {
            self.stats.saw("a lease's request is doubled");
            let again = at + self.dice.below(COMMAND_TIMEOUT_US);
            self.schedule.at(again, Event::Redis(Box::new(request.clone())));
        }
        if !self.dice.chance(share) {
            return 0;
        }
        self.stats.saw("a lease's request is late");
        self.dice.between(COMMAND_TIMEOUT_US / 10, COMMAND_TIMEOUT_US)
    }

    /// A reply of the store; one to a call that was given up says nothing any more.
    fn store_replied(&mut self, n: usize, token: u64, reply: StoreReply) {
        let now = self.schedule.now();
        let router = &mut self.routers[n];
        let Some(call) = router.calls.get_mut(&token) else {
            return;
        };
        let begun = call.sent_at;
        match reply {
            Err(StoreFailure::OtherEpoch(epoch, op)) if now.saturating_sub(begun) < COMMAND_TIMEOUT_US => {
                router.epoch = epoch;
                self.send_request(n, token, *op, begun);
            }
            Err(StoreFailure::TooLate(redis_now, op)) if !call.late => {
                call.late = true;
                router.learn(now, redis_now);
                self.send_request(n, token, *op, begun);
            }
            Ok((redis_now, said)) => {
                router.learn(now, redis_now);
                if let Some(call) = router.calls.remove(&token) {
                    let asked = call.sent_at;
                    self.finish(n, call.then, Ok((Told { redis_now, asked }, said)));
                }
            }
            Err(_) => {
                if let Some(call) = router.calls.remove(&token) {
                    self.finish(n, call.then, Err(()));
                }
            }
        }
    }

    /// A router dies: its links break, its callers wait in vain.
    pub(super) fn router_died(&mut self, n: usize) {
        self.routers[n].process.up = false;
        let wires: Vec<(u64, usize)> = self.routers[n].wires.iter().map(|(w, s)| (*w, s.edge)).collect();
        for (wire, edge) in wires {
            self.break_towards_edge(n, wire, edge);
        }
    }

    /// A router is told to stop: its links end without suspicion, what is under way goes on for a while.
    pub(super) fn drain_router(&mut self, n: usize, down_us: u64) {
        if !self.routers[n].process.up {
            return;
        }
        let wires = std::mem::take(&mut self.routers[n].wires);
        for (wire, session) in wires {
            self.break_towards_edge(n, wire, session.edge);
        }
        let at = self.schedule.now() + SECOND;
        self.schedule.at(
            at,
            Event::Die {
                router: n,
                life: self.routers[n].process.life,
                down_us,
            },
        );
    }

    /// What a reply means.
    fn finish(&mut self, n: usize, then: Then, result: Result<(Told, Said), ()>) {
        match then {
            Then::Apply { slot, origins } => {
                let applied = match result {
                    Ok((told, Said::Applied(applied))) => Ok((told, applied)),
                    _ => Err(()),
                };
                self.applied(n, (slot, origins), applied);
            }
            Then::Due { slot } => {
                if let Ok((told, Said::Due { claimed, leaving, .. })) = result
                    && !self.follow_up(n, slot, told, claimed)
                    && leaving > 0
                {
                    self.wake_drain(n, slot);
                }
            }
            other => self.finish_other(n, other, result),
        }
    }
}
