//! What a router does with an edge's word: one call of the slot, and its answer.

use domain::command::{Answer, Status};
use domain::delivery::{Event, EventKind, Verdict};
use domain::edge::{DispatchRef, Input, Item, RefusalReason};
use domain::ids::{ChargePointId, CommandId, Incarnation, LinkNumber, Micros, Nonce, Version};
use domain::slot::{Applied, EventInput, RegisterReply, Registration};

use crate::judge::Before;
use crate::scale::VERSION_BASE;
use crate::state::{State, charge_point, pod};

impl State {
    /// An edge's word.
    pub(crate) fn handle_item(&mut self, from: (u8, LinkNumber), router: u8, item: &Item) {
        match item {
            Item::Register { .. } => self.register(from, router, item),
            Item::Unregister {
                incarnation, version, ..
            } => {
                let before = Before::of(&self.store.slot, None);
                let named = (*incarnation, *version);
                let _ = self.on_slot(|slot, call| slot.unregister(&charge_point(), named.0, named.1, call));
                self.judge.see_unregister(&before, &self.store.slot, named);
                self.after(router, vec![], false);
            }
            Item::RenewConnections {
                request,
                incarnation,
                connections,
            } => {
                self.renew(from, router, (*request, *incarnation), connections);
            }
            Item::NoteDone { charge_point, note } => {
                self.store.edit().slot.note_done(charge_point, note);
            }
            item => self.handle_event(from, router, item),
        }
    }

    fn register(&mut self, from: (u8, LinkNumber), router: u8, item: &Item) {
        let Some(registration) = self.registration(from.0, item) else {
            return;
        };
        let before = Before::of(&self.store.slot, None);
        let held = self.store.slot.devices.values().next();
        let repeated = held.is_some_and(|d| {
            let same = (d.incarnation, d.sequence) == (registration.incarnation, registration.sequence);
            d.connected && same && d.pod.as_ref() == Some(&registration.pod)
        });
        let reply = self.on_slot(|slot, call| slot.register(&registration, call));
        let (charge_point, sequence) = (charge_point(), registration.sequence);
        let (input, claimed) = match reply {
            Ok(RegisterReply::Registered { version, claimed, .. }) => {
                self.judge.see_version(&before, version, repeated);
                (
                    Input::Registered {
                        charge_point,
                        sequence,
                        version,
                    },
                    claimed,
                )
            }
            _ => (
                Input::RegisterRefused {
                    charge_point,
                    sequence,
                },
                vec![],
            ),
        };
        self.after(router, claimed, false);
        self.tell(from, input);
    }

    fn registration(&self, edge: u8, item: &Item) -> Option<Registration> {
        let Item::Register {
            incarnation,
            sequence,
            first_version,
            ocpp_version,
            ..
        } = item
        else {
            return None;
        };
        // In production the clock is above every version so far, also above those that a roll-back took away.
        let floors = self.store.pods.iter().map(|p| p.floor.0);
        let floor = floors.fold(VERSION_BASE.max(self.judge.version().0), u64::max);
        Some(Registration {
            charge_point: charge_point(),
            pod: pod(edge),
            incarnation: *incarnation,
            sequence: *sequence,
            first_version: *first_version,
            floor: Version(floor),
            ocpp_version: (*ocpp_version).to_owned(),
        })
    }

    fn renew(
        &mut self,
        from: (u8, LinkNumber),
        router: u8,
        (request, incarnation): (u64, Incarnation),
        connections: &[(ChargePointId, Version)],
    ) {
        let mut lost = vec![];
        for (charge_point, version) in connections {
            let pod = pod(from.0);
            let held = (charge_point, &pod, incarnation, *version);
            if let Ok((current, claimed)) = self.on_slot(|slot, call| slot.renew(held, true, call)) {
                if !current {
                    lost.push(charge_point.clone());
                }
                self.after(router, claimed, false);
            }
        }
        self.tell(from, Input::ConnectionsRenewed { request, lost });
    }

    fn handle_event(&mut self, from: (u8, LinkNumber), router: u8, item: &Item) {
        let Some(input) = event_of(item) else { return };
        let (id, kind, nonce) = (input.id, input.event.kind, input.event.nonce);
        let Some(applied) = self.apply(router, &input) else {
            return;
        };
        let answer = match kind {
            EventKind::Intent => Some(match granted(&applied) {
                Some(write_before) => Input::Grant {
                    id,
                    nonce,
                    write_before,
                },
                None => Input::IntentRefused { id, nonce },
            }),
            EventKind::NonWrite => Some(Input::NonWriteConfirmed { id, nonce }),
            EventKind::Answer => Some(Input::AnswerConfirmed {
                id,
                charge_point: Some(charge_point()),
            }),
            _ => None,
        };
        if let Some(input) = answer {
            self.tell(from, input);
        }
    }
}

/// The event of an edge's word.
pub(super) fn event_of(item: &Item) -> Option<EventInput> {
    let none = (Nonce(0), Incarnation(0));
    let (kind, dispatch, (nonce, incarnation)) = match item {
        Item::Intent { dispatch, nonce } => (EventKind::Intent, dispatch, (*nonce, Incarnation(0))),
        Item::NonWrite { dispatch, nonce } => (EventKind::NonWrite, dispatch, (*nonce, Incarnation(0))),
        Item::Written { dispatch } => (EventKind::Written, dispatch, none),
        Item::Refusal {
            dispatch,
            incarnation,
            reason,
        } => {
            let kind = match reason {
                RefusalReason::StaleRoute => EventKind::StaleRoute,
                RefusalReason::NotReady => EventKind::NotReady,
            };
            (kind, dispatch, (Nonce(0), *incarnation))
        }
        Item::Answer { id, answer, .. } => return Some(answer_of(*id, answer)),
        _ => return None,
    };
    let DispatchRef {
        id,
        dispatch,
        version,
        ..
    } = dispatch;
    let event = Event {
        kind,
        dispatch: *dispatch,
        version: *version,
        nonce,
        incarnation,
    };
    Some(EventInput {
        id: *id,
        event,
        answer: None,
        charge_point: None,
    })
}

fn answer_of(id: CommandId, answer: &Answer) -> EventInput {
    EventInput {
        id,
        event: Event::open(EventKind::Answer),
        answer: Some(answer.clone()),
        charge_point: Some(charge_point()),
    }
}

/// The end of the grant that an intent got, now or the first time it was sent.
fn granted(applied: &Applied) -> Option<Micros> {
    let granted = matches!(applied.verdict, Some(Verdict::Applied | Verdict::Repeated));
    (granted && applied.status == Some(Status::Delivered) && applied.write_before.0 > 0)
        .then_some(applied.write_before)
}
