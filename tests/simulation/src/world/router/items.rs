//! What an edge says, as calls to the store; and what the store's verdicts mean to the edge.

use domain::command::Status;
use domain::delivery::{Event, EventKind, Verdict};
use domain::edge::{DispatchRef, Failed, Input, Item, RefusalReason};
use domain::ids::{ChargePointId, CommandId, Incarnation, LinkNumber, Micros, Nonce, Version};
use domain::slot::{Applied, Claimed, EventInput, Registration};

use super::super::World;
use super::super::event::{Down, Haste, RouterEvent, Up};
use super::super::store::{Held, Op};
use super::told::Told;
use super::{Join, Origin, Then};
use crate::plan::MS;

/// How old a floor may be.
const FLOOR_AGE_US: u64 = 250 * MS;
/// How often an unregistration is tried.
const UNREGISTER_TRIES: u32 = 5;

impl World {
    /// An edge says something over a link.
    pub(super) fn up_item(&mut self, n: usize, wire: u64, item: Up) {
        let Some(session) = self.routers[n].wires.get_mut(&wire).filter(|s| !s.broken) else {
            return;
        };
        session.last_heard = self.schedule.now();
        session.working += 1;
        let (edge, link, process, shard) = (session.edge, session.link, session.process, session.shard);
        let pod = self.pod_of(edge);
        let take = |last| Op::Take {
            pod,
            link,
            last,
            process,
            shard,
        };
        match item {
            Up::Take { request, last } => self.ask(n, take(last), Then::Take { wire, request }),
            Up::Renew {
                request,
                incarnation,
                floor,
                shard,
            } => {
                let named = (incarnation, floor, shard);
                self.renew_lease(n, (wire, request), (pod, link), named);
            }
            Up::Goodbye { incarnation } => {
                self.ask(n, Op::Draining(pod, incarnation), Then::Nothing);
                self.answer_link(n, wire, None);
            }
            Up::Item(item, haste) => self.item(n, wire, pod, (item, haste)),
        }
    }

    fn renew_lease(
        &mut self,
        n: usize,
        (wire, request): (u64, u64),
        (pod, link): (usize, LinkNumber),
        (incarnation, floor, shard): (Incarnation, Version, Option<usize>),
    ) {
        let then = Then::RenewLease {
            wire,
            request,
            incarnation,
        };
        let op = Op::RenewLease {
            pod,
            link,
            incarnation,
            floor,
            shard,
        };
        self.ask(n, op, then);
    }

    fn item(&mut self, n: usize, wire: u64, pod: usize, (item, haste): (Item, Haste)) {
        match item {
            item @ Item::Register { .. } => self.register_item(n, wire, pod, item),
            Item::Unregister {
                charge_point,
                incarnation,
                version,
            } => {
                self.unregister(n, (charge_point, incarnation, version, 0));
                self.answer_link(n, wire, None);
            }
            Item::RenewConnections {
                request,
                incarnation,
                connections,
            } => {
                self.renew_connections(n, (wire, request), pod, incarnation, connections);
            }
            Item::NoteDone { charge_point, note } => {
                self.ask(n, Op::NoteDone(charge_point, note), Then::Nothing);
                self.answer_link(n, wire, None);
            }
            item => {
                let Some((input, nonce)) = event_of(&item) else {
                    return;
                };
                let item = Box::new(item);
                self.submit(n, input, Origin::Link { wire, item, nonce }, haste);
            }
        }
    }

    /// A registration needs the floor, which may have to be read.
    fn register_item(&mut self, n: usize, wire: u64, pod: usize, item: Item) {
        let Item::Register {
            charge_point,
            incarnation,
            sequence,
            first_version,
            ocpp_version,
        } = item
        else {
            return;
        };
        let registration = Registration {
            charge_point,
            pod: self.pods[pod].clone(),
            incarnation,
            sequence,
            first_version,
            floor: Version(0),
            ocpp_version: ocpp_version.into(),
        };
        let now = self.schedule.now();
        if self.routers[n].floor.is_fresh(now, FLOOR_AGE_US) {
            return self.register_above(n, wire, registration);
        }
        self.ask(n, Op::Leases, Then::FloorFor(Box::new((wire, registration))));
    }

    /// Registers above the highest version that any edge holds.
    pub(super) fn register_above(&mut self, n: usize, wire: u64, mut registration: Registration) {
        registration.floor = self.routers[n].floor.value;
        let then = Then::Register {
            wire,
            charge_point: registration.charge_point.clone(),
            sequence: registration.sequence.0,
        };
        self.ask(n, Op::Register(Box::new(registration)), then);
    }

    pub(super) fn register_failed(&mut self, n: usize, wire: u64, charge_point: ChargePointId) {
        let down = Down::Input(Input::Failed(Failed::Register(charge_point)));
        self.answer_link(n, wire, Some((down, Micros(0))));
    }

    pub(super) fn unregister(&mut self, n: usize, what: (ChargePointId, Incarnation, Version, u32)) {
        let op = Op::Unregister(what.0.clone(), what.1, what.2);
        self.ask(n, op, Then::Unregister(Box::new(what)));
    }

    /// Tried a few times; then the lease's end or a refused record says the same.
    pub(super) fn unregister_failed(
        &mut self,
        n: usize,
        mut what: (ChargePointId, Incarnation, Version, u32),
    ) {
        let pause = (100 * MS) << what.3;
        what.3 += 1;
        if what.3 < UNREGISTER_TRIES {
            self.plan_router(n, pause, RouterEvent::UnregisterAgain(Box::new(what)));
        }
    }

