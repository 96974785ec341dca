//! Kafka: two lanes a place, of which each pod has two, and the topics of what leaves. A record may be late, twice there, refused, or there
//! without a report.

use std::rc::Rc;

use domain::command::Lane;
use domain::dispatch::Consumes;
use domain::slot::OutboxEntry;
use domain::topics::shard_of_topic;

use super::event::{EdgeEvent, Event, RouterEvent, ShardRecord};
use super::net::Stream;
use super::{Node, World};
use crate::plan::{MS, SECOND};

/// After this a producer gives a record up and says so; below the lease of a dispatch.
const MESSAGE_TIMEOUT_US: u64 = 4 * SECOND;

/// The lanes of all places. Place `n` is that of pod `n` in shard 0, beyond them come those in shard 1.
#[derive(Debug)]
pub(crate) struct Broker {
    lanes: Vec<[Vec<ShardRecord>; 2]>,
    stalled_until: u64,
}

/// Shards, in each of which every pod could have its place.
pub(super) const SHARDS: usize = 2;

/// A record on its way to Kafka.
#[derive(Debug)]
pub(crate) struct Produce {
    router: usize,
    life: u32,
    pub(crate) token: u64,
    sent_at: u64,
    /// The producer has given it up already.
    given_up: bool,
    content: Content,
}

/// A record and where it goes.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// To a lane of a place.
    Shard(usize, Lane, ShardRecord),
    /// To the results, or to the dead letters.
    Left(Rc<(u64, OutboxEntry)>, bool),
}

impl Broker {
    pub(super) fn new(edges: usize) -> Self {
        Self {
            lanes: (0..SHARDS * edges).map(|_| [Vec::new(), Vec::new()]).collect(),
            stalled_until: 0,
        }
    }

    /// Whether it answers nobody.
    pub(super) fn stands_still(&self, now: u64) -> bool {
        self.stalled_until > now
    }

    /// The record at an offset of a lane.
    pub(super) fn record(&self, place: usize, lane: Lane, offset: usize) -> Option<ShardRecord> {
        self.lanes[place][lane as usize].get(offset).cloned()
    }

    /// The end of a lane.
    pub(super) fn end(&self, place: usize, lane: Lane) -> usize {
        self.lanes[place][lane as usize].len()
    }
}

impl Content {
    fn stream(&self, router: usize) -> Stream {
        match self {
            Self::Shard(place, lane, _) => Stream::Lane(router, 2 * place + *lane as usize),
            Self::Left(_, dead) => Stream::Lane(router, 1_000 + usize::from(*dead)),
        }
    }
}

/// The place that a lease names.
pub(super) fn place_of(consumes: &Consumes, edges: usize) -> usize {
    let shard = shard_of_topic(&consumes.topic).map_or(0, |shard| shard.0 as usize);
    shard * edges + usize::try_from(consumes.normal / 2).unwrap_or(0)
}

impl World {
    /// A router produces a record; the report comes under the token.
    pub(super) fn produce(&mut self, router: usize, token: u64, content: Content) {
        let life = self.routers[router].process.life;
        let now = self.schedule.now();
        if self.dice.chance(self.weather.refuse) {
            let us = self.dice.between(1, 50) * MS;
            return self.schedule.after(us, report(router, life, token, false));
        }
        let stream = content.stream(router);
        let at = self.arrival_in(stream, Node::Router(router), Node::Kafka);
        let late = at > now + MESSAGE_TIMEOUT_US;
        if late {
            self.schedule
                .at(now + MESSAGE_TIMEOUT_US, report(router, life, token, false));
        }
        // What was given up was perhaps on the wire.
        if late && !self.dice.chance(300) {
            return;
        }
        let produce = Produce {
            router,
            life,
            token,
            sent_at: now,
            given_up: late,
            content,
        };
        self.schedule.at(at, Event::Append(Box::new(produce)));
    }

    /// A record arrives.
    pub(super) fn append(&mut self, mut produce: Produce) {
        let until = self.kafka.stalled_until;
        if until > self.schedule.now() {
            let give_up_at = produce.sent_at + MESSAGE_TIMEOUT_US;
            if until > give_up_at && !produce.given_up {
                produce.given_up = true;
                self.schedule.at(
                    give_up_at,
                    report(produce.router, produce.life, produce.token, false),
                );
            }
            if produce.given_up && self.dice.chance(500) {
                return;
            }
            return self.schedule.at(until, Event::Append(Box::new(produce)));
        }
        let usual = if self.healed { 0 } else { self.plan.duplicate };
        let twice = self.dice.chance(self.weather.duplicate.max(usual));
        for _ in 0..=u8::from(twice) {
            self.store_record(&produce.content, produce.given_up);
        }
        if produce.given_up {
            return;
        }
        let (router, life, token) = (produce.router, produce.life, produce.token);
        if self.dice.chance(self.weather.lose_reports) {
            return self.schedule.at(
                produce.sent_at + MESSAGE_TIMEOUT_US,
                report(router, life, token, false),
            );
        }
        let at = self.arrival(Node::Kafka, Node::Router(router));
        self.schedule.at(at, report(router, life, token, true));
    }

    fn store_record(&mut self, content: &Content, given_up: bool) {
        match content {
            Content::Shard(place, lane, record) => {
                self.kafka.lanes[*place][*lane as usize].push(record.clone());
                let (pod, shard) = (*place % self.plan.edges, *place / self.plan.edges);
                for twin in [pod, pod + self.plan.edges] {
                    if self.edges[twin].process.up {
                        self.judge_place(twin, shard, record, given_up);
                        self.plan_fetches(twin, shard, *lane);
                    }
                }
            }
            Content::Left(entry, dead) => {
                self.trace.mix(entry.0);
                self.judge.published(&entry.1, *dead);
            }
        }
    }

    /// An edge's consumer will look at a lane.
    pub(super) fn plan_fetch(&mut self, edge: usize, place: u64, lane: Lane) {
        let at = self
            .arrival(Node::Kafka, Node::Edge(edge))
            .max(self.kafka.stalled_until);
        let life = self.edges[edge].process.life;
        let what = EdgeEvent::Fetch { place, lane };
        self.schedule.at(at, Event::Edge { to: edge, life, what });
    }

    /// Kafka stands still.
    pub(super) fn stall_kafka(&mut self, until: u64) {
        self.kafka.stalled_until = until.max(self.kafka.stalled_until);
    }

    /// Kafka goes on.
    pub(super) fn mend_kafka(&mut self) {
        self.kafka.stalled_until = 0;
    }
}

fn report(to: usize, life: u32, token: u64, stored: bool) -> Event {
    Event::Router {
        to,
        life,
        what: RouterEvent::Report { token, stored },
    }
}
