//! GetCommand: one command as the store knows it.

use domain::ids::CommandId;
use wire::gateway::command::v1::Command;
use wire::map::command::{Payload, command};

use crate::engine::Engine;
use crate::error::ApiError;

/// Reads a command.
pub(super) async fn get(engine: &Engine, id: &str) -> Result<Command, ApiError> {
    let id = parse(id)?;
    Ok(command(&read(engine, id).await?, Payload::Shown))
}

/// Reads the id of a request.
pub(super) fn parse(id: &str) -> Result<CommandId, ApiError> {
    CommandId::parse(id).map_err(|error| ApiError::field("command_id", error.to_string()))
}

/// Reads a command that must be there.
pub(super) async fn read(engine: &Engine, id: CommandId) -> Result<domain::command::Command, ApiError> {
    let unknown = || ApiError::NotFound {
        kind: "command",
        name: id.to_string(),
    };
    if id.slot(engine.store.slots()).is_none() {
        return Err(unknown());
    }
    engine.store.get_command(id).await?.value.ok_or_else(unknown)
}
