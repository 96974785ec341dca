//! CancelCommand: ends a command that has not ended, or notes the wish where its outcome is awaited.

use domain::delivery::{Event, EventKind, Verdict};
use domain::slot::EventInput;
use wire::gateway::command::v1::Command;
use wire::map::command::{Payload, command};

use super::get::{parse, read};
use crate::engine::Engine;
use crate::error::ApiError;

/// Cancels a command and reads what became of it.
pub(super) async fn cancel(engine: &Engine, id: &str) -> Result<Command, ApiError> {
    let id = parse(id)?;
    let unknown = || ApiError::NotFound {
        kind: "command",
        name: id.to_string(),
    };
    if id.slot(engine.store.slots()).is_none() {
        return Err(unknown());
    }
    let input = EventInput {
        id,
        event: Event::open(EventKind::Cancel),
        answer: None,
        charge_point: None,
    };
    let applied = engine.slots.apply(input).await?.value;
    match applied.verdict.zip(applied.status) {
        None => Err(unknown()),
        Some((Verdict::Ended, status)) => Err(ApiError::Ended(id, status)),
        Some((Verdict::Applied | Verdict::Noted | Verdict::Repeated | Verdict::Stale, _)) => {
            Ok(command(&read(engine, id).await?, Payload::Hidden))
        }
    }
}
