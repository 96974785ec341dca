//! What the store's replies mean to the clients, links and drains that wait for them.

use domain::command::Request;
use domain::delivery::{Event, EventKind};
use domain::edge::{Failed, Input};
use domain::ids::{ChargePointId, CommandId, Incarnation, Micros, Sequence, Slot};
use domain::slot::{AcceptReply, Applied, EventInput, RegisterReply, Registration};

use super::super::client::Outcome;
use super::super::event::{Cached, Down, Haste};
use super::super::store::{Op, RenewReply, Said, TakeReply};
use super::super::{EPOCH_US, World};
use super::told::{LeaseView, Told};
use super::{Origin, Then};
use crate::plan::{MS, Point};

/// A reply of the store with its time, or none.
pub(super) type Answered = Result<(Told, Said), ()>;

impl World {
    pub(super) fn finish_other(&mut self, n: usize, then: Then, result: Answered) {
        match then {
            Then::Accept { call, round, id } => self.accepted(n, (call, round), id, result),
            Then::Get { call, round } => {
                let outcome = match result {
                    Ok((_, Said::Command(command))) => Outcome::Found(command),
                    _ => Outcome::Failed,
                };
                self.reply_to_client(n, call, round, outcome);
            }
            Then::FloorFor(waiting) => self.floor_was_read(n, *waiting, result),
            Then::Register {
                wire,
                charge_point,
                sequence,
            } => self.was_registered(n, wire, (charge_point, Sequence(sequence)), result),
            Then::Unregister(what) => {
                if result.is_err() {
                    self.unregister_failed(n, *what);
                }
            }
            Then::Drain { slot } => self.drained(n, slot, result.ok().map(|(_, said)| said)),
            Then::Trim { slot } => self.trimmed(n, slot, result.is_ok()),
            other => self.finish_lease(n, other, result),
        }
    }

    fn finish_lease(&mut self, n: usize, then: Then, result: Answered) {
        match then {
            Then::Renew {
                join,
                slot,
                charge_points,
            } => {
                let result = match result {
                    Ok((told, Said::Renewed(current, claimed))) => Ok((told, current, claimed)),
                    _ => Err(()),
                };
                self.renewed(n, join, slot, charge_points, result);
            }
            Then::LeaseFor { pod, begun, claimed } => {
                // Without the lease nothing is known of the pod: the claim's lease returns the command.
                if let Some(view) = self.lease_was_read(n, pod, begun, result) {
                    self.dispatch_by(n, (claimed.0, &claimed.1), view);
                }
            }
            Then::LeaseForNote {
                pod,
                begun,
                slot,
                note,
            } => {
                let view = self.lease_was_read(n, pod, begun, result);
                self.send_note_by(n, slot, &note, view);
            }
            Then::Link { wire, edge } => match result {
                Ok((told, Said::Linked(link))) => self.greeted(n, wire, edge, link, told.redis_now),
                _ => self.refuse_link(n, wire, edge),
            },
            Then::Take { wire, request } => self.taken(n, wire, request, &result),
            Then::RenewLease {
                wire,
                request,
                incarnation,
            } => self.lease_renewed(n, (wire, request), incarnation, &result),
            _ => {}
        }
    }

    fn floor_was_read(&mut self, n: usize, (wire, registration): (u64, Registration), result: Answered) {
        let Ok((_, Said::Leases(leases))) = result else {
            return self.register_failed(n, wire, registration.charge_point);
        };
        self.routers[n].floor = Cached {
            read_at: Some(self.schedule.now()),
            value: leases.iter().map(|l| l.floor).max().unwrap_or_default(),
        };
        self.register_above(n, wire, registration);
    }

    fn was_registered(
        &mut self,
        n: usize,
        wire: u64,
        (charge_point, sequence): (ChargePointId, Sequence),
        result: Answered,
    ) {
        let Ok((told, Said::Registered(reply))) = result else {
            return self.register_failed(n, wire, charge_point);
        };
        let slot = self.redis.data.slot_of(&charge_point);
        let (input, claimed) = match reply {
            RegisterReply::Registered { version, claimed, .. } => {
                self.judge.told(&charge_point, version);
                let input = Input::Registered {
                    charge_point,
                    sequence,
                    version,
                };
                (input, claimed)
            }
            RegisterReply::Refused(_) => {
                let input = Input::RegisterRefused {
                    charge_point,
                    sequence,
                };
                (input, Vec::new())
            }
        };
        if !self.follow_up(n, slot, told, claimed) {
            self.answer_link(n, wire, Some((Down::Input(input), told.redis_now)));
        }
    }

    /// A lease was read, or not; it is kept for a while.
    fn lease_was_read(&mut self, n: usize, pod: usize, begun: u64, result: Answered) -> Option<LeaseView> {
        let Ok((told, Said::Lease(lease))) = result else {
            return None;
        };
        let told = Told { asked: begun, ..told };
        let view = LeaseView { lease, told };
        self.routers[n].leases[pod] = Some(view.clone());
        Some(view)
    }

