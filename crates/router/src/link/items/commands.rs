//! What an edge says of commands: events for the store, and what its verdict means to the edge.

use domain::command::Status;
use domain::delivery::{EventKind, Verdict};
use domain::ids::Micros;
use domain::slot::Applied;
use store::Reply;
use wire::gateway::link::v1::{
    AnswerConfirmed, Grant, IntentRefused, NonWriteConfirmed, down_item, failed, up_item,
};
use wire::map::link;

use super::Answer;
use crate::engine::Engine;
use crate::link::session::Peer;
use crate::slots::SubmitError;

/// Applies an event. The answer is behind the barrier, so what it confirms is durable.
pub(super) async fn event(engine: &Engine, peer: &Peer, item: &up_item::Item, patient: bool) -> Answer {
    let input = match link::event(item) {
        Ok(Some(input)) => input,
        Ok(None) => return Answer::none(),
        Err(error) => {
            tracing::warn!(pod = %peer.pod, %error, "ill-formed item");
            return ill_formed(item);
        }
    };
    let (id, kind) = (input.id, input.event.kind);
    let of = Of {
        command_id: id.to_string(),
        charge_point_id: charge_point_of(item).to_owned(),
        nonce: input.event.nonce.0,
    };
    match engine.slots.submit(input, patient).await {
        Ok(Reply { value, redis_now, .. }) => {
            say(kind, of, &value).map_or_else(Answer::none, |item| Answer::one(item, redis_now))
        }
        Err(error) => {
            tracing::debug!(command = %id, %error, "an event could not be applied");
            not_applied(kind, of, &error)
        }
    }
}

/// What an item is about: its answer names the charger, so that the edge need not search for it.
struct Of {
    command_id: String,
    charge_point_id: String,
    nonce: u64,
}

/// The charger that an item about a command names.
fn charge_point_of(item: &up_item::Item) -> &str {
    let dispatch = match item {
        up_item::Item::Intent(intent) => &intent.dispatch,
        up_item::Item::NonWrite(non_write) => &non_write.dispatch,
        up_item::Item::Answer(answer) => return &answer.charge_point_id,
        _ => return "",
    };
    dispatch.as_ref().map_or("", |dispatch| &dispatch.charge_point_id)
}

/// What an edge is told whose item nobody can read: not to repeat it.
fn ill_formed(item: &up_item::Item) -> Answer {
    let item = match item {
        up_item::Item::Answer(a) => confirmed(a.command_id.clone(), String::new()),
        up_item::Item::Intent(i) => down_item::Item::IntentRefused(IntentRefused {
            command_id: i
                .dispatch
                .as_ref()
                .map_or_else(String::new, |d| d.command_id.clone()),
            nonce: i.nonce,
            charge_point_id: String::new(),
        }),
        _ => return Answer::none(),
    };
    Answer::one(item, Micros(0))
}

/// What an edge is told whose event was not applied.
fn not_applied(kind: EventKind, of: Of, error: &SubmitError) -> Answer {
    match error {
        // A charger answered an id that no slot has: there is no such command, and repeating it is of no use.
        SubmitError::NoSlot if kind == EventKind::Answer => {
            Answer::one(confirmed(of.command_id, of.charge_point_id), Micros(0))
        }
        _ => Answer::failed(failed::What::CommandId(of.command_id)),
    }
}

fn confirmed(command_id: String, charge_point_id: String) -> down_item::Item {
    down_item::Item::AnswerConfirmed(AnswerConfirmed {
        command_id,
        charge_point_id,
    })
}

/// What a verdict means to the edge that sent the event.
fn say(kind: EventKind, of: Of, applied: &Applied) -> Option<down_item::Item> {
    let Of {
        command_id,
        charge_point_id,
        nonce,
    } = of;
    match kind {
        EventKind::Intent => Some(match granted(applied) {
            Some(until) => down_item::Item::Grant(Grant {
                command_id,
                nonce,
                write_before_us: until.0,
                charge_point_id,
            }),
            None => down_item::Item::IntentRefused(IntentRefused {
                command_id,
                nonce,
                charge_point_id,
            }),
        }),
        // Whatever the verdict, the grant is over: it took effect now, or it had no effect left to take.
        EventKind::NonWrite => Some(down_item::Item::NonWriteConfirmed(NonWriteConfirmed {
            command_id,
            nonce,
            charge_point_id,
        })),
        // Also for a command that ended or is not known: the answer can do no more there.
        EventKind::Answer => Some(confirmed(command_id, charge_point_id)),
        _ => None,
    }
}

