//! The verbs against a scripted router: what is asked, what is printed, with which status it ends.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod dlq;
mod reads;
mod send;
mod support;
mod watch;

use std::io::Write;
use std::time::Duration;

use gatewayctl::ExitStatus;
use support::{FakeRouter, Script, command, nobody, now, run};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use wire::gateway::command::v1::{
    Answer, CallError, Command, CommandState, ListCommandsResponse, Priority, RedeliveryClass,
    SendCommandResponse, answer::Kind,
};
use wire::gateway::registry::v1::{Connection, GetConnectionResponse, ListConnectionsResponse};

fn accepted() -> Result<SendCommandResponse, Status> {
    let state = CommandState::Pending.into();
    Ok(SendCommandResponse {
        command_id: "c-1".to_owned(),
        state,
        deduplicated: false,
    })
}

fn answered(kind: Kind) -> Command {
    Command {
        answer: Some(Answer { kind: Some(kind) }),
        ..command(CommandState::Acknowledged, 4)
    }
}

fn result() -> Command {
    answered(Kind::ResultJson("{\"status\":\"Accepted\"}".to_owned()))
}

fn unavailable() -> Status {
    Status::unavailable("redis is away")
}
