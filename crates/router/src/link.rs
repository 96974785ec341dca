//! The link between an edge and this router: one stream each way. `session` is its life, `desk` its work, `items`
//! does what the edge asks, `placing` decides where the edge consumes.

mod desk;
mod items;
mod placing;
mod session;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use wire::gateway::link::v1::edge_link_service_server::EdgeLinkService;
use wire::gateway::link::v1::{LinkRequest, LinkResponse};

use crate::engine::EngineCell;
use crate::error::ApiError;

/// Messages that may wait for an edge to take them; a session whose edge takes none reads no more of its items.
const OUTBOUND: usize = 64;

/// A message on its way to an edge, or the end of its stream.
pub type Outbound = Result<LinkResponse, Status>;

/// The service; it owns the sessions.
pub struct LinkService {
    engine: EngineCell,
    drain: CancellationToken,
    sessions: TaskTracker,
}

impl LinkService {
    /// A service whose sessions end when `drain` is cancelled; whoever awaits `sessions` sees them end.
    #[must_use]
    pub fn new(engine: EngineCell, drain: CancellationToken, sessions: TaskTracker) -> Self {
        Self {
            engine,
            drain,
            sessions,
        }
    }
}

#[tonic::async_trait]
impl EdgeLinkService for LinkService {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<LinkResponse, Status>> + Send>>;

    async fn link(
        &self,
        request: Request<Streaming<LinkRequest>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let engine = self.engine.get().ok_or(ApiError::NotConnected)?;
        if self.drain.is_cancelled() {
            return Err(ApiError::ShuttingDown.into());
        }
        let (down, responses) = mpsc::channel(OUTBOUND);
        engine.links.enter(&down);
        let session = session::run(Arc::clone(engine), request.into_inner(), down, self.drain.clone());
        self.sessions.spawn(session);
        let stream = unfold(responses, |mut responses| async {
            Some((responses.recv().await?, responses))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
