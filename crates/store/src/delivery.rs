//! Commands: acceptance, and the events of their delivery.

use domain::command::{RedeliveryClass, Request};
use domain::ids::Slot;
use domain::slot::{AcceptRefusal, AcceptReply, Applied, EventInput};

use crate::keys::Place;
use crate::reply::{Reader, Reply, answer_text, deadline_text};
use crate::{Store, StoreError, scripts};

impl Store {
    /// Accepts a command, with its own claim. Behind the barrier: `Accepted` means durable.
    pub async fn accept(&self, request: &Request) -> Result<Reply<AcceptReply>, StoreError> {
        let slot = self.slot_of(&request.charge_point);
        if request.id.slot(self.slots()) != Some(slot) {
            return Err(StoreError::WrongSlot);
        }
        self.call(
            scripts::ACCEPT,
            Place::Slot(slot),
            accept_args(request),
            read_accept,
        )
        .await
    }

    /// Applies events to commands of one slot, in order, in one call. Behind the barrier.
    ///
    /// An event whose command belongs to another slot makes the whole call fail before it is sent.
    pub async fn apply_events(
        &self,
        slot: Slot,
        events: &[EventInput],
    ) -> Result<Reply<Vec<Applied>>, StoreError> {
        if events.iter().any(|e| e.id.slot(self.slots()) != Some(slot)) {
            return Err(StoreError::WrongSlot);
        }
        let args = events.iter().flat_map(event_args).collect();
        let count = events.len();
        let read = |r: &mut Reader| (0..count).map(|_| read_applied(r)).collect();
        self.call(scripts::APPLY, Place::Slot(slot), args, read).await
    }
}

/// In the order of `accept.lua`.
pub(crate) fn accept_args(request: &Request) -> Vec<String> {
    let class = match request.class {
        RedeliveryClass::Safe => "s",
        RedeliveryClass::Unsafe => "u",
    };
    let (key, hash) = match &request.idempotency {
        Some(wanted) => (wanted.key.clone(), wanted.content_hash.clone()),
        None => (String::new(), String::new()),
    };
    vec![
        request.id.to_string(),
        request.charge_point.to_string(),
        request.action.clone(),
        request.payload.clone(),
        request.priority.number().to_string(),
        class.to_owned(),
        request.max_attempts.to_string(),
        request.answer_timeout_us.min(1 << 52).to_string(),
        deadline_text(request.deadline),
        key,
        hash,
        request.replay_of.map_or(String::new(), |id| id.to_string()),
    ]
}

pub(crate) fn read_accept(r: &mut Reader) -> Result<AcceptReply, StoreError> {
    match r.text()?.as_str() {
        "accepted" => {
            let status = r.status()?.ok_or_else(|| r.error("no status"))?;
            Ok(AcceptReply::Accepted {
                status,
                claimed: r.claimed()?,
            })
        }
        "known" => Ok(AcceptReply::Known {
            id: r.command_id()?,
            status: r.status()?,
        }),
        "refused" => {
            let (why, limit) = (r.text()?, r.number()?);
            let refusal = match why.as_str() {
                "content" => AcceptRefusal::OtherContent,
                "queue" => AcceptRefusal::QueueFull(limit),
                "outbox" => AcceptRefusal::OutboxFull(limit),
                "passed" => AcceptRefusal::DeadlinePassed,
                "far" => AcceptRefusal::DeadlineTooFar,
                _ => return Err(r.error("unknown refusal")),
            };
            Ok(AcceptReply::Refused(refusal))
        }
        other => Err(r.error(format!("unknown answer {other:?}"))),
    }
}

fn event_args(input: &EventInput) -> [String; 8] {
    let event = &input.event;
    [
        input.id.to_string(),
        event.kind.name().to_owned(),
        event.dispatch.to_string(),
        event.version.to_string(),
        event.nonce.to_string(),
        event.incarnation.to_string(),
        answer_text(input.answer.as_ref()),
        input
            .charge_point
            .as_ref()
            .map_or(String::new(), ToString::to_string),
    ]
}

fn read_applied(r: &mut Reader) -> Result<Applied, StoreError> {
    Ok(Applied {
        verdict: r.verdict()?,
        status: r.status()?,
        write_before: r.micros()?,
        claimed: r.claimed()?,
    })
}
