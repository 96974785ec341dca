//! The chargers' port: accepts, shakes hands, and runs each connection as one task.
//!
//! Leaves out the drain, which closes the connections; this task only stops taking new ones.

use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::handshake::{Door, HandshakeError, read_upgrade};
use crate::hub::Hub;
use crate::metrics::{connection_error, reasons};

/// Pause after an accept that failed, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The task that takes connections.
pub struct Listener {
    /// The bound port.
    pub socket: TcpListener,
    /// The shared parts.
    pub hub: Arc<Hub>,
    /// The owner of the connections' tasks.
    pub connections: TaskTracker,
    /// Handshakes at a time.
    pub max_handshakes: usize,
    /// From the accepted connection to the answered upgrade.
    pub handshake_timeout: Duration,
}

impl Door for Hub {
    fn refusal(&self) -> Option<&'static str> {
        if !self.readiness.is_ready() {
            Some(reasons::NOT_READY)
        } else if self.entered() >= self.limits.max_connections {
            Some(reasons::TOO_MANY)
        } else {
            None
        }
    }
}

impl Listener {
    /// Takes connections until `token` is cancelled.
    pub async fn run(self, token: CancellationToken) {
        let handshakes = Arc::new(Semaphore::new(self.max_handshakes));
        while let Some(accepted) = token.run_until_cancelled(self.accept(&handshakes)).await {
            match accepted {
                Ok((stream, permit)) => {
                    let (hub, limit) = (Arc::clone(&self.hub), self.handshake_timeout);
                    self.connections
                        .spawn(serve(stream, hub, limit, permit, token.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    connection_error(reasons::IO);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(
        &self,
        handshakes: &Arc<Semaphore>,
    ) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(handshakes)
            .acquire_owned()
            .await
            .map_err(std::io::Error::other)?;
        let (stream, _) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, permit))
    }
}

/// One connection's whole life. The handshake is boxed, so that what it needs is given back when it is over; one
/// that is under way when the edge begins to drain is given up.
async fn serve(
    stream: TcpStream,
    hub: Arc<Hub>,
    limit: Duration,
    permit: OwnedSemaphorePermit,
    draining: CancellationToken,
) {
    let peer = stream
        .peer_addr()
        .map(|peer| peer.to_string())
        .unwrap_or_default();
    let handshake = establish(stream, Arc::clone(&hub), limit);
    let established = Box::pin(draining.run_until_cancelled_owned(handshake)).await;
    match established {
        Some(Ok(Some(connection))) => {
            drop(permit);
            connection.await;
        }
        Some(Ok(None)) | None => {}
        Some(Err(error)) => {
            connection_error(error.reason());
            match error.is_the_chargers_fault() {
                true => hub.complaints.say(&peer, error.reason(), &error),
                false => tracing::debug!(peer, %error, "no connection"),
            }
        }
    }
}

/// Shakes hands; no connection where no version is in common.
async fn establish(
    stream: TcpStream,
    hub: Arc<Hub>,
    limit: Duration,
) -> Result<Option<Connection<TcpStream>>, HandshakeError> {
    let upgrade = read_upgrade(stream, limit, &*hub).await?;
    let (charge_point, version) = (upgrade.charge_point.clone(), upgrade.version);
    let mut ws = upgrade.accept(limit, hub.limits.websocket).await?;
    let Some(version) = version else {
        connection_error(reasons::NO_SUBPROTOCOL);
        let frame = CloseFrame {
            code: CloseCode::Protocol,
            reason: "no OCPP version in common".into(),
        };
        let told = tokio::time::timeout(limit, ws.send(Message::Close(Some(frame)))).await;
        let detail = match told {
            Ok(_) => "no OCPP version in common",
            Err(_) => "no OCPP version in common, and it did not take the close",
        };
        hub.complaints
            .say(charge_point.as_str(), reasons::NO_SUBPROTOCOL, detail);
        return Ok(None);
    };
    Ok(Connection::new(ws, hub, charge_point, version))
}
