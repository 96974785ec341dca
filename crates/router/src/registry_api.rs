//! The registry API: which charger is connected where.

use std::sync::Arc;

use domain::ids::{ChargePointId, PodId};
use tonic::{Request, Response, Status};
use wire::gateway::registry::v1::registry_service_server::RegistryService;
use wire::gateway::registry::v1::{
    GetConnectionRequest, GetConnectionResponse, ListConnectionsRequest, ListConnectionsResponse,
};
use wire::map::command::connection;

use crate::api::answered;
use crate::api::page::{self, Pages};
use crate::engine::{Engine, EngineCell};
use crate::error::ApiError;

/// The service.
pub struct RegistryApi {
    engine: EngineCell,
}

impl RegistryApi {
    /// A service over an engine that may not be there yet.
    #[must_use]
    pub fn new(engine: EngineCell) -> Self {
        Self { engine }
    }

    fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        self.engine.get().ok_or(ApiError::NotConnected)
    }
}

#[tonic::async_trait]
impl RegistryService for RegistryApi {
    async fn get_connection(
        &self,
        request: Request<GetConnectionRequest>,
    ) -> Result<Response<GetConnectionResponse>, Status> {
        let result = async { get(self.engine()?, &request.get_ref().charge_point_id).await };
        answered("GetConnection", result.await)
    }

    async fn list_connections(
        &self,
        request: Request<ListConnectionsRequest>,
    ) -> Result<Response<ListConnectionsResponse>, Status> {
        let result = async { list(self.engine()?, request.get_ref()).await };
        answered("ListConnections", result.await)
    }
}

async fn get(engine: &Engine, id: &str) -> Result<GetConnectionResponse, ApiError> {
    let id =
        ChargePointId::parse(id).map_err(|error| ApiError::field("charge_point_id", error.to_string()))?;
    let reply = engine.store.get_connection(&id).await?;
    let found = reply.value.ok_or_else(|| ApiError::NotFound {
        kind: "charge_point",
        name: id.to_string(),
    })?;
    Ok(GetConnectionResponse {
        connection: Some(connection(&id, &found.device, reply.redis_now)),
    })
}

async fn list(
    engine: &Engine,
    request: &ListConnectionsRequest,
) -> Result<ListConnectionsResponse, ApiError> {
    let pod = match request.pod_id.as_str() {
        "" => None,
        id => Some(PodId::parse(id).map_err(|error| ApiError::field("pod_id", error.to_string()))?),
    };
    let size = page::size("page_size", request.page_size)?;
    let pages = Pages::of("ListConnections", &pod);
    let after = pages.read(&request.page_token)?;
    let page = engine.store.list_connections(pod.as_ref(), after, size).await?;
    let connections = page
        .connections
        .iter()
        .map(|(c, now)| connection(&c.charge_point, &c.device, *now))
        .collect();
    Ok(ListConnectionsResponse {
        connections,
        next_page_token: pages.next(page.next),
    })
}
