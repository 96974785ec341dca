//! Edge to router: items of the edge's machine as messages, messages as events of the delivery machine.

use domain::command::Answer;
use domain::delivery::{Event, EventKind};
use domain::edge::{self, Item};
use domain::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Nonce, PodId, Sequence, Version};
use domain::slot::{EventInput, Registration};

use crate::gateway::link::v1::{
    ChargerAnswer, DispatchRef, HeldConnection, NonWrite, NoteDone, Refusal, RefusalReason, Register,
    RenewConnections, Unregister, UpItem, WriteIntent, Written, charger_answer, up_item,
};
use crate::map::{WireError, id};

/// What the edge's machine says, as a message.
#[must_use]
pub fn up_item(item: Item) -> UpItem {
    let item = match item {
        item @ (Item::Register { .. } | Item::Unregister { .. } | Item::RenewConnections { .. }) => {
            about_connections(item)
        }
        item => about_commands(item),
    };
    UpItem { item, patient: false }
}

fn about_connections(item: Item) -> Option<up_item::Item> {
    Some(match item {
        Item::Register {
            charge_point,
            incarnation,
            sequence,
            first_version,
            ocpp_version,
        } => up_item::Item::Register(Register {
            charge_point_id: charge_point.to_string(),
            incarnation: incarnation.0,
            sequence: sequence.0,
            first_version: first_version.0,
            ocpp_version: ocpp_version.to_owned(),
        }),
        Item::Unregister {
            charge_point,
            incarnation,
            version,
        } => up_item::Item::Unregister(Unregister {
            charge_point_id: charge_point.to_string(),
            incarnation: incarnation.0,
            version: version.0,
        }),
        Item::RenewConnections {
            request,
            incarnation,
            connections,
        } => up_item::Item::RenewConnections(renewal(request, incarnation, connections)),
        _ => return None,
    })
}

fn about_commands(item: Item) -> Option<up_item::Item> {
    Some(match item {
        Item::Intent { dispatch, nonce } => up_item::Item::Intent(WriteIntent {
            dispatch: Some(reference(&dispatch)),
            nonce: nonce.0,
        }),
        Item::NonWrite { dispatch, nonce } => up_item::Item::NonWrite(NonWrite {
            dispatch: Some(reference(&dispatch)),
            nonce: nonce.0,
        }),
        Item::Written { dispatch } => up_item::Item::Written(Written {
            dispatch: Some(reference(&dispatch)),
        }),
        Item::Refusal {
            dispatch,
            incarnation,
            reason,
        } => up_item::Item::Refusal(refusal(&dispatch, incarnation, reason)),
        Item::Answer {
            id,
            charge_point,
            answer,
        } => up_item::Item::Answer(charger_answer(id, &charge_point, answer)),
        Item::NoteDone { charge_point, note } => up_item::Item::NoteDone(NoteDone {
            charge_point_id: charge_point.to_string(),
            note,
        }),
        Item::Register { .. } | Item::Unregister { .. } | Item::RenewConnections { .. } => return None,
    })
}

/// A registration by a pod, with the highest version that any edge is known to hold.
pub fn registration(r: &Register, pod: &PodId, floor: Version) -> Result<Registration, WireError> {
    Ok(Registration {
        charge_point: id("charge_point_id", ChargePointId::parse(&r.charge_point_id))?,
        pod: pod.clone(),
        incarnation: Incarnation(r.incarnation),
        sequence: Sequence(r.sequence),
        first_version: Version(r.first_version),
        floor,
        ocpp_version: r.ocpp_version.clone(),
    })
}

/// What an edge says about a command, as an event; none for an item that is not about one.
pub fn event(item: &up_item::Item) -> Result<Option<EventInput>, WireError> {
    let input = match item {
        up_item::Item::Intent(i) => about(EventKind::Intent, i.dispatch.as_ref(), i.nonce, 0)?,
        up_item::Item::NonWrite(n) => about(EventKind::NonWrite, n.dispatch.as_ref(), n.nonce, 0)?,
        up_item::Item::Written(w) => about(EventKind::Written, w.dispatch.as_ref(), 0, 0)?,
        up_item::Item::Refusal(r) => about(refusal_kind(r.reason)?, r.dispatch.as_ref(), 0, r.incarnation)?,
        up_item::Item::Answer(a) => answered(a)?,
        _ => return Ok(None),
    };
    Ok(Some(input))
}

