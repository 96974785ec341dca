//! A client of the simulator's echo server: the upgrade and short text frames (RFC 6455), written by hand,
//! since no WebSocket library may be named here.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest payload whose length fits the second byte of a frame.
const SHORT: usize = 125;

/// A connection that was upgraded.
#[derive(Debug)]
pub(super) struct EchoConnection(TcpStream);

impl EchoConnection {
    /// Connects and upgrades.
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address)
            .await
            .context("connecting to the sink")?;
        stream.set_nodelay(true)?;
        // The key of the RFC's own example: it proves nothing to a server that is ours.
        let request = format!(
            "GET /echo HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(answer.len() < 8_192, "the sink's answer has no end");
            answer.push(stream.read_u8().await.context("the sink did not upgrade")?);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            bail!("the sink answered {:?}", String::from_utf8_lossy(&answer));
        }
        Ok(Self(stream))
    }

    /// Sends a text of at most 125 bytes and waits until it is back.
    pub(super) async fn round_trip(&mut self, text: &str) -> Result<()> {
        let frame = client_frame(text)?;
        self.0.write_all(&frame).await?;
        let mut echo = vec![0; text.len() + 2];
        self.0.read_exact(&mut echo).await.context("the sink closed")?;
        ensure!(echo == server_frame(text)?, "the sink answered something else");
        Ok(())
    }
}

/// A masked text frame. The mask is zero, which leaves the text as it is and the server none the wiser.
fn client_frame(text: &str) -> Result<Vec<u8>> {
    let mut frame = vec![0x81, 0x80 | length(text)?, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    Ok(frame)
}

/// A text frame without a mask.
fn server_frame(text: &str) -> Result<Vec<u8>> {
    let mut frame = vec![0x81, length(text)?];
    frame.extend_from_slice(text.as_bytes());
    Ok(frame)
}

fn length(text: &str) -> Result<u8> {
    ensure!(text.len() <= SHORT, "a short frame has at most {SHORT} bytes");
    Ok(u8::try_from(text.len())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_rfc() {
        assert_eq!(
            server_frame("Hello").unwrap(),
            [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]
        );
        assert_eq!(client_frame("Hi").unwrap(), [0x81, 0x82, 0, 0, 0, 0, b'H', b'i']);
    }

    #[test]
    fn a_long_text_is_refused_instead_of_garbled() {
        assert!(client_frame(&"x".repeat(SHORT)).is_ok());
        assert!(client_frame(&"x".repeat(SHORT + 1)).is_err());
    }
}