    /// One call a slot; the edge is answered when all are done.
    fn renew_connections(
        &mut self,
        n: usize,
        (wire, request): (u64, u64),
        pod: usize,
        incarnation: Incarnation,
        connections: Vec<(ChargePointId, Version)>,
    ) {
        let mut slots: Vec<Vec<Held>> = vec![Vec::new(); self.redis.data.slots.len()];
        for (charge_point, version) in connections {
            let slot = self.redis.data.slot_of(&charge_point);
            slots[slot].push(Held {
                charge_point,
                pod,
                incarnation,
                version,
            });
        }
        let join = self.routers[n].token();
        let left = slots.iter().filter(|held| !held.is_empty()).count();
        let lost = Vec::new();
        self.routers[n].joins.insert(
            join,
            Join {
                wire,
                request,
                left,
                failed: false,
                lost,
            },
        );
        for (slot, held) in slots.into_iter().enumerate() {
            if !held.is_empty() {
                let charge_points = held.iter().map(|h| h.charge_point.clone()).collect();
                self.ask(
                    n,
                    Op::Renew(slot, held),
                    Then::Renew {
                        join,
                        slot,
                        charge_points,
                    },
                );
            }
        }
    }

    pub(super) fn renewed(
        &mut self,
        n: usize,
        join: u64,
        slot: usize,
        charge_points: Vec<ChargePointId>,
        result: Result<(Told, Vec<bool>, Vec<Claimed>), ()>,
    ) {
        let Some(mut open) = self.routers[n].joins.remove(&join) else {
            return;
        };
        open.left -= 1;
        match result {
            Ok((told, current, claimed)) => {
                let lost = charge_points
                    .into_iter()
                    .zip(current)
                    .filter(|(_, current)| !current);
                open.lost.extend(lost.map(|(charge_point, _)| charge_point));
                if self.follow_up(n, slot, told, claimed) {
                    return;
                }
            }
            Err(()) => open.failed = true,
        }
        if open.left > 0 {
            self.routers[n].joins.insert(join, open);
            return;
        }
        let (wire, request) = (open.wire, open.request);
        let input = if open.failed {
            Input::Failed(Failed::Renewal(request))
        } else {
            Input::ConnectionsRenewed {
                request,
                lost: open.lost,
            }
        };
        self.answer_link(n, wire, Some((Down::Input(input), Micros(0))));
    }
}

/// The event of an item about a command.
fn event_of(item: &Item) -> Option<(EventInput, Nonce)> {
    let (kind, id) = kind_of(item)?;
    let mut event = Event::open(kind);
    let (mut answered, mut speaks_of) = (None, None);
    match item {
        Item::Intent { dispatch, nonce } | Item::NonWrite { dispatch, nonce } => {
            (event.dispatch, event.version, event.nonce) = (dispatch.dispatch, dispatch.version, *nonce);
        }
        Item::Written { dispatch } => (event.dispatch, event.version) = (dispatch.dispatch, dispatch.version),
        Item::Refusal {
            dispatch,
            incarnation,
            ..
        } => {
            (event.dispatch, event.version) = (dispatch.dispatch, dispatch.version);
            event.incarnation = *incarnation;
        }
        Item::Answer {
            answer, charge_point, ..
        } => (answered, speaks_of) = (Some(answer.clone()), Some(charge_point.clone())),
        _ => return None,
    }
    let input = EventInput {
        id,
        event,
        answer: answered,
        charge_point: speaks_of,
    };
    Some((input, event.nonce))
}

/// What an item says, and of which command.
pub(super) fn kind_of(item: &Item) -> Option<(EventKind, CommandId)> {
    let of = |kind, dispatch: &DispatchRef| Some((kind, dispatch.id));
    match item {
        Item::Intent { dispatch, .. } => of(EventKind::Intent, dispatch),
        Item::NonWrite { dispatch, .. } => of(EventKind::NonWrite, dispatch),
        Item::Written { dispatch } => of(EventKind::Written, dispatch),
        Item::Refusal {
            dispatch,
            reason: RefusalReason::StaleRoute,
            ..
        } => of(EventKind::StaleRoute, dispatch),
        Item::Refusal {
            dispatch,
            reason: RefusalReason::NotReady,
            ..
        } => of(EventKind::NotReady, dispatch),
        Item::Answer { id, .. } => Some((EventKind::Answer, *id)),
        _ => None,
    }
}

/// What a verdict means to the edge that sent the event.
pub(super) fn say(item: &Item, nonce: Nonce, applied: &Applied) -> Option<Input> {
    let (kind, id) = kind_of(item)?;
    match kind {
        EventKind::Intent => {
            let fine = matches!(applied.verdict, Some(Verdict::Applied | Verdict::Repeated));
            let granted = fine && applied.status == Some(Status::Delivered) && applied.write_before.0 > 0;
            let write_before = applied.write_before;
            Some(if granted {
                Input::Grant {
                    id,
                    nonce,
                    write_before,
                }
            } else {
                Input::IntentRefused { id, nonce }
            })
        }
        EventKind::NonWrite => Some(Input::NonWriteConfirmed { id, nonce }),
        EventKind::Answer => Some(Input::AnswerConfirmed {
            id,
            charge_point: match item {
                Item::Answer { charge_point, .. } => Some(charge_point.clone()),
                _ => None,
            },
        }),
        _ => None,
    }
}
