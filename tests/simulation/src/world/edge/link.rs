//! An edge's link to a router: opened to one after the other, given up when it is silent.

use domain::edge::{Failed, Input, Item};
use domain::ids::Micros;

use super::super::event::{Down, EdgeEvent, Event, Haste, Hello, RouterEvent, Up};
use super::super::net::Stream;
use super::super::{Node, World};
use super::keeper::{Effect, Grant, REPLY_TIMEOUT_US};
use super::patient::Patient;
use crate::plan::{MS, Point, SECOND};

/// The link of the moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkState {
    pub(super) wire: u64,
    router: usize,
    began: u64,
    /// The router said where to consume.
    pub(super) open: bool,
}

impl World {
    /// Opens a link to the next router.
    pub(super) fn connect(&mut self, n: usize) {
        if self.edges[n].link.is_some() {
            return;
        }
        let (wire, now) = (self.new_name(), self.schedule.now());
        let edge = &mut self.edges[n];
        let router = edge.next_router % self.routers.len();
        edge.next_router += 1;
        edge.patient = Patient::default();
        edge.link = Some(LinkState {
            wire,
            router,
            began: now,
            open: false,
        });
        let hello = edge.keeper.hello();
        let at = self.arrival_in(Stream::Wire(wire, true), Node::Edge(n), Node::Router(router));
        self.send_hello(n, router, wire, at, hello);
    }

    fn send_hello(&mut self, n: usize, router: usize, wire: u64, at: u64, hello: Hello) {
        if self.routers[router].process.up {
            let life = self.routers[router].process.life;
            let what = RouterEvent::LinkOpened { wire, edge: n, hello };
            self.schedule.at(
                at,
                Event::Router {
                    to: router,
                    life,
                    what,
                },
            );
        } else {
            let life = self.edges[n].process.life;
            let what = EdgeEvent::LinkBroken { wire };
            self.schedule.at(at, Event::Edge { to: n, life, what });
        }
    }

    /// The name of the link of the moment.
    pub(crate) fn link_of(&self, n: usize) -> Option<u64> {
        self.edges[n].link.map(|l| l.wire)
    }

    /// Tells the router, if there is a link.
    pub(super) fn tell_router(&mut self, n: usize, item: Item) {
        if self.edges[n].is_patient(&item) {
            return self.linger(n, item);
        }
        self.note_overtaking(n);
        self.send_up(n, Up::Item(item, Haste::Now));
    }

    pub(super) fn send_up(&mut self, n: usize, item: Up) {
        let Some(link) = self.edges[n].link.filter(|l| l.open) else {
            return;
        };
        let (router, wire) = (link.router, link.wire);
        let life = self.routers[router].process.life;
        let at = self.arrival_in(Stream::Wire(wire, true), Node::Edge(n), Node::Router(router));
        let item = Box::new(item);
        let what = RouterEvent::Up { wire, item };
        self.schedule.at(
            at,
            Event::Router {
                to: router,
                life,
                what,
            },
        );
    }

    /// A router says something.
    pub(super) fn down_item(&mut self, n: usize, wire: u64, item: Down, redis_now: Micros) {
        if self.edges[n].link.is_none_or(|l| l.wire != wire) {
            return;
        }
        let mono = self.edges[n].mono(self.schedule.now());
        match item {
            Down::Placement { link, shard } => self.placed(n, link, shard),
            Down::Lease {
                request,
                incarnation,
                lease_us,
                epoch,
                passed_over,
            } => {
                let effects = self.edges[n].keeper.held(Grant {
                    request,
                    incarnation,
                    lease_us,
                    epoch,
                    passed_over,
                });
                for effect in effects {
                    self.take_effect(n, effect, redis_now);
                }
            }
            Down::LeaseRefused { superseded: true, .. } => self.superseded(n),
            Down::LeaseRefused { request, .. } => {
                if let Some(effect) = self.edges[n].keeper.refused(request) {
                    self.take_effect(n, effect, redis_now);
                }
            }
            Down::Failed { request } => drop(self.edges[n].keeper.failed(request, mono)),
            Down::Input(Input::Failed(Failed::Renewal(request)))
                if self.edges[n].keeper.failed(request, mono) => {}
            Down::Input(Input::Grant { .. }) if self.edge_dies_at(n, Point::BeforeWrite) => {}
            Down::Input(input) => self.edge_input(n, input),
        }
    }

