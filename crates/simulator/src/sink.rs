//! A bare WebSocket server that accepts, upgrades and echoes: the floor that a gateway's figures are compared
//! with. It leaves out everything a gateway adds: identities, sessions, registration, timers.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Pause after an accept that failed, as when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for ever; dropping the future closes them.
pub async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(echo(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection's whole life. Its end is the other side's business, and so is why.
async fn echo(stream: TcpStream) {
    if let Err(error) = try_echo(stream).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended");
    }
}

async fn try_echo(stream: TcpStream) -> Result<(), WsError> {
    stream.set_nodelay(true)?;
    // The smallest buffers tungstenite works well with, and a handshake that is freed when it is over.
    let config = WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20);
    let mut socket = Box::pin(accept_hdr_async_with_config(stream, agree, Some(config))).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Agrees to whatever subprotocol is asked for first.
#[allow(clippy::result_large_err, reason = "tungstenite's callback has this type")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    const PROTOCOL: &str = "sec-websocket-protocol";
    if let Some(protocol) = request.headers().get(PROTOCOL) {
        response.headers_mut().insert(PROTOCOL, protocol.clone());
    }
    Ok(response)
}
