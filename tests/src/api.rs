//! The gRPC API as a backend uses it: send a command, follow it to its end.

use std::net::SocketAddr;

use prost_types::Timestamp;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wire::gateway::command::v1::command_service_client::CommandServiceClient;
use wire::gateway::command::v1::{
    CancelCommandRequest, Command, CommandState, GetCommandRequest, RedeliveryClass, SendCommandRequest,
    SendCommandResponse, answer,
};
use wire::gateway::registry::v1::registry_service_client::RegistryServiceClient;
use wire::gateway::registry::v1::{Connection, GetConnectionRequest};

use crate::wait::{DEADLINE, eventually};

/// A client of one router.
#[derive(Debug, Clone)]
pub struct Api {
    /// The command API, for what has no helper here.
    pub commands: CommandServiceClient<Channel>,
    /// The registry API.
    pub registry: RegistryServiceClient<Channel>,
    /// The channel, for further services.
    pub channel: Channel,
}

/// A request with everything left to the defaults.
#[must_use]
pub fn command(charge_point_id: &str, action: &str) -> SendCommandRequest {
    SendCommandRequest {
        charge_point_id: charge_point_id.to_owned(),
        action: action.to_owned(),
        payload_json: "{}".to_owned(),
        ..SendCommandRequest::default()
    }
}

/// The same, safe to repeat whatever the action.
#[must_use]
pub fn safe_command(charge_point_id: &str, action: &str) -> SendCommandRequest {
    let redelivery_class = RedeliveryClass::Safe.into();
    SendCommandRequest {
        redelivery_class,
        ..command(charge_point_id, action)
    }
}

/// The same, unsafe to repeat whatever the action.
#[must_use]
pub fn unsafe_command(charge_point_id: &str, action: &str) -> SendCommandRequest {
    let redelivery_class = RedeliveryClass::Unsafe.into();
    SendCommandRequest {
        redelivery_class,
        ..command(charge_point_id, action)
    }
}

/// A moment so many milliseconds from now by this machine's clock, which Redis shares.
#[must_use]
pub fn from_now(ms: i64) -> Option<Timestamp> {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    let at = i64::try_from(since.as_millis()).ok()? + ms;
    let nanos = i32::try_from(at.rem_euclid(1_000) * 1_000_000).ok()?;
    Some(Timestamp {
        seconds: at.div_euclid(1_000),
        nanos,
    })
}

impl Api {
    /// A client that connects when it is used, and again when the router comes back.
    #[must_use]
    pub fn new(router: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{router}")).expect("an address is a URL");
        let channel = endpoint
            .connect_timeout(std::time::Duration::from_secs(2))
            .timeout(DEADLINE)
            .connect_lazy();
        Self {
            commands: CommandServiceClient::new(channel.clone()),
            registry: RegistryServiceClient::new(channel.clone()),
            channel,
        }
    }

    /// Sends once.
    pub async fn try_send(&self, request: SendCommandRequest) -> Result<SendCommandResponse, Status> {
        self.commands
            .clone()
            .send_command(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Sends a command that must be accepted; returns its id.
    pub async fn send(&self, request: SendCommandRequest) -> String {
        self.try_send(request)
            .await
            .expect("the command is accepted")
            .command_id
    }

    /// Reads a command.
    pub async fn try_get(&self, id: &str) -> Result<Command, Status> {
        let request = GetCommandRequest {
            command_id: id.to_owned(),
        };
        let response = self.commands.clone().get_command(request).await?;
        Ok(response
            .into_inner()
            .command
            .expect("a response carries the command"))
    }

    /// Reads a command that must be there; a router that is away for the moment is asked again.
    pub async fn get(&self, id: &str) -> Command {
        eventually(format_args!("command {id} can be read"), async || {
            match self.try_get(id).await {
                Ok(command) => Some(command),
                Err(status) if status.code() == Code::NotFound => panic!("command {id} is not known"),
                Err(_) => None,
            }
        })
        .await
    }

    /// Waits until a command is in a state.
    pub async fn reaches(&self, id: &str, state: CommandState) -> Command {
        eventually(format_args!("command {id} is {state:?}"), async || {
            let command = self.get(id).await;
            if command.state() == state {
                return Some(command);
            }
            assert!(
                !is_end(command.state()),
                "{id} ended as {:?}, not as {state:?}: {command:?}",
                command.state()
            );
            None
        })
        .await
    }

    /// Waits until a command has ended, whatever the end.
    pub async fn end_of(&self, id: &str) -> Command {
        eventually(format_args!("command {id} ends"), async || {
            let command = self.get(id).await;
            is_end(command.state()).then_some(command)
        })
        .await
    }

    /// Cancels a command.
    pub async fn cancel(&self, id: &str) -> Result<Command, Status> {
        let request = CancelCommandRequest {
            command_id: id.to_owned(),
        };
        let response = self.commands.clone().cancel_command(request).await?;
        Ok(response
            .into_inner()
            .command
            .expect("a response carries the command"))
    }

    /// Reads a connection; `None` for a charger never seen.
    pub async fn connection(&self, charge_point_id: &str) -> Option<Connection> {
        let request = GetConnectionRequest {
            charge_point_id: charge_point_id.to_owned(),
        };
        match self.registry.clone().get_connection(request).await {
            Ok(response) => response.into_inner().connection,
            Err(_) => None,
        }
    }

    /// Waits until a charger's connection is as `wanted`.
    pub async fn connection_where(
        &self,
        charge_point_id: &str,
        what: &str,
        wanted: impl Fn(&Connection) -> bool,
    ) -> Connection {
        eventually(
            format_args!("the connection of {charge_point_id} {what}"),
            async || {
                self.connection(charge_point_id)
                    .await
                    .filter(|connection| wanted(connection))
            },
        )
        .await
    }

    /// Waits until a charger is registered.
    pub async fn connected(&self, charge_point_id: &str) -> Connection {
        self.connection_where(charge_point_id, "is registered", |connection| {
            connection.connected
        })
        .await
    }
}

/// Whether nothing can change any more.
#[must_use]
pub fn is_end(state: CommandState) -> bool {
    use CommandState as State;
    matches!(
        state,
        State::Acknowledged | State::Failed | State::Expired | State::Cancelled
    )
}

/// The payload that a charger answered with; panics for any other answer.
#[must_use]
pub fn result_of(command: &Command) -> serde_json::Value {
    match command.answer.as_ref().and_then(|answer| answer.kind.as_ref()) {
        Some(answer::Kind::ResultJson(text)) => serde_json::from_str(text).expect("a result is JSON"),
        other => panic!("no CALLRESULT is recorded but {other:?}"),
    }
}
