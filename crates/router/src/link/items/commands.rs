//! What an edge says of commands: events for the store, and what its verdict means to the edge.

use domain::command::Status;
use domain::delivery::{EventKind, Verdict};
use domain::ids::{CommandId, Micros, Nonce};
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
pub(super) async fn event(engine: &Engine, peer: &Peer, item: &up_item::Item) -> Answer {
    let input = match link::event(item) {
        Ok(Some(input)) => input,
        Ok(None) => return Answer::none(),
        Err(error) => {
            tracing::warn!(pod = %peer.pod, %error, "ill-formed item");
            return Answer::none();
        }
    };
    let (id, kind, nonce) = (input.id, input.event.kind, input.event.nonce);
    match engine.slots.apply(input).await {
        Ok(Reply { value, redis_now, .. }) => {
            say(kind, id, nonce, &value).map_or_else(Answer::none, |item| Answer::one(item, redis_now))
        }
        // A charger answered an id that no slot has: there is no such command, and repeating it is of no use.
        Err(SubmitError::NoSlot) if kind == EventKind::Answer => Answer::one(
            down_item::Item::AnswerConfirmed(AnswerConfirmed {
                command_id: id.to_string(),
            }),
            Micros(0),
        ),
        Err(error) => {
            tracing::debug!(command = %id, %error, "an event could not be applied");
            Answer::failed(failed::What::CommandId(id.to_string()))
        }
    }
}

/// What a verdict means to the edge that sent the event.
fn say(kind: EventKind, id: CommandId, nonce: Nonce, applied: &Applied) -> Option<down_item::Item> {
    let (command_id, nonce) = (id.to_string(), nonce.0);
    match kind {
        EventKind::Intent => Some(match granted(applied) {
            Some(until) => down_item::Item::Grant(Grant {
                command_id,
                nonce,
                write_before_us: until.0,
            }),
            None => down_item::Item::IntentRefused(IntentRefused { command_id, nonce }),
        }),
        // Whatever the verdict, the grant is over: it took effect now, or it had no effect left to take.
        EventKind::NonWrite => Some(down_item::Item::NonWriteConfirmed(NonWriteConfirmed {
            command_id,
            nonce,
        })),
        // Also for a command that ended or is not known: the answer can do no more there.
        EventKind::Answer => Some(down_item::Item::AnswerConfirmed(AnswerConfirmed { command_id })),
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
    use domain::ids::Slot;

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
        say(kind, CommandId::new(1, [1; 10], Slot(0)), Nonce(5), applied)
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
}