/// The end of the grant that an intent got, now or the first time it was sent.
fn granted(applied: &Applied) -> Option<Micros> {
    let granted = matches!(applied.verdict, Some(Verdict::Applied | Verdict::Repeated));
    (granted && applied.status == Some(Status::Delivered) && applied.write_before.0 > 0)
        .then_some(applied.write_before)
}

#[cfg(test)]
mod tests {
    use domain::ids::{CommandId, Slot};
    use wire::gateway::link::v1::{ChargerAnswer, WriteIntent};

    use super::*;

    fn applied(verdict: Verdict, status: Status, write_before: u64) -> Applied {
        Applied {
            verdict: Some(verdict),
            status: Some(status),
            write_before: Micros(write_before),
            claimed: vec![],
        }
    }

    fn said(kind: EventKind, applied: &Applied) -> Option<down_item::Item> {
        say(kind, of(CommandId::new(1, [1; 10], Slot(0))), applied)
    }

    fn of(id: CommandId) -> Of {
        Of {
            command_id: id.to_string(),
            charge_point_id: "CP-1".to_owned(),
            nonce: 5,
        }
    }

    #[test]
    fn only_an_intent_that_holds_a_grant_is_granted() {
        for verdict in [Verdict::Applied, Verdict::Repeated] {
            let Some(down_item::Item::Grant(grant)) =
                said(EventKind::Intent, &applied(verdict, Status::Delivered, 9))
            else {
                panic!("{verdict:?}");
            };
            assert_eq!((grant.nonce, grant.write_before_us), (5, 9));
            assert_eq!(grant.charge_point_id, "CP-1");
        }
        let unknown = Applied {
            verdict: None,
            status: None,
            write_before: Micros(0),
            claimed: vec![],
        };
        for refused in [
            applied(Verdict::Stale, Status::Delivered, 9),
            applied(Verdict::Ended, Status::Expired, 9),
            applied(Verdict::Repeated, Status::Delivered, 0),
            unknown,
        ] {
            assert!(
                matches!(
                    said(EventKind::Intent, &refused),
                    Some(down_item::Item::IntentRefused(_))
                ),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn answers_and_non_writes_are_confirmed_whatever_became_of_them_and_notices_are_not() {
        for verdict in [
            Verdict::Applied,
            Verdict::Repeated,
            Verdict::Stale,
            Verdict::Ended,
        ] {
            let applied = applied(verdict, Status::Expired, 0);
            assert!(matches!(
                said(EventKind::Answer, &applied),
                Some(down_item::Item::AnswerConfirmed(_))
            ));
            assert!(matches!(
                said(EventKind::NonWrite, &applied),
                Some(down_item::Item::NonWriteConfirmed(_))
            ));
            assert_eq!(said(EventKind::Written, &applied), None);
            assert_eq!(said(EventKind::NotReady, &applied), None);
        }
    }

    #[test]
    fn an_answer_to_an_id_of_no_slot_is_confirmed_and_any_other_failure_is_repeated() {
        let id = CommandId::new(1, [1; 10], Slot(200));
        let told = |kind, error: &SubmitError| not_applied(kind, of(id), error).items;
        assert_eq!(
            told(EventKind::Answer, &SubmitError::NoSlot),
            [confirmed(id.to_string(), "CP-1".to_owned())]
        );
        for (kind, error) in [
            (EventKind::Intent, SubmitError::NoSlot),
            (EventKind::Answer, SubmitError::Closed),
        ] {
            assert!(
                matches!(told(kind, &error)[..], [down_item::Item::Failed(_)]),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn an_answer_or_intent_that_cannot_be_read_is_not_asked_for_again() {
        let answer = up_item::Item::Answer(ChargerAnswer {
            command_id: "no id".into(),
            ..ChargerAnswer::default()
        });
        assert_eq!(
            ill_formed(&answer).items,
            [confirmed("no id".into(), String::new())]
        );
        let intent = up_item::Item::Intent(WriteIntent {
            dispatch: None,
            nonce: 9,
        });
        assert!(matches!(
            &ill_formed(&intent).items[..],
            [down_item::Item::IntentRefused(refused)] if refused.nonce == 9
        ));
    }
}
