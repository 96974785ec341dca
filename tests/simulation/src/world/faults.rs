//! Faults strike and end; at last everything is mended.

use super::event::{EdgeEvent, Event};
use super::{Node, World};
use crate::plan::{Fault, MS};

/// What is wrong everywhere.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    /// Kafka's reports get lost, in a thousand.
    pub(super) lose_reports: u64,
    /// Kafka refuses, in a thousand.
    pub(super) refuse: u64,
    /// Kafka's records are doubled, in a thousand.
    pub(super) duplicate: u64,
    /// Messages take so long.
    pub(super) slow_us: u64,
}

impl World {
    /// A fault strikes.
    pub(super) fn fault(&mut self, n: usize) {
        let plan = self.plan.faults[n];
        *self.stats.faults.entry(plan.fault.name()).or_default() += 1;
        self.trace.line(self.schedule.now(), || {
            format!("FAULT {:?} for {} ms", plan.fault, plan.lasts / MS)
        });
        let until = self.schedule.now() + plan.lasts;
        match plan.fault {
            Fault::CrashRouter(r) => self.crash(Node::Router(r), plan.lasts),
            Fault::CrashEdge(e) => self.crash(Node::Edge(e), plan.lasts),
            Fault::RouterDiesAt(r, point, nth) => self.routers[r].process.arm(point, nth, plan.lasts),
            Fault::EdgeDiesAt(e, point, nth) => self.edges[e].process.arm(point, nth, plan.lasts),
            Fault::PauseRouter(r) => self.pause(Node::Router(r), until),
            Fault::PauseEdge(e) => self.pause(Node::Edge(e), until),
            Fault::StallRedis => self.stall_redis(until),
            Fault::CrashRedis => self.crash_redis(plan.lasts),
            Fault::FullDisk => self.fill_disk(until),
            Fault::PauseReplica => self.pause_replica(until),
            Fault::StallKafka => self.stall_kafka(until),
            Fault::RebuildConsumer(e, from_start) => self.rebuild_consumer(e, from_start),
            Fault::MovePod(e, alone) => self.move_pod(e, alone),
            Fault::Twin(e) => self.start_twin(e),
            Fault::DrainEdge(e) => self.drain_edge(e, plan.lasts),
            Fault::DrainRouter(r) => self.drain_router(r, plan.lasts),
            Fault::FlappingCharger(c) => self.flap(c, until),
            Fault::BreakLink(e) => self.break_link(e),
            Fault::DropCharger(c, half_open) => self.drop_charger(c, half_open, plan.lasts),
            Fault::SilentCharger(c) => self.chargers[c].silent_until = until,
            Fault::DeafCharger(c) => self.chargers[c].deaf_until = until,
            Fault::CloneCharger(c) => {
                self.wake_clone(c, true);
                self.schedule.at(until, Event::Mend(n));
            }
            Fault::Forger(c) => self.forge(c),
            other => self.cut_or_weather(n, other, until),
        }
    }

    fn cut_or_weather(&mut self, n: usize, fault: Fault, until: u64) {
        match fault {
            Fault::CutLink(e, r, true) => self.cut(Node::Edge(e), Node::Router(r), until),
            Fault::CutLink(e, r, false) => self.cut(Node::Router(r), Node::Edge(e), until),
            Fault::CutLinkBoth(e, r) => {
                self.cut(Node::Edge(e), Node::Router(r), until);
                self.cut(Node::Router(r), Node::Edge(e), until);
            }
            Fault::CutStore(r, true) => self.cut(Node::Router(r), Node::Redis, until),
            Fault::CutStore(r, false) => self.cut(Node::Redis, Node::Router(r), until),
            Fault::CutRouterKafka(r) => self.cut(Node::Router(r), Node::Kafka, until),
            Fault::CutEdgeKafka(e) => self.cut(Node::Kafka, Node::Edge(e), until),
            Fault::CutClients(r, true) => self.cut(Node::Clients, Node::Router(r), until),
            Fault::CutClients(r, false) => self.cut(Node::Router(r), Node::Clients, until),
            Fault::LoseReports(share) => self.weather.lose_reports = share,
            Fault::RefuseProduce(share) => self.weather.refuse = share,
            Fault::Duplicate(share) => self.weather.duplicate = share,
            Fault::SlowNetwork(ms) => self.weather.slow_us = ms * MS,
            _ => {}
        }
        self.schedule.at(until, Event::Mend(n));
    }

    /// A fault of the weather ends; the others end by themselves.
    pub(super) fn mend(&mut self, n: usize) {
        match self.plan.faults[n].fault {
            Fault::LoseReports(_) => self.weather.lose_reports = 0,
            Fault::RefuseProduce(_) => self.weather.refuse = 0,
            Fault::Duplicate(_) => self.weather.duplicate = 0,
            Fault::SlowNetwork(_) => self.weather.slow_us = 0,
            Fault::CloneCharger(c) => self.wake_clone(c, false),
            _ => {}
        }
    }

    /// Everything is mended, and stays so.
    pub(super) fn heal(&mut self) {
        self.trace
            .line(self.schedule.now(), || "everything is mended".to_owned());
        self.healed = true;
        self.weather = Weather::default();
        self.mend_network();
        self.mend_kafka();
        self.mend_redis();
        self.mend_processes();
        self.agree_on_places();
        for n in 0..self.plan.chargers {
            self.wake_clone(n, false);
        }
        for n in 0..self.chargers.len() {
            self.chargers[n].silent_until = 0;
            self.chargers[n].deaf_until = 0;
        }
        self.judge.healed(self.redis_now());
    }

    /// An edge's link breaks at once, on both ends.
    pub(super) fn break_link(&mut self, edge: usize) {
        if let Some(wire) = self.link_of(edge) {
            let life = self.edges[edge].process.life;
            let what = EdgeEvent::LinkBroken { wire };
            self.schedule.after(0, Event::Edge { to: edge, life, what });
        }
    }
}
