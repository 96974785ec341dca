//! The command API: what a charging platform calls. Each method is a file; this one joins them to gRPC.

mod cancel;
pub mod canonical;
mod dead_letters;
mod get;
mod list;
pub(crate) mod page;
mod send;
pub mod validate;
mod violations;
mod watch;

pub use dead_letters::DeadLetterApi;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wire::gateway::command::v1::command_service_server::CommandService;
use wire::gateway::command::v1::{
    CancelCommandRequest, CancelCommandResponse, GetCommandRequest, GetCommandResponse, ListCommandsRequest,
    ListCommandsResponse, SendCommandRequest, SendCommandResponse, WatchCommandRequest, WatchCommandResponse,
};

use crate::engine::{Engine, EngineCell};
use crate::error::ApiError;
use crate::metrics::API_CALLS;

/// The service.
pub struct CommandApi {
    engine: EngineCell,
    drain: CancellationToken,
}

impl CommandApi {
    /// A service over an engine that may not be there yet; its streams end when `drain` is cancelled.
    #[must_use]
    pub fn new(engine: EngineCell, drain: CancellationToken) -> Self {
        Self { engine, drain }
    }

    fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        self.engine.get().ok_or(ApiError::NotConnected)
    }
}

#[tonic::async_trait]
impl CommandService for CommandApi {
    type WatchCommandStream = Pin<Box<dyn Stream<Item = Result<WatchCommandResponse, Status>> + Send>>;

    async fn send_command(
        &self,
        request: Request<SendCommandRequest>,
    ) -> Result<Response<SendCommandResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let result = async { send::send(self.engine()?, &metadata, &request).await };
        answered("SendCommand", result.await)
    }

    async fn get_command(
        &self,
        request: Request<GetCommandRequest>,
    ) -> Result<Response<GetCommandResponse>, Status> {
        let result = async { get::get(self.engine()?, &request.get_ref().command_id).await };
        answered(
            "GetCommand",
            result.await.map(|command| GetCommandResponse {
                command: Some(command),
            }),
        )
    }

    async fn list_commands(
        &self,
        request: Request<ListCommandsRequest>,
    ) -> Result<Response<ListCommandsResponse>, Status> {
        let result = async { list::list(self.engine()?, request.get_ref()).await };
        answered("ListCommands", result.await)
    }

    async fn watch_command(
        &self,
        request: Request<WatchCommandRequest>,
    ) -> Result<Response<Self::WatchCommandStream>, Status> {
        let drain = self.drain.clone();
        let result = async { watch::watch(self.engine()?, &request.get_ref().command_id, drain).await };
        answered("WatchCommand", result.await)
    }

    async fn cancel_command(
        &self,
        request: Request<CancelCommandRequest>,
    ) -> Result<Response<CancelCommandResponse>, Status> {
        let result = async { cancel::cancel(self.engine()?, &request.get_ref().command_id).await };
        answered(
            "CancelCommand",
            result.await.map(|command| CancelCommandResponse {
                command: Some(command),
            }),
        )
    }
}

/// Counts a call and turns its result into gRPC's.
pub(crate) fn answered<T>(method: &'static str, result: Result<T, ApiError>) -> Result<Response<T>, Status> {
    let result = result.map(Response::new).map_err(Status::from);
    let code = result
        .as_ref()
        .map_or_else(|status| code_name(status.code()), |_| "OK");
    metrics::counter!(API_CALLS, "method" => method, "code" => code).increment(1);
    result
}

/// The name of a code that this service uses.
fn code_name(code: tonic::Code) -> &'static str {
    match code {
        tonic::Code::InvalidArgument => "INVALID_ARGUMENT",
        tonic::Code::NotFound => "NOT_FOUND",
        tonic::Code::AlreadyExists => "ALREADY_EXISTS",
        tonic::Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        tonic::Code::FailedPrecondition => "FAILED_PRECONDITION",
        tonic::Code::Unavailable => "UNAVAILABLE",
        tonic::Code::Internal => "INTERNAL",
        _ => "OTHER",
    }
}
