//! A charger's byte stream, past which a CALL can be written so that one knows whether any of it left.
//!
//! The WebSocket library takes a message whether or not the socket does, and writes it whenever the socket lets it.
//! For an answer that is fine; a CALL must not leave after its lease or its deadline. So a CALL is offered to the
//! socket itself: either nothing of it left, and it may still be withdrawn, or it is on its way, and what the socket
//! did not take yet goes before everything else. Leaves out who may write what.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream, and the end of a frame that the socket took the beginning of.
#[derive(Debug)]
pub struct Outlet<S> {
    stream: S,
    rest: Option<Box<Rest>>,
}

#[derive(Debug)]
struct Rest {
    bytes: Vec<u8>,
    written: usize,
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// An outlet of a stream on which no frame is under way.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self { stream, rest: None }
    }

    /// Offers a whole frame to the socket. Pending or an error: surely no byte of it left. Ready: it is on its way,
    /// and a flush brings it to its end. Whatever the library has buffered must be flushed before.
    pub fn poll_begin(&mut self, cx: &mut Context<'_>, frame: &[u8]) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, frame))?;
        match frame.get(written..) {
            _ if written == 0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Some(rest) if !rest.is_empty() => {
                let (bytes, written) = (rest.to_vec(), 0);
                self.rest = Some(Box::new(Rest { bytes, written }));
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Brings a frame that was begun to its end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = &mut self.rest {
            let left = rest.bytes.get(rest.written..).unwrap_or_default();
            if left.is_empty() {
                self.rest = None;
                break;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.written += written;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Outlet<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Outlet<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_frame_that_the_socket_has_no_room_for_leaves_nothing_behind() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut outlet = Outlet::new(near);
        outlet.write_all(b"full").await.unwrap();
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        assert!(outlet.poll_begin(cx, b"CALL").is_pending());
        let mut four = [0; 4];
        far.read_exact(&mut four).await.unwrap();
        outlet.write_all(b"more").await.unwrap();
        far.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"more", "nothing of the CALL");
    }

    #[tokio::test]
    async fn what_follows_a_frame_that_was_begun_waits_for_its_end() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut outlet = Outlet::new(near);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        assert!(outlet.poll_begin(cx, b"a long CALL").is_ready());
        let write = tokio::spawn(async move {
            outlet.write_all(b"pong").await.unwrap();
            outlet.shutdown().await.unwrap();
        });
        let mut all = String::new();
        far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "a long CALLpong");
        write.await.unwrap();
    }
}
