//! What an edge's consumers do: they open places, read lanes, and give records to the machine.

use domain::command::Lane;
use domain::edge::Input;
use domain::slot::NoteKind;

use super::super::event::{EdgeEvent, ShardRecord};
use super::super::kafka::SHARDS;
use super::super::{Node, World};
use super::places::Place;
use crate::plan::{MS, Point, SECOND};

impl World {
    /// The router said where to consume.
    pub(super) fn place_was_told(&mut self, n: usize, shard: usize, link: u64) {
        let now = self.schedule.now();
        if self.edges[n].places.wants(shard, now) {
            let place = self.new_name();
            self.edges[n].places.coming = Some(Place::new(place, shard, link));
            let us = self.dice.between(20, 400) * MS;
            self.plan_edge(n, us, EdgeEvent::ConsumerOpen { place });
        }
    }

    /// Routers were told where to send.
    pub(super) fn place_was_published(&mut self, n: usize, shard: usize) {
        let now = self.schedule.now();
        self.edges[n].places.publish(shard, now);
    }

    /// Time passes for the places.
    pub(super) fn places_tick(&mut self, n: usize) {
        let (now, before) = (
            self.schedule.now(),
            self.edges[n].places.proven(self.schedule.now()),
        );
        self.edges[n].places.advance(now);
        let after = self.edges[n].places.proven(now);
        if before != after && after.is_some() {
            self.trace
                .line(now, || format!("edge {n} consumes in shard {after:?}"));
        }
    }

    /// A consumer stands where it will read next: at the end of its lanes at first, where it was after that. A
    /// place is current at once where there is none to move from.
    pub(super) fn consumer_opens(&mut self, n: usize, place: u64) {
        if self.is_cut(Node::Kafka, Node::Edge(n)) {
            return self.plan_edge(n, SECOND, EdgeEvent::ConsumerOpen { place });
        }
        let (pod, edges, kafka) = (self.pod_of(n), self.plan.edges, &self.kafka);
        let Some(opened) = self.edges[n].places.named(place) else {
            return;
        };
        let ends = [Lane::Normal, Lane::Urgent].map(|lane| kafka.end(opened.shard * edges + pod, lane));
        opened.offsets.get_or_insert(ends);
        opened.open = true;
        for lane in Lane::ALL {
            self.plan_fetch(n, place, lane);
        }
    }

    /// The consumer is replaced. Where its offset is out of range, it starts at the log's start.
    pub(in crate::world) fn rebuild_consumer(&mut self, n: usize, from_start: bool) {
        if let Some(current) = self.edges[n].places.current.as_mut().filter(|p| p.open) {
            current.open = false;
            if from_start {
                current.offsets = Some([0, 0]);
            }
            let (place, us) = (current.name, self.dice.between(200, 2_000) * MS);
            self.plan_edge(n, us, EdgeEvent::ConsumerOpen { place });
        }
    }

    /// The consumers of a shard will look at a lane.
    pub(in crate::world) fn plan_fetches(&mut self, n: usize, shard: usize, lane: Lane) {
        let places = self.edges[n].places.all().filter(|p| p.shard == shard && p.open);
        for place in places.map(|p| p.name).collect::<Vec<_>>() {
            self.plan_fetch(n, place, lane);
        }
    }

    /// A record came to a lane: the life that it is for consumes there. Where a roll-back took the lease's place back,
    /// the lease names the former one until the next renewal; a record that its producer gave up may be there at any
    /// time.
    pub(in crate::world) fn judge_place(
        &mut self,
        n: usize,
        shard: usize,
        record: &ShardRecord,
        given_up: bool,
    ) {
        if let ShardRecord::Command(record) = record
            && record.0 == self.edges[n].incarnation()
            && !given_up
        {
            let consumed = self.edges[n].places.all().any(|p| p.shard == shard);
            let moving = self.edges[n].places.old.is_some();
            self.judge
                .sent_to_place(n, (shard, moving), consumed, record.1.id);
        }
    }

    /// Reads what is there in a lane.
    pub(super) fn fetch(&mut self, n: usize, place: u64, lane: Lane) {
        let (pod, edges) = (self.pod_of(n), self.plan.edges);
        while self.edges[n].process.up {
            let Some(place) = self.edges[n].places.named(place).filter(|p| p.open) else {
                return;
            };
            let (shard, Some(offsets)) = (place.shard, &mut place.offsets) else {
                return;
            };
            let offset = &mut offsets[lane as usize];
            let Some(record) = self.kafka.record(shard * edges + pod, lane, *offset) else {
                return;
            };
            *offset += 1;
            self.consume(n, (shard, lane), record);
        }
    }

    fn consume(&mut self, n: usize, (shard, lane): (usize, Lane), record: ShardRecord) {
        let now = self.schedule.now();
        match record {
            ShardRecord::Canary { link } => {
                self.edges[n].places.seen(shard, lane, link, now);
                self.places_tick(n);
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

    /// The configuration gives a pod another place. Routers say so when an edge links.
    pub(in crate::world) fn move_pod(&mut self, pod: usize, alone: bool) {
        let routers = if alone { 1 } else { self.routers.len() };
        let first = if alone {
            self.dice.index(self.routers.len())
        } else {
            0
        };
        for shards in self.shards.iter_mut().skip(first).take(routers) {
            shards[pod] = (shards[pod] + 1) % SHARDS;
        }
        for edge in [pod, pod + self.plan.edges] {
            self.break_link(edge);
        }
    }

    /// All routers have the same configuration.
    pub(in crate::world) fn agree_on_places(&mut self) {
        if let Some(first) = self.shards.first().cloned() {
            self.shards.fill(first);
        }
    }
}
