//! SendCommand: OK only after the command is durable.

use std::sync::Arc;

use domain::command::{Priority, Request, Status};
use domain::ids::CommandId;
use domain::slot::AcceptReply;
use wire::gateway::command::v1::{CommandState, SendCommandRequest, SendCommandResponse};
use wire::map;

use super::validate::{Valid, validate};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::ACCEPTED;

/// Accepts a command, or finds the one that its idempotency key names.
pub(super) async fn send(
    engine: &Arc<Engine>,
    request: SendCommandRequest,
) -> Result<SendCommandResponse, ApiError> {
    let valid = validate(&request, &engine.config.delivery).map_err(ApiError::Invalid)?;
    let command = command(engine, valid);
    let (id, priority, charge_point) = (command.id, command.priority, command.charge_point.clone());
    match accept(engine, command).await? {
        AcceptReply::Accepted { status, .. } => {
            metrics::counter!(ACCEPTED, "priority" => priority_name(priority)).increment(1);
            tracing::debug!(command = %id, %charge_point, "accepted");
            Ok(response(id, Some(status), false))
        }
        AcceptReply::Known { id, status } => Ok(response(id, status, true)),
        AcceptReply::Refused(refusal) => Err(ApiError::refused(refusal, charge_point.as_str())),
    }
}

/// Calls the store in a task that the engine owns: a caller that hangs up must not leave a claim without
/// its dispatch.
async fn accept(engine: &Arc<Engine>, command: Request) -> Result<AcceptReply, ApiError> {
    let shared = Arc::clone(engine);
    let call = async move {
        let mut reply = shared.store.accept(&command).await?;
        let claimed = match &mut reply.value {
            AcceptReply::Accepted { claimed, .. } => std::mem::take(claimed),
            AcceptReply::Known { .. } | AcceptReply::Refused(_) => Vec::new(),
        };
        shared.follow_up(shared.slot_of(&command.charge_point), &reply, claimed);
        Ok(reply.value)
    };
    engine
        .calls
        .spawn(call)
        .await
        .map_err(|_| ApiError::ShuttingDown)?
}

/// The command of a valid request.
fn command(engine: &Engine, valid: Valid) -> Request {
    let delivery = &engine.config.delivery;
    let timeout_ms = match valid.priority {
        Priority::Urgent => delivery.urgent_answer_timeout_ms,
        Priority::Low | Priority::Normal | Priority::High => delivery.answer_timeout_ms,
    };
    let slot = engine.slot_of(&valid.charge_point);
    Request {
        id: CommandId::new(chassis::clock::wall_ms(), rand::random(), slot),
        charge_point: valid.charge_point,
        action: valid.action,
        payload: valid.payload,
        priority: valid.priority,
        class: valid.class,
        max_attempts: delivery.attempts,
        answer_timeout_us: timeout_ms * 1_000,
        deadline: valid.deadline,
        idempotency: valid.idempotency,
    }
}

fn response(id: CommandId, status: Option<Status>, deduplicated: bool) -> SendCommandResponse {
    let state = status.map_or(CommandState::Unspecified, map::command::state);
    SendCommandResponse {
        command_id: id.to_string(),
        state: state.into(),
        deduplicated,
    }
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
        Priority::Urgent => "urgent",
    }
}
