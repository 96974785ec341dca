//! SendCommand: OK only after the command is durable.

use std::sync::Arc;

use domain::command::{Priority, Request, Status};
use domain::ids::{ChargePointId, CommandId};
use domain::slot::{AcceptRefusal, AcceptReply, Claimed};
use tonic::metadata::MetadataMap;
use tracing::Span;
use wire::gateway::command::v1::{CommandState, SendCommandRequest, SendCommandResponse};
use wire::map;

use super::validate::{Valid, validate};
use crate::config::DeliveryConfig;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::ACCEPTED;
use crate::trace::Origin;

/// Accepts a command, or finds the one that its idempotency key names.
pub(super) async fn send(
    engine: &Arc<Engine>,
    metadata: &MetadataMap,
    request: &SendCommandRequest,
) -> Result<SendCommandResponse, ApiError> {
    let valid = validate(request, &engine.config.delivery).map_err(ApiError::Invalid)?;
    let command = command(engine, valid);
    let span = engine.traces.accept(command.id, metadata);
    let (id, charge_point) = (command.id, command.charge_point.clone());
    let priority = command.priority;
    let accepted = accepted(engine, id, &charge_point, &accept(engine, command, span).await?)?;
    if !accepted.deduplicated {
        metrics::counter!(ACCEPTED, "priority" => priority_name(priority)).increment(1);
    }
    Ok(SendCommandResponse {
        command_id: accepted.id.to_string(),
        state: accepted.state.into(),
        deduplicated: accepted.deduplicated,
    })
}

/// What acceptance told.
pub(super) struct Accepted {
    /// The command.
    pub(super) id: CommandId,
    /// Its state; unspecified if it is no longer retained.
    pub(super) state: CommandState,
    /// It had been accepted earlier.
    pub(super) deduplicated: bool,
}

/// Reads what acceptance told of a request.
pub(super) fn accepted(
    engine: &Engine,
    id: CommandId,
    charge_point: &ChargePointId,
    reply: &AcceptReply,
) -> Result<Accepted, ApiError> {
    let told = |id, status: Option<Status>, deduplicated| Accepted {
        id,
        state: status.map_or(CommandState::Unspecified, map::command::state),
        deduplicated,
    };
    match reply {
        AcceptReply::Accepted { status, .. } => {
            tracing::debug!(command = %id, %charge_point, "accepted");
            Ok(told(id, Some(*status), false))
        }
        AcceptReply::Known { id, status } => Ok(told(*id, *status, true)),
        AcceptReply::Refused(AcceptRefusal::DeadlineTooFar) => {
            Err(too_far(engine.config.delivery.deadline_max_ms))
        }
        AcceptReply::Refused(AcceptRefusal::DeadlinePassed) => Err(ApiError::field("deadline", "has passed")),
        AcceptReply::Refused(refusal) => Err(ApiError::refused(*refusal, charge_point.as_str())),
    }
}

/// Calls the store in a task that the engine owns: a caller that hangs up must not leave a claim without
/// its dispatch.
async fn accept(engine: &Arc<Engine>, command: Request, span: Span) -> Result<AcceptReply, ApiError> {
    let shared = Arc::clone(engine);
    let call = async move {
        let entry = shared.precedence.accept(command.priority).await;
        let asked_us = shared.clock.now_us();
        let mut reply = shared.store.accept(&command).await?;
        drop(entry);
        let claimed = claimed(&mut reply.value);
        let (origin, slot) = (
            Origin { id: command.id, span },
            shared.slot_of(&command.charge_point),
        );
        shared.follow_up_of(Some(origin), slot, asked_us, &reply, claimed);
        Ok(reply.value)
    };
    engine
        .calls
        .spawn(call)
        .await
        .map_err(|_| ApiError::ShuttingDown)?
}

/// Takes what an acceptance claimed.
pub(super) fn claimed(reply: &mut AcceptReply) -> Vec<Claimed> {
    match reply {
        AcceptReply::Accepted { claimed, .. } => std::mem::take(claimed),
        AcceptReply::Known { .. } | AcceptReply::Refused(_) => Vec::new(),
    }
}

/// How long a charger may take to answer a command of this priority.
pub(super) fn answer_timeout_us(delivery: &DeliveryConfig, priority: Priority) -> u64 {
    let timeout_ms = match priority {
        Priority::Urgent => delivery.urgent_answer_timeout_ms,
        Priority::Low | Priority::Normal | Priority::High => delivery.answer_timeout_ms,
    };
    timeout_ms * 1_000
}

/// A new id for a command of this charger.
pub(super) fn new_id(engine: &Engine, charge_point: &ChargePointId) -> CommandId {
    CommandId::new(
        chassis::clock::wall_ms(),
        rand::random(),
        engine.slot_of(charge_point),
    )
}

/// Refuses a deadline and says how far ahead one may be.
fn too_far(max_ms: u64) -> ApiError {
    let (number, unit) = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")]
        .into_iter()
        .find(|(ms, _)| max_ms.is_multiple_of(*ms))
        .map_or((max_ms, "ms"), |(ms, unit)| (max_ms / ms, unit));
    ApiError::field("deadline", format!("may be at most {number} {unit} ahead"))
}

/// The command of a valid request.
fn command(engine: &Engine, valid: Valid) -> Request {
    let delivery = &engine.config.delivery;
    Request {
        id: new_id(engine, &valid.charge_point),
        answer_timeout_us: answer_timeout_us(delivery, valid.priority),
        charge_point: valid.charge_point,
        action: valid.action,
        payload: valid.payload,
        priority: valid.priority,
        class: valid.class,
        max_attempts: delivery.attempts,
        deadline: valid.deadline,
        idempotency: valid.idempotency,
        replay_of: None,
    }
}

/// The label of a priority.
pub(super) fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
        Priority::Urgent => "urgent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_too_far_ahead_is_told_the_bound_in_the_largest_whole_unit() {
        for (max_ms, bound) in [
            (86_400_000, "24 h"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (1_500, "1500 ms"),
        ] {
            let ApiError::Invalid(fields) = too_far(max_ms) else {
                panic!("not a refused field")
            };
            assert_eq!(fields[0].field, "deadline");
            assert_eq!(fields[0].description, format!("may be at most {bound} ahead"));
        }
    }
}