    /// A client's command.
    pub(super) fn send_command(&mut self, n: usize, call: usize, round: u32) {
        let plan = self.plan.calls[call];
        let charge_point = self.charge_points[plan.charger].clone();
        let slot = Slot(u16::try_from(self.redis.data.slot_of(&charge_point)).unwrap_or(0));
        // The wall clock of the router is off; it only orders listings.
        let wall = (EPOCH_US + self.schedule.now()) / 1_000;
        let wall = wall.saturating_add_signed(self.plan.skew_s[n] * 1_000);
        let mut random = [0; 10];
        random[1..9].copy_from_slice(&self.dice.number().to_be_bytes());
        let request = Request {
            id: CommandId::new(wall, random, slot),
            ..plan.request(charge_point, Micros(EPOCH_US + plan.at))
        };
        let id = request.id;
        self.ask(n, Op::Accept(Box::new(request)), Then::Accept { call, round, id });
    }

    fn accepted(&mut self, n: usize, (call, round): (usize, u32), id: CommandId, result: Answered) {
        let outcome = match result {
            Ok((told, Said::Accepted(AcceptReply::Accepted { claimed, .. }))) => {
                let slot = self.redis.data.slot_of_id(id);
                if self.follow_up(n, slot, told, claimed) || self.router_dies_at(n, Point::BeforeAccepted) {
                    return;
                }
                Outcome::Accepted(id)
            }
            Ok((_, Said::Accepted(AcceptReply::Known { id, .. }))) => Outcome::Known(id),
            Ok((_, Said::Accepted(AcceptReply::Refused(refusal)))) => Outcome::Refused(refusal),
            _ => Outcome::Failed,
        };
        self.reply_to_client(n, call, round, outcome);
    }

    /// A client takes a command back.
    pub(super) fn cancel_command(&mut self, n: usize, call: usize, round: u32, id: CommandId) {
        let event = Event::open(EventKind::Cancel);
        let input = EventInput {
            id,
            event,
            answer: None,
            charge_point: None,
        };
        self.submit(n, input, Origin::Cancel { call, round }, Haste::Now);
    }

    /// Tells whoever sent an event what became of it; none if that is unknown.
    pub(super) fn tell_origin(&mut self, n: usize, origin: Origin, applied: Option<(Micros, Applied)>) {
        match origin {
            Origin::GiveBack => {}
            Origin::Cancel { call, round } => {
                let outcome = match applied {
                    Some((_, applied)) => Outcome::Cancelled(applied.verdict, applied.status),
                    None => Outcome::Failed,
                };
                self.reply_to_client(n, call, round, outcome);
            }
            Origin::Link { wire, item, nonce } => {
                let kind = super::items::kind_of(&item);
                let Some((_, id)) = kind else {
                    return self.answer_link(n, wire, None);
                };
                let answer = match applied {
                    Some((now, applied)) => {
                        super::items::say(&item, nonce, &applied).map(|input| (Down::Input(input), now))
                    }
                    None => Some((Down::Input(Input::Failed(Failed::Command(id))), Micros(0))),
                };
                self.answer_link(n, wire, answer);
            }
        }
    }

    fn taken(&mut self, n: usize, wire: u64, request: u64, result: &Answered) {
        let down = match *result {
            Ok((Told { redis_now: now, .. }, Said::Taken(reply))) => {
                let down = match reply {
                    TakeReply::Taken {
                        incarnation,
                        expires,
                        placed,
                    } => {
                        self.now_lives(n, wire, incarnation);
                        self.lease_down(n, request, incarnation, (expires, now), !placed)
                    }
                    TakeReply::Superseded => refused(request, true),
                };
                (down, now)
            }
            _ => (Down::Failed { request }, Micros(0)),
        };
        self.forget_lease(n, wire);
        self.answer_link(n, wire, Some(down));
    }

    fn lease_renewed(
        &mut self,
        n: usize,
        (wire, request): (u64, u64),
        incarnation: Incarnation,
        result: &Answered,
    ) {
        let down = match *result {
            Ok((Told { redis_now: now, .. }, Said::LeaseRenewed(reply))) => {
                let down = match reply {
                    RenewReply::Renewed { expires, late } => {
                        self.now_lives(n, wire, incarnation);
                        self.lease_down(n, request, incarnation, (expires, now), late)
                    }
                    RenewReply::Lapsed => refused(request, false),
                    RenewReply::Superseded => refused(request, true),
                };
                (down, now)
            }
            _ => (Down::Failed { request }, Micros(0)),
        };
        self.answer_link(n, wire, Some(down));
    }

    /// The lease in whole milliseconds, as the message carries it.
    fn lease_down(
        &self,
        n: usize,
        request: u64,
        incarnation: Incarnation,
        (expires, now): (Micros, Micros),
        passed_over: bool,
    ) -> Down {
        let lease_us = expires.0.saturating_sub(now.0) / MS * MS;
        let epoch = self.routers[n].epoch;
        Down::Lease {
            request,
            incarnation,
            lease_us,
            epoch,
            passed_over,
        }
    }
}

fn refused(request: u64, superseded: bool) -> Down {
    Down::LeaseRefused { request, superseded }
}