    /// A newer process of the pod exists: this one exits, and is not started again.
    fn superseded(&mut self, n: usize) {
        let twin = (n + self.plan.edges) % self.edges.len();
        if self.edges[twin].process.up {
            self.trace
                .line(self.schedule.now(), || format!("edge {n} is superseded"));
            return self.edge_died(n);
        }
        self.crash(Node::Edge(n), SECOND);
    }

    /// The edge drains.
    pub(super) fn say_goodbye(&mut self, n: usize) {
        let incarnation = self.edges[n].keeper.incarnation;
        self.send_up(n, Up::Goodbye { incarnation });
    }

    fn placed(&mut self, n: usize, link: u64, shard: usize) {
        let edge = &mut self.edges[n];
        edge.keeper.placed(shard);
        if let Some(state) = &mut edge.link {
            state.open = true;
        }
        self.place_was_told(n, shard, link);
        self.edge_input(n, Input::LinkUp);
    }

    fn take_effect(&mut self, n: usize, effect: Effect, redis_now: Micros) {
        match effect {
            Effect::Held(sent, until) => {
                if redis_now.0 > 0 {
                    self.learn_time(n, sent, redis_now);
                }
                self.edges[n].lease_until = until;
            }
            Effect::Published(shard) => self.place_was_published(n, shard),
            Effect::Taken(incarnation) => self.edge_input(n, Input::IncarnationTaken(incarnation)),
            Effect::Renewed => self.edge_input(n, Input::LeaseRenewed),
            Effect::EpochChanged => self.edge_input(n, Input::EpochChanged),
            Effect::Lapsed => {
                self.edges[n].lease_until = 0;
                self.edge_input(n, Input::LeaseLapsed);
            }
        }
    }

    /// The lease is looked at, and whether the router is still there.
    pub(super) fn link_tick(&mut self, n: usize) {
        let now = self.schedule.now();
        let edge = &mut self.edges[n];
        let Some(link) = edge.link else { return };
        let mono = edge.mono(now);
        let silent = !link.open && now - link.began >= REPLY_TIMEOUT_US;
        if silent || edge.keeper.is_unanswered(mono) {
            return self.unlink(n, link.wire);
        }
        let (proven, floor) = (edge.places.proven(now), edge.machine.floor());
        if let Some(item) = edge.keeper.due(mono, proven, floor) {
            self.note_overtaking(n);
            self.send_up(n, item);
        }
    }

    /// The link is over; another one is opened soon.
    pub(super) fn unlink(&mut self, n: usize, wire: u64) {
        let Some(link) = self.edges[n].link.take_if(|l| l.wire == wire) else {
            return;
        };
        self.trace.line(self.schedule.now(), || {
            format!("edge {n} loses its link to router {}", link.router)
        });
        self.break_towards_router(n, &link);
        if link.open {
            self.edge_input(n, Input::LinkDown);
        }
        let us = self.dice.between(50, 1_000) * MS;
        self.plan_edge(n, us, EdgeEvent::Connect);
    }

    /// The router learns that the link is gone; what was on its way arrives before that, or never.
    pub(super) fn break_towards_router(&mut self, n: usize, link: &LinkState) {
        let (to, wire) = (link.router, link.wire);
        let life = self.routers[to].process.life;
        let mut at = self.arrival(Node::Edge(n), Node::Router(to));
        if self.dice.chance(500) {
            at = self.in_order(Stream::Wire(wire, true), at);
        }
        let what = RouterEvent::LinkBroken { wire };
        self.schedule.at(at, Event::Router { to, life, what });
    }
}
