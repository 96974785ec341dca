//! As much of WebSocket (RFC 6455) as a stranger needs: to be let in, to send one text, and to know a close and a
//! CALLERROR when it hears them. Left out: everything that a correct client does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of a whole text message, and of a close.
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// What a stranger waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// A close with this code; 1005 stands for none.
    Close(u16),
    /// A CALLERROR.
    CallError,
}

/// A WebSocket with OCPP 2.0.1; none if the edge does not give one.
pub(super) async fn upgrade(door: SocketAddr, id: &str) -> Option<TcpStream> {
    let handshake = async {
        let mut socket = TcpStream::connect(door).await?;
        let request = format!(
            "GET /ocpp/{id} HTTP/1.1\r\nHost: {door}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c3RyYW5nZXIgYXQgZG9vcg==\r\n\
             Sec-WebSocket-Protocol: ocpp2.0.1\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head is not to be lost.
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        std::io::Result::Ok(head.starts_with(b"HTTP/1.1 101").then_some(socket))
    };
    timeout(HANDSHAKE, handshake).await.ok()?.ok()?
}

/// A text message as a client sends it, masked with zeros, which leave it as it is.
pub(super) fn text(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![TEXT];
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(short @ 0..=125), _) => frame.push(0x80 | short),
        (_, Ok(medium)) => {
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((bytes.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(bytes);
    frame
}

/// The first close or CALLERROR in what came; what is not whole yet is none.
pub(super) fn first(mut bytes: &[u8]) -> Option<Heard> {
    loop {
        let (kind, payload, rest) = split(bytes)?;
        match kind {
            CLOSE => {
                let code = payload
                    .first_chunk::<2>()
                    .map_or(1005, |code| u16::from_be_bytes(*code));
                return Some(Heard::Close(code));
            }
            TEXT if payload.trim_ascii_start().starts_with(b"[4,") => return Some(Heard::CallError),
            _ => bytes = rest,
        }
    }
}

/// A frame's first byte and payload, and what comes behind it.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        126 => rest
            .split_first_chunk::<2>()
            .map(|(length, rest)| (usize::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest
            .split_first_chunk::<8>()
            .map(|(length, rest)| (u64::from_be_bytes(*length), rest))
            .and_then(|(length, rest)| Some((usize::try_from(length).ok()?, rest)))?,
        _ => (usize::from(short), rest),
    };
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((kind, payload, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_length_that_its_head_says() {
        assert_eq!(text(b"ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(text(&[b'x'; 300])[..4], [0x81, 0xfe, 1, 44]);
        assert_eq!(
            text(&vec![b'x'; 65_537])[..10],
            [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1]
        );
    }

    #[test]
    fn a_close_and_a_callerror_are_found_behind_other_frames_once_they_are_whole() {
        let ping = [0x89, 1, b'p'];
        let close = [0x88, 2, 0x03, 0xf1];
        let both = [&ping[..], &close].concat();
        assert_eq!(first(&both), Some(Heard::Close(1009)));
        assert_eq!(first(&both[..both.len() - 1]), None);
        assert_eq!(first(&[0x88, 0]), Some(Heard::Close(1005)));
        let error = b"[4,\"-1\",\"RpcFrameworkError\",\"\",{}]";
        let frame = [&[0x81, u8::try_from(error.len()).unwrap()][..], error].concat();
        assert_eq!(first(&frame), Some(Heard::CallError));
        assert_eq!(first(&[0x81, 3, b'[', b'3', b',']), None);
    }
}
