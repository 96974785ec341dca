//! Links of a router: greeted, answered, broken.

use domain::command::Lane;
use domain::ids::{Incarnation, LinkNumber, Micros};

use super::super::event::{Down, EdgeEvent, Event, Hello, RouterEvent, ShardRecord};
use super::super::kafka::Content;
use super::super::net::Stream;
use super::super::store::Op;
use super::super::{Node, World};
use super::Then;
use crate::plan::SECOND;

/// How often a canary goes to each lane.
const CANARY_US: u64 = 2 * SECOND;
/// A link over which nothing comes for so long is dead.
const KEEPALIVE_US: u64 = 10 * SECOND;

/// An edge's link to a router.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) edge: usize,
    edge_life: u32,
    pub(super) link: LinkNumber,
    pub(super) process: u64,
    /// Where the edge was told to consume: canaries go there.
    pub(super) shard: usize,
    /// The life that the edge lives as far as this link knows.
    incarnation: Incarnation,
    /// Items that are being handled.
    pub(super) working: u64,
    pub(super) broken: bool,
    pub(super) last_heard: u64,
}

impl World {
    /// An edge opens a link.
    pub(super) fn link_opened(&mut self, n: usize, wire: u64, edge: usize, hello: Hello) {
        if self.turns_away(n, wire, edge) {
            return;
        }
        let session = Session {
            edge,
            edge_life: self.edges[edge].process.life,
            link: LinkNumber(0),
            process: hello.process,
            shard: 0,
            incarnation: hello.incarnation,
            working: 1,
            broken: false,
            last_heard: self.schedule.now(),
        };
        self.routers[n].wires.insert(wire, session);
        let pod = self.pod_of(edge);
        self.ask(n, Op::Link(pod, hello.incarnation), Then::Link { wire, edge });
    }

    pub(super) fn greeted(&mut self, n: usize, wire: u64, edge: usize, link: LinkNumber, now: Micros) {
        let pod = self.pod_of(edge);
        self.routers[n].leases[pod] = None;
        let shard = self.shards[n][pod];
        if let Some(session) = self.routers[n].wires.get_mut(&wire) {
            session.link = link;
            session.shard = shard;
        }
        let down = Down::Placement { link: link.0, shard };
        self.answer_link(n, wire, Some((down, now)));
        self.plan_router(n, 0, RouterEvent::Canary { wire });
    }

    pub(super) fn refuse_link(&mut self, n: usize, wire: u64, edge: usize) {
        self.break_towards_edge(n, wire, edge);
        self.routers[n].wires.remove(&wire);
    }

    /// Produces a canary on each lane, for as long as the link lasts.
    pub(super) fn sing(&mut self, n: usize, wire: u64) {
        let Some(session) = self.routers[n].wires.get(&wire).filter(|s| !s.broken) else {
            return;
        };
        let (link, shard) = (session.link.0, session.shard);
        let place = shard * self.plan.edges + self.pod_of(session.edge);
        for lane in Lane::ALL {
            let token = self.routers[n].token();
            let canary = ShardRecord::Canary { link };
            self.produce_anyway(n, token, Content::Shard(place, lane, canary));
        }
        self.plan_router(n, CANARY_US, RouterEvent::Canary { wire });
    }

    /// The edge lives this life from now on, as far as a link knows.
    pub(super) fn now_lives(&mut self, n: usize, wire: u64, incarnation: Incarnation) {
        if let Some(session) = self.routers[n].wires.get_mut(&wire) {
            session.incarnation = incarnation;
        }
    }

    pub(super) fn forget_lease(&mut self, n: usize, wire: u64) {
        if let Some(edge) = self.routers[n].wires.get(&wire).map(|s| s.edge) {
            let pod = self.pod_of(edge);
            self.routers[n].leases[pod] = None;
        }
    }

    /// An item is done: the edge is told, unless there is nothing to tell. The end of a broken link waits for the
    /// last one.
    pub(super) fn answer_link(&mut self, n: usize, wire: u64, answer: Option<(Down, Micros)>) {
        let Some(session) = self.routers[n].wires.get_mut(&wire) else {
            return;
        };
        session.working = session.working.saturating_sub(1);
        let (edge, life, broken) = (session.edge, session.edge_life, session.broken);
        if broken {
            return self.end_session(n, wire);
        }
        let Some((item, redis_now)) = answer else { return };
        let at = self.arrival_in(Stream::Wire(wire, false), Node::Router(n), Node::Edge(edge));
        let item = Box::new(item);
        let what = EdgeEvent::Down {
            wire,
            item,
            redis_now,
        };
        self.schedule.at(at, Event::Edge { to: edge, life, what });
    }

    /// A link broke.
    pub(super) fn link_broke(&mut self, n: usize, wire: u64) {
        if let Some(session) = self.routers[n].wires.get_mut(&wire) {
            session.broken = true;
            self.end_session(n, wire);
        }
    }

    /// A life whose link broke is suspect, once everything that came over it is done.
    fn end_session(&mut self, n: usize, wire: u64) {
        let Some(session) = self.routers[n]
            .wires
            .get(&wire)
            .filter(|s| s.broken && s.working == 0)
        else {
            return;
        };
        let (pod, incarnation, link) = (self.pod_of(session.edge), session.incarnation, session.link);
        self.routers[n].wires.remove(&wire);
        self.routers[n].leases[pod] = None;
        if incarnation.0 > 0 && link.0 > 0 {
            self.ask(n, Op::Suspect(pod, incarnation, link), Then::Nothing);
        }
    }

    /// Links whose keepalive found no way are given up.
    pub(super) fn give_up_silent_links(&mut self, n: usize) {
        let now = self.schedule.now();
        let silent: Vec<(u64, usize)> = self.routers[n]
            .wires
            .iter()
            .filter(|(_, s)| !s.broken && now.saturating_sub(s.last_heard) >= KEEPALIVE_US)
            .map(|(wire, s)| (*wire, s.edge))
            .collect();
        for (wire, edge) in silent {
            let deaf = self.is_cut(Node::Edge(edge), Node::Router(n))
                || self.is_cut(Node::Router(n), Node::Edge(edge))
                || self.edges[edge].process.paused_until > now;
            if deaf {
                self.break_towards_edge(n, wire, edge);
                self.link_broke(n, wire);
            }
        }
    }

    /// The edge learns that its link is gone.
    pub(super) fn break_towards_edge(&mut self, n: usize, wire: u64, edge: usize) {
        let life = self.edges[edge].process.life;
        let at = self.arrival_in(Stream::Wire(wire, false), Node::Router(n), Node::Edge(edge));
        let what = EdgeEvent::LinkBroken { wire };
        self.schedule.at(at, Event::Edge { to: edge, life, what });
    }
}
