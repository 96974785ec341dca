//! The upgrade of a charger's TCP connection to a WebSocket.
//!
//! The request is read here, into a bounded buffer and within one deadline, because the library's own handshake
//! answers nothing to a malformed request, takes 64 KiB of headers, and loses a frame that was sent right behind
//! the request. Leaves out authentication.

use std::io;
use std::time::Duration;

use domain::ids::ChargePointId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::connection::Outlet;
use crate::metrics::reasons;

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The header with the OCPP versions.
const SUBPROTOCOL: &str = "Sec-WebSocket-Protocol";

/// A charger that asks to be connected, its request read.
pub struct Upgrade<S> {
    stream: S,
    /// What came behind the request.
    rest: Vec<u8>,
    response: Response,
    /// Who it says it is.
    pub charge_point: ChargePointId,
    /// The version in common; none if there is none, and then the socket is closed after the handshake.
    pub version: Option<ocpp::Version>,
}

/// Why there was no connection. Whatever could be said to the peer was said.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took longer than it may.
    #[error("the handshake took too long")]
    Timeout,
    /// The peer went away.
    #[error("the peer went away")]
    Io(#[from] io::Error),
    /// It was refused.
    #[error("refused with {status}: {reason}, {target:?}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// One of [`reasons`].
        reason: &'static str,
        /// What it asked for, where that could be read, which may name the charger.
        target: Box<str>,
    },
}

impl HandshakeError {
    /// Whether the request was at fault, and not the network or the edge's own state.
    #[must_use]
    pub fn is_the_chargers_fault(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => ![reasons::NOT_READY, reasons::TOO_MANY].contains(reason),
            Self::Timeout | Self::Io(_) => false,
        }
    }

    /// The value of the label `reason` of `gateway_connection_errors_total`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => reasons::HANDSHAKE_TIMEOUT,
            Self::Io(_) => reasons::IO,
            Self::Refused { reason, .. } => reason,
        }
    }
}

/// Whether there is room for a charger, asked once its request is read.
pub trait Door: Send + Sync {
    /// The reason for a 503, if there is one.
    fn refusal(&self) -> Option<&'static str>;
}

/// Reads a request and decides on it; a refusal is answered.
pub async fn read_upgrade<S>(
    mut stream: S,
    limit: Duration,
    door: &impl Door,
) -> Result<Upgrade<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = async {
        let (request, rest) = match read_request(&mut stream).await {
            Ok(read) => read,
            Err(error) => return Err(answered(&mut stream, error).await),
        };
        match judge(&request, door) {
            Ok((charge_point, version, response)) => Ok((charge_point, version, response, rest)),
            Err(error) => Err(answered(&mut stream, error).await),
        }
    };
    let (charge_point, version, response, rest) = tokio::time::timeout(limit, read)
        .await
        .unwrap_or(Err(HandshakeError::Timeout))?;
    Ok(Upgrade {
        stream,
        rest,
        response,
        charge_point,
        version,
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upgrade<S> {
    /// Answers 101 and hands over the WebSocket.
    pub async fn accept(
        mut self,
        limit: Duration,
        config: WebSocketConfig,
    ) -> Result<WebSocketStream<Outlet<S>>, HandshakeError> {
        let mut head = Vec::with_capacity(256);
        write_response(&mut head, &self.response).map_err(io::Error::other)?;
        let write = self.stream.write_all(&head);
        tokio::time::timeout(limit, write)
            .await
            .map_err(|_| HandshakeError::Timeout)??;
        let stream = Outlet::new(self.stream);
        Ok(WebSocketStream::from_partially_read(stream, self.rest, Role::Server, Some(config)).await)
    }
}

/// Reads to the end of the head; what follows it is given back beside the request.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Request, Vec<u8>), HandshakeError> {
    let mut buffer = Vec::with_capacity(1_024);
    loop {
        if buffer.len() >= MAX_HEAD_BYTES {
            return Err(refused(431, reasons::HEAD_TOO_LARGE));
        }
        let room = u64::try_from(MAX_HEAD_BYTES - buffer.len()).unwrap_or(0);
        if stream.take(room).read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match Request::try_parse(&buffer) {
            Ok(Some((size, request))) => return Ok((request, buffer.split_off(size))),
            Ok(None) => {}
            Err(_) => return Err(refused(400, reasons::BAD_REQUEST)),
        }
    }
}

/// Decides on a request: a well-formed upgrade, room, an identity, a version in common.
fn judge(
    request: &Request,
    door: &impl Door,
) -> Result<(ChargePointId, Option<ocpp::Version>, Response), HandshakeError> {
    let refused = |status, reason| HandshakeError::Refused {
        status,
        reason,
        target: request.uri().path().into(),
    };
    let mut response = create_response(request).map_err(|_| refused(400, reasons::BAD_REQUEST))?;
    if let Some(reason) = door.refusal() {
        return Err(refused(503, reason));
    }
    let offers = request
        .headers()
        .get_all(SUBPROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let version = ocpp::negotiate(offers, &ocpp::Version::ALL);
    let path = request.uri().path();
    let identity = ocpp::identity_from_path(path, version.unwrap_or(ocpp::Version::V16)).ok();
    let charge_point = identity.and_then(|identity| ChargePointId::parse(&identity).ok());
    let charge_point = charge_point.ok_or_else(|| refused(404, reasons::BAD_IDENTITY))?;
    if let Some(version) = version {
        response
            .headers_mut()
            .insert(SUBPROTOCOL, HeaderValue::from_static(version.subprotocol()));
    }
    Ok((charge_point, version, response))
}

/// Refuses what could not be read.
fn refused(status: u16, reason: &'static str) -> HandshakeError {
    HandshakeError::Refused {
        status,
        reason,
        target: "".into(),
    }
}

/// What a refused peer reads: what is wrong and what would be right.
fn explanation(reason: &'static str) -> &'static str {
    match reason {
        reasons::HEAD_TOO_LARGE => "the head of the request is larger than 8 KiB",
        reasons::BAD_IDENTITY => {
            "the last part of the path must be the charge point's identity, percent-encoded, at most 48 characters"
        }
        reasons::NOT_READY => "the gateway is not ready, try again in a few seconds",
        reasons::TOO_MANY => "the gateway has no room for another connection, try again in a few seconds",
        _ => "this is no well-formed upgrade to a WebSocket (RFC 6455)",
    }
}

/// Tells the peer of a refusal. One that does not listen has its connection closed all the same.
async fn answered(stream: &mut (impl AsyncWrite + Unpin), error: HandshakeError) -> HandshakeError {
    if let HandshakeError::Refused { status, reason, .. } = &error {
        let text = match status {
            400 => "Bad Request",
            404 => "Not Found",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let retry = if *status == 503 { "Retry-After: 5\r\n" } else { "" };
        let body = explanation(reason);
        let answer = format!(
            "HTTP/1.1 {status} {text}\r\nConnection: close\r\n{retry}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}\n",
            body.len() + 1
        );
        let told = stream.write_all(answer.as_bytes()).await;
        if told.is_ok() && stream.shutdown().await.is_err() {
            tracing::debug!("the refused peer did not wait");
        }
    }
    error
}

#[cfg(test)]
mod tests;
