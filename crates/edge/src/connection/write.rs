//! What leaves a connection: CALLs after a last look, answers, pings, the close. Leaves out what is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use domain::edge::{Input, Write};
use domain::ids::CommandId;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::{Connection, FAULTS, Phase};
use crate::failpoint;
use crate::shard::{Call, Outbound};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Hands what is unsent to the socket, one after the other: a CALL counts as written once all of it left.
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
            match out {
                Outbound::Call(write) => ready!(self.poll_call(write, cx))?,
                out => self.send(out)?,
            }
            if self.unsent.as_ref().is_some_and(|unsent| unsent.is_empty()) {
                self.unsent = None;
            }
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
            Outbound::Call(_) | Outbound::Timer => Ok(()),
        }
    }

    /// Offers a CALL to the socket, unless the last look forbids it. Nothing is buffered before it and the look is
    /// taken anew whenever the socket had no room, so what leaves was permitted when it left. A CALL of which no byte
    /// left stays the first that is unsent.
    fn poll_call(&mut self, call: Box<Call>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        let write = &call.write;
        let message_id = write.id.to_string();
        let frame = call_frame(&message_id, write)?;
        let allowed = self.session.may_call(&write.action).is_ok();
        let looked = allowed.then(|| self.hub.may_write(&self.charge_point, write.id));
        let Some(now) = looked.flatten() else {
            self.not_written(write.id);
            return Poll::Ready(Ok(()));
        };
        self.hub
            .note_write(&self.charge_point, self.socket, (write.id, now), &write.terms);
        failpoint::hit(failpoint::BEFORE_WRITE);
        let begun = self.ws.get_mut().poll_begin(cx, &frame);
        if !matches!(begun, Poll::Ready(Ok(()))) {
            self.hub.note_unwritten(&self.charge_point, self.socket, write.id);
            self.unsent
                .get_or_insert_default()
                .push_front(Outbound::Call(call));
            if begun.is_pending() {
                self.note_blocked();
            }
            return begun.map_err(WsError::Io);
        }
        failpoint::hit(failpoint::AFTER_WRITE);
        self.begun(&message_id, &call);
        Poll::Ready(Ok(()))
    }

    /// The socket took a CALL, at least its beginning.
    fn begun(&mut self, message_id: &str, call: &Call) {
        let write = &call.write;
        if !call.span.is_disabled() {
            let charge_point_id = self.charge_point.as_str();
            drop(
                tracing::info_span!(parent: &call.span, "write_call", charge_point_id, command = message_id),
            );
        }
        (self.writing, self.unflushed) = (Some(write.id), true);
        let now_ms = self.hub.clock.mono_ms();
        let timeout_ms = match write.answer_timeout_us / 1_000 {
            0 => self.hub.limits.call_timeout_ms,
            ms => ms,
        };
        // It was asked before whether the session takes a CALL, and nothing happened since.
        let _ = self
            .session
            .begin_call(message_id, &write.action, now_ms, timeout_ms);
        self.hub
            .shard(&self.charge_point)
            .add_timer(now_ms.saturating_add(timeout_ms), self.socket);
    }

    /// A CALL will not be written here.
    fn not_written(&self, id: CommandId) {
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
    }

    /// The connection closes: what is not begun is not written, lest the close come right behind it and its answer
    /// be lost.
    pub(super) fn give_calls_back(&mut self) {
        let Some(unsent) = &mut self.unsent else { return };
        let mut calls = Vec::new();
        unsent.retain(|out| {
            if let Outbound::Call(call) = out {
                calls.push(call.write.id);
            }
            !matches!(out, Outbound::Call(_))
        });
        for id in calls {
            self.not_written(id);
        }
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

/// A CALL as one frame.
fn call_frame(message_id: &str, write: &Write) -> Result<Vec<u8>, WsError> {
    let mut text = String::with_capacity(write.payload.len() + write.action.len() + 64);
    ocpp::encode_call(&mut text, message_id, &write.action, &write.payload);
    let mut frame = Vec::with_capacity(text.len() + 10);
    Frame::message(text, OpCode::Data(Data::Text), true).format(&mut frame)?;
    Ok(frame)
}
