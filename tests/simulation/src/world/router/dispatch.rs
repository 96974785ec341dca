//! Claims on their way to Kafka; `domain::dispatch` decides.

use std::rc::Rc;

use domain::command::Route;
use domain::delivery::{Event, EventKind};
use domain::dispatch::{self, Input, Step};
use domain::edge::RoutedCommand;
use domain::ids::{CommandId, DispatchNumber, Incarnation, Nonce};
use domain::slot::{Claimed, EventInput};

use super::super::World;
use super::super::event::{Haste, ShardRecord};
use super::super::kafka::{Content, place_of};
use super::super::store::Op;
use super::told::{LeaseView, Told};
use super::{Origin, Reporting, Then};
use crate::plan::Point;

impl World {
    /// A dispatch begins: the pod's lease is read.
    pub(super) fn dispatch(&mut self, n: usize, told: Told, claimed: Claimed) {
        let Some(route) = claimed.command.progress.route.clone() else {
            return;
        };
        let Some(pod) = self.pods.iter().position(|p| *p == route.pod) else {
            return;
        };
        match self.cached_lease(n, pod, route.incarnation) {
            Some(view) => self.dispatch_by(n, (told, &claimed), view),
            None => {
                let (begun, claimed) = (self.schedule.now(), Box::new((told, claimed)));
                self.ask(n, Op::Lease(pod), Then::LeaseFor { pod, begun, claimed });
            }
        }
    }

    /// The lease was read. What is left of the claim is found by the time that came with it, what is left of the
    /// lease by the time that came with that.
    pub(super) fn dispatch_by(&mut self, n: usize, (told, claimed): (Told, &Claimed), view: LeaseView) {
        let command = &claimed.command;
        let Some(route) = command.progress.route.clone() else {
            return;
        };
        let here = self.schedule.now();
        let (now, left) = (
            view.told.latest(here),
            command.progress.timer.0.saturating_sub(told.latest(here).0),
        );
        let (id, dispatch) = (command.request.id, command.progress.dispatch);
        match dispatch::step(&route, now.plus(left), now, Input::LeaseRead(view.lease)) {
            Step::Produce(place) => {
                let real_now = self.redis_now();
                self.judge.dispatched(claimed, real_now);
                let token = self.routers[n].token();
                self.routers[n]
                    .reports
                    .insert(token, Reporting::Dispatch { id, route, dispatch });
                let place = place_of(&place, self.plan.edges);
                self.produce_if_closed(n, token, content(claimed, place));
                self.router_dies_at(n, Point::AfterProduce);
            }
            Step::GiveBack(_) => self.give_back(n, id, &route, dispatch),
            Step::Done => {}
        }
    }

    /// Kafka reported on a record.
    pub(super) fn reported(&mut self, n: usize, token: u64, stored: bool) {
        self.breaker_hears(n, token, stored);
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
            Haste::Now,
        );
    }
}

/// The record of a claim.
fn content(claimed: &Claimed, place: usize) -> Content {
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
    let record = ShardRecord::Command(Rc::new((incarnation, routed)));
    Content::Shard(place, request.priority.lane(), record)
}
