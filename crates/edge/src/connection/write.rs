//! What leaves a connection: CALLs after a last look, answers, pings, the close. Leaves out what is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use domain::edge::{Input, Write};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{Connection, FAULTS, Phase};
use crate::shard::Outbound;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Hands what is unsent to the socket, one after the other: a CALL counts as written once it left.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        loop {
            ready!(self.poll_flush(cx))?;
            let open = self.phase == Phase::Open;
            let Some(out) = self
                .unsent
                .as_mut()
                .filter(|_| open)
                .and_then(|unsent| unsent.pop_front())
            else {
                return Poll::Ready(Ok(()));
            };
            if self.unsent.as_ref().is_some_and(|unsent| unsent.is_empty()) {
                self.unsent = None;
            }
            self.send(out)?;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        if self.unflushed {
            let Poll::Ready(flushed) = Pin::new(&mut self.ws).poll_flush(cx) else {
                self.note_blocked();
                return Poll::Pending;
            };
            flushed?;
            (self.unflushed, self.blocked_since_ms) = (false, 0);
            if let Some(id) = self.writing.take() {
                self.hub.meters.calls_out.increment(1);
                let (charge_point, socket) = (self.charge_point.clone(), self.socket);
                self.hub.input(
                    &self.charge_point,
                    Input::Wrote {
                        charge_point,
                        socket,
                        id,
                    },
                );
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, out: Outbound) -> Result<(), WsError> {
        match out {
            Outbound::Call(write) => self.send_call(*write),
            Outbound::Text(text) => self.put(Message::text(text)),
            Outbound::Ping => self.put(Message::Ping(Bytes::new())),
            Outbound::Close(code, reason) => {
                self.phase = Phase::Closing;
                self.ending = reason;
                // Behind a fault of framing, what comes can no longer be told apart.
                self.deaf = FAULTS.contains(&code);
                let at_ms = self
                    .hub
                    .clock
                    .mono_ms()
                    .saturating_add(self.hub.limits.close_linger_ms);
                self.hub.shard(&self.charge_point).add_timer(at_ms, self.socket);
                self.put(Message::Close(Some(CloseFrame {
                    code: code.into(),
                    reason: reason.into(),
                })))
            }
            Outbound::Timer => Ok(()),
        }
    }

    /// Writes a CALL, unless the last look forbids it.
    fn send_call(&mut self, write: Write) -> Result<(), WsError> {
        let Write {
            id,
            action,
            payload,
            answer_timeout_us,
            ..
        } = write;
        let now_ms = self.hub.clock.mono_ms();
        let timeout_ms = match answer_timeout_us / 1_000 {
            0 => self.hub.limits.call_timeout_ms,
            ms => ms,
        };
        let message_id = id.to_string();
        let may = self.hub.may_write(&self.charge_point, id)
            && self
                .session
                .begin_call(&message_id, &action, now_ms, timeout_ms)
                .is_ok();
        if !may {
            self.hub.meters.calls_given_back.increment(1);
            let (charge_point, socket) = (self.charge_point.clone(), self.socket);
            self.hub.input(
                &self.charge_point,
                Input::NotWritten {
                    charge_point,
                    socket,
                    id,
                },
            );
            return Ok(());
        }
        let mut text = String::with_capacity(payload.len() + action.len() + 64);
        ocpp::encode_call(&mut text, &message_id, &action, &payload);
        self.writing = Some(id);
        self.hub
            .shard(&self.charge_point)
            .add_timer(now_ms.saturating_add(timeout_ms), self.socket);
        self.put(Message::text(text))
    }

    fn put(&mut self, message: Message) -> Result<(), WsError> {
        self.unflushed = true;
        Pin::new(&mut self.ws).start_send(message)
    }

    /// The socket takes nothing: the charger has so long to read.
    fn note_blocked(&mut self) {
        if self.blocked_since_ms == 0 {
            let now_ms = self.hub.clock.mono_ms();
            self.blocked_since_ms = now_ms.max(1);
            let at_ms = now_ms
                .saturating_add(self.hub.limits.write_timeout_ms)
                .saturating_add(1);
            self.hub.shard(&self.charge_point).add_timer(at_ms, self.socket);
        }
    }

    /// Ends the own side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self.ws.get_mut()).poll_shutdown(cx).map(drop)
    }

    /// Hears the answers that were on their way when the close was written: an unsafe command whose answer went
    /// unheard would be one of unknown outcome. Ready once the charger has ended its side.
    pub(super) fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.deaf {
            match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => self.last_word(text.as_str()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.deaf = true,
            }
        }
        self.poll_discard(cx)
    }

    /// Reads and forgets; ready once the charger has ended its side.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 512];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(self.ws.get_mut()).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}
