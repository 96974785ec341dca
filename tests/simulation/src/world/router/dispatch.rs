//! Claims on their way to Kafka; `domain::dispatch` decides.

use std::rc::Rc;

use domain::command::Route;
use domain::delivery::{Event, EventKind};
use domain::dispatch::{self, Consumes, Input, Lease, Step};
use domain::edge::RoutedCommand;
use domain::ids::{CommandId, DispatchNumber, Incarnation, Nonce};
use domain::slot::{Claimed, EventInput};

use super::super::World;
use super::super::event::{MaybeLease, ShardRecord};
use super::super::kafka::Content;
use super::super::store::Op;
use super::{Origin, Reporting, Then};
use crate::plan::{MS, Point};

/// How old a lease may be, and one that says that a life is not there.
const MAX_AGE_US: u64 = 250 * MS;
const MAX_AGE_OF_ABSENCE_US: u64 = 20 * MS;

impl World {
    /// A dispatch begins: the pod's lease is read.
    pub(super) fn dispatch(&mut self, n: usize, claimed: Claimed) {
        let Some(route) = claimed.command.progress.route.clone() else {
            return;
        };
        let Some(pod) = self.pods.iter().position(|p| *p == route.pod) else {
            return;
        };
        match self.cached_lease(n, pod, route.incarnation) {
            Some(lease) => self.dispatch_by(n, &claimed, lease),
            None => {
                let (begun, claimed) = (self.schedule.now(), Box::new(claimed));
                self.ask(n, Op::Lease(pod), Then::LeaseFor { pod, begun, claimed });
            }
        }
    }

    /// The lease as it was read of late; none if it must be read.
    pub(super) fn cached_lease(&self, n: usize, pod: usize, incarnation: Incarnation) -> Option<MaybeLease> {
        let cached = &self.routers[n].leases[pod];
        let there = |l: &Lease| l.incarnation == incarnation && !l.suspect && !l.draining;
        let max_age = if cached.value.as_ref().is_some_and(there) {
            MAX_AGE_US
        } else {
            MAX_AGE_OF_ABSENCE_US
        };
        cached
            .is_fresh(self.schedule.now(), max_age)
            .then(|| cached.value.clone())
    }

    /// The lease was read.
    pub(super) fn dispatch_by(&mut self, n: usize, claimed: &Claimed, lease: MaybeLease) {
        let command = &claimed.command;
        let Some(route) = command.progress.route.clone() else {
            return;
        };
        let now = self.routers[n].redis_now(self.schedule.now());
        let (id, dispatch) = (command.request.id, command.progress.dispatch);
        match dispatch::step(&route, command.progress.timer, now, Input::LeaseRead(lease)) {
            Step::Produce(place) => {
                let real_now = self.redis_now();
                self.judge.dispatched(claimed, real_now);
                let token = self.routers[n].token();
                self.routers[n]
                    .reports
                    .insert(token, Reporting::Dispatch { id, route, dispatch });
                self.produce(n, token, content(claimed, &place));
                self.router_dies_at(n, Point::AfterProduce);
            }
            Step::GiveBack(_) => self.give_back(n, id, &route, dispatch),
            Step::Done => {}
        }
    }

    /// Kafka reported on a record.
    pub(super) fn reported(&mut self, n: usize, token: u64, stored: bool) {
        let Some(reporting) = self.routers[n].reports.remove(&token) else {
            return;
        };
        match reporting {
            Reporting::Dispatch { id, route, dispatch } => {
                let input = if stored {
                    Input::Produced
                } else {
                    Input::ProduceFailed
                };
                let now = self.redis_now();
                if let Step::GiveBack(_) = dispatch::step(&route, now, now, input) {
                    self.give_back(n, id, &route, dispatch);
                }
            }
            Reporting::Entry { slot, chain } => self.entry_reported(n, slot, chain, stored),
            Reporting::Note { slot } => self.note_reported(n, slot),
        }
    }

    fn give_back(&mut self, n: usize, id: CommandId, route: &Route, dispatch: DispatchNumber) {
        let event = Event {
            kind: EventKind::Undelivered,
            dispatch,
            version: route.version,
            nonce: Nonce(0),
            incarnation: Incarnation(0),
        };
        self.submit(
            n,
            EventInput {
                id,
                event,
                answer: None,
                charge_point: None,
            },
            Origin::GiveBack,
        );
    }
}

/// The record of a claim.
fn content(claimed: &Claimed, place: &Consumes) -> Content {
    let (request, progress) = (&claimed.command.request, &claimed.command.progress);
    let (incarnation, version) = progress
        .route
        .as_ref()
        .map(|r| (r.incarnation, r.version))
        .unwrap_or_default();
    let routed = RoutedCommand {
        id: request.id,
        charge_point: request.charge_point.clone(),
        action: request.action.clone(),
        payload: request.payload.clone(),
        priority: request.priority,
        class: request.class,
        deadline: claimed.command.deadline,
        dispatch: progress.dispatch,
        version,
        attempt: progress.attempts + 1,
        answer_timeout_us: request.answer_timeout_us,
    };
    let edge = usize::try_from(place.normal / 2).unwrap_or(0);
    let record = ShardRecord::Command(Rc::new((incarnation, routed)));
    Content::Shard(edge, request.priority.lane(), record)
}