/// A dispatch's name.
pub fn dispatch_ref(d: &DispatchRef) -> Result<edge::DispatchRef, WireError> {
    Ok(edge::DispatchRef {
        id: id("command_id", CommandId::parse(&d.command_id))?,
        charge_point: id("charge_point_id", ChargePointId::parse(&d.charge_point_id))?,
        dispatch: DispatchNumber(d.dispatch),
        version: Version(d.version),
    })
}

fn about(
    kind: EventKind,
    dispatch: Option<&DispatchRef>,
    nonce: u64,
    incarnation: u64,
) -> Result<EventInput, WireError> {
    let d = dispatch_ref(dispatch.ok_or(WireError::Missing("dispatch"))?)?;
    let (nonce, incarnation) = (Nonce(nonce), Incarnation(incarnation));
    let event = Event {
        kind,
        dispatch: d.dispatch,
        version: d.version,
        nonce,
        incarnation,
    };
    Ok(EventInput {
        id: d.id,
        event,
        answer: None,
        charge_point: None,
    })
}

fn answered(a: &ChargerAnswer) -> Result<EventInput, WireError> {
    let answer = match a.answer.as_ref().ok_or(WireError::Missing("answer"))? {
        charger_answer::Answer::ResultJson(json) => Answer::Result(json.clone()),
        charger_answer::Answer::ErrorJson(json) => Answer::Error(json.clone()),
    };
    Ok(EventInput {
        id: id("command_id", CommandId::parse(&a.command_id))?,
        event: Event::open(EventKind::Answer),
        answer: Some(answer),
        charge_point: Some(id("charge_point_id", ChargePointId::parse(&a.charge_point_id))?),
    })
}

fn refusal_kind(value: i32) -> Result<EventKind, WireError> {
    match RefusalReason::try_from(value) {
        Ok(RefusalReason::StaleRoute) => Ok(EventKind::StaleRoute),
        Ok(RefusalReason::NotReady) => Ok(EventKind::NotReady),
        Ok(RefusalReason::Unspecified) | Err(_) => Err(WireError::Unknown {
            field: "reason",
            value: value.into(),
        }),
    }
}

fn reference(d: &edge::DispatchRef) -> DispatchRef {
    DispatchRef {
        command_id: d.id.to_string(),
        charge_point_id: d.charge_point.to_string(),
        dispatch: d.dispatch.0,
        version: d.version.0,
    }
}

fn renewal(request: u64, incarnation: Incarnation, held: Vec<(ChargePointId, Version)>) -> RenewConnections {
    let connections = held
        .into_iter()
        .map(|(id, version)| HeldConnection {
            charge_point_id: id.to_string(),
            version: version.0,
        })
        .collect();
    RenewConnections {
        request,
        incarnation: incarnation.0,
        connections,
    }
}

fn refusal(dispatch: &edge::DispatchRef, incarnation: Incarnation, reason: edge::RefusalReason) -> Refusal {
    let reason = match reason {
        edge::RefusalReason::StaleRoute => RefusalReason::StaleRoute,
        edge::RefusalReason::NotReady => RefusalReason::NotReady,
    };
    Refusal {
        dispatch: Some(reference(dispatch)),
        incarnation: incarnation.0,
        reason: reason.into(),
    }
}

