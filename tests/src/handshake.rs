//! The WebSocket handshake by hand, for the answers that a correct client does not let through: other status
//! codes, and an upgrade without a subprotocol.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Debug)]
pub struct Handshake {
    /// The HTTP status.
    pub status: u16,
    /// The head of the response, small letters.
    pub head: String,
    /// The connection behind it.
    pub stream: TcpStream,
}

/// Asks for an upgrade on `path`; `protocols` is the header's value, `extra` are further header lines.
pub async fn upgrade(
    edge: SocketAddr,
    path: &str,
    protocols: Option<&str>,
    extra: &[&str],
) -> Result<Handshake> {
    let mut stream = TcpStream::connect(edge).await?;
    let mut lines = vec![
        format!("GET {path} HTTP/1.1"),
        format!("Host: {edge}"),
        "Connection: Upgrade".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
    ];
    lines.extend(protocols.map(|protocols| format!("Sec-WebSocket-Protocol: {protocols}")));
    lines.extend(extra.iter().map(|line| (*line).to_owned()));
    stream
        .write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes())
        .await?;
    let head = read_head(&mut stream).await?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .context("no status line")?;
    Ok(Handshake { status, head, stream })
}

/// Reads up to the empty line, byte by byte: what follows belongs to the WebSocket.
async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            stream
                .read_u8()
                .await
                .context("the connection ended within the head")?,
        );
    }
    Ok(String::from_utf8_lossy(&head).to_lowercase())
}