fn charger_answer(id: CommandId, charge_point: &ChargePointId, answer: Answer) -> ChargerAnswer {
    let answer = match answer {
        Answer::Result(json) => charger_answer::Answer::ResultJson(json),
        Answer::Error(json) => charger_answer::Answer::ErrorJson(json),
    };
    ChargerAnswer {
        command_id: id.to_string(),
        charge_point_id: charge_point.to_string(),
        answer: Some(answer),
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Slot;

    use super::*;

    fn dispatch() -> edge::DispatchRef {
        edge::DispatchRef {
            id: CommandId::new(1, [1; 10], Slot(4)),
            charge_point: ChargePointId::parse("CP-1").unwrap(),
            dispatch: DispatchNumber(10),
            version: Version(20),
        }
    }

    fn there_and_back(item: Item) -> EventInput {
        event(&up_item(item).item.unwrap()).unwrap().unwrap()
    }

    #[test]
    fn what_an_edge_says_of_a_dispatch_keeps_everything_that_its_fence_compares() {
        let intent = there_and_back(Item::Intent {
            dispatch: dispatch(),
            nonce: Nonce(7),
        });
        let fenced = Event {
            kind: EventKind::Intent,
            dispatch: DispatchNumber(10),
            version: Version(20),
            nonce: Nonce(7),
            incarnation: Incarnation(0),
        };
        assert_eq!(
            intent,
            EventInput {
                id: dispatch().id,
                event: fenced,
                answer: None,
                charge_point: None,
            }
        );
        let non_write = there_and_back(Item::NonWrite {
            dispatch: dispatch(),
            nonce: Nonce(7),
        });
        assert_eq!(
            non_write.event,
            Event {
                kind: EventKind::NonWrite,
                ..fenced
            }
        );
        let written = there_and_back(Item::Written { dispatch: dispatch() });
        assert_eq!(
            written.event,
            Event {
                kind: EventKind::Written,
                nonce: Nonce(0),
                ..fenced
            }
        );
    }

    #[test]
    fn a_refusal_names_the_connection_that_it_may_tombstone() {
        for (reason, kind) in [
            (edge::RefusalReason::StaleRoute, EventKind::StaleRoute),
            (edge::RefusalReason::NotReady, EventKind::NotReady),
        ] {
            let event = there_and_back(Item::Refusal {
                dispatch: dispatch(),
                incarnation: Incarnation(3),
                reason,
            })
            .event;
            assert_eq!((event.kind, event.incarnation), (kind, Incarnation(3)));
            assert_eq!((event.dispatch, event.version), (DispatchNumber(10), Version(20)));
        }
    }

    #[test]
    fn an_answer_keeps_its_text() {
        for answer in [
            Answer::Result("{\"a\": 1}".into()),
            Answer::Error("[\"X\",\"\",{}]".into()),
        ] {
            let (id, charge_point) = (dispatch().id, dispatch().charge_point);
            let read = there_and_back(Item::Answer {
                id,
                charge_point,
                answer: answer.clone(),
            });
            assert_eq!((read.id, read.answer), (id, Some(answer)));
            assert_eq!(read.charge_point, Some(dispatch().charge_point));
        }
    }

    #[test]
    fn a_registration_names_the_pod_of_its_link() {
        let item = Item::Register {
            charge_point: dispatch().charge_point,
            incarnation: Incarnation(3),
            sequence: Sequence(2),
            first_version: Version(1),
            ocpp_version: "ocpp1.6",
        };
        let Some(up_item::Item::Register(message)) = up_item(item).item else {
            panic!()
        };
        let pod = PodId::parse("edge-0").unwrap();
        let read = registration(&message, &pod, Version(9)).unwrap();
        assert_eq!(
            (read.pod, read.incarnation, read.sequence),
            (pod, Incarnation(3), Sequence(2))
        );
        assert_eq!(
            (read.first_version, read.floor, read.ocpp_version.as_str()),
            (Version(1), Version(9), "ocpp1.6")
        );
    }

    #[test]
    fn ill_formed_items_are_refused() {
        let nothing = up_item::Item::Written(Written { dispatch: None });
        assert_eq!(event(&nothing), Err(WireError::Missing("dispatch")));
        let mut refusal = refusal(&dispatch(), Incarnation(1), edge::RefusalReason::NotReady);
        refusal.reason = 0;
        assert!(event(&up_item::Item::Refusal(refusal)).is_err());
        let bad = ChargerAnswer {
            command_id: "x".into(),
            charge_point_id: "CP".into(),
            answer: None,
        };
        assert!(event(&up_item::Item::Answer(bad)).is_err());
    }
}
