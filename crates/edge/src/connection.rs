//! One charger's connection: one task that reads, writes and rests, polled by hand.
//!
//! No channel, no split, no select: a million of these must fit in one process. While it rests, its waker lies in
//! its shard and its mailbox is nothing. Leaves out what messages mean (`connection/message.rs`) and what a
//! command may do (the shard's machine).

mod message;
mod outlet;
mod write;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chassis::history;
use domain::edge::{Input, Socket};
use domain::ids::{ChargePointId, CommandId};
use futures_util::Stream;
use ocpp::{BootGate, BootState, Session};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};

use crate::hub::Hub;
use crate::metrics::{connection_error, reasons};
use crate::shard::{Mailbox, Outbound};
use crate::upstream::Confirmation;

pub use outlet::Outlet;

/// Steps in one poll, so that a charger that never pauses does not starve its neighbours.
const STEPS_A_POLL: usize = 64;
/// Answers that may wait for the socket before nothing more is read from it.
const MAX_UNSENT: usize = 32;

/// WebSocket close codes used here.
mod close_code {
    pub(super) const UNSUPPORTED: u16 = 1003;
    pub(super) const INVALID_TEXT: u16 = 1007;
    pub(super) const TOO_LARGE: u16 = 1009;
    pub(super) const PROTOCOL: u16 = 1002;
}

/// Closes for something that the charger sent, behind which its messages cannot be told apart any more.
const FAULTS: [u16; 4] = [
    close_code::UNSUPPORTED,
    close_code::INVALID_TEXT,
    close_code::TOO_LARGE,
    close_code::PROTOCOL,
];

/// A charger's connection. It reports its end when it is dropped, however that comes about.
pub struct Connection<S> {
    ws: WebSocketStream<Outlet<S>>,
    hub: Arc<Hub>,
    charge_point: ChargePointId,
    socket: Socket,
    session: Session,
    /// What is to be written, in order; nothing while there is nothing.
    unsent: Option<Box<Mailbox>>,
    /// Answers that wait until their event is durable; nothing while there are none.
    #[expect(
        clippy::box_collection,
        reason = "a null pointer of 8 bytes while idle, where a Vec has 24"
    )]
    undurable: Option<Box<Vec<Undurable>>>,
    /// The CALL of which the socket took the beginning and perhaps not the end.
    writing: Option<CommandId>,
    phase: Phase,
    /// Since when the socket takes nothing, in milliseconds; 0 while it does.
    blocked_since_ms: u64,
    unflushed: bool,
    heard: bool,
    /// Behind the close: nothing that comes is understood any more.
    deaf: bool,
    ending: &'static str,
}

/// An answer that waits until its event is durable.
struct Undurable {
    message_id: Box<str>,
    answer: String,
    began_us: u64,
    confirmation: Confirmation,
}

/// How far a connection's end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The charger closes: its close is answered, and nothing else is written.
    Leaving,
    /// The close frame is to be written.
    Closing,
    /// It is written, and so is the end of the stream; the charger's own end is awaited for a while, because
    /// closing at once could destroy what was just written.
    Lingering,
}

/// What a step led to.
enum Step {
    /// Something was done; there may be more.
    More,
    /// Nothing to do until somebody wakes the task.
    Rest,
    /// The connection is over.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection whose handshake is over; it takes a place in the hub, unless there is none left.
    #[must_use]
    pub fn new(
        ws: WebSocketStream<Outlet<S>>,
        hub: Arc<Hub>,
        charge_point: ChargePointId,
        version: ocpp::Version,
    ) -> Option<Self> {
        if !hub.try_enter() {
            connection_error(reasons::TOO_MANY);
            return None;
        }
        let socket = hub.open(&charge_point, version);
        Some(Self {
            ws,
            hub,
            charge_point,
            socket,
            session: Session::new(version, BootGate::Lenient, BootState::Unknown),
            unsent: None,
            undurable: None,
            writing: None,
            phase: Phase::Open,
            blocked_since_ms: 0,
            unflushed: false,
            heard: true,
            deaf: false,
            ending: "closed",
        })
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        self.collect_durable(cx);
        match self.poll_write(cx) {
            Poll::Ready(Err(_)) => return self.fail(reasons::IO),
            Poll::Ready(Ok(())) if self.phase == Phase::Closing && self.poll_shutdown(cx).is_ready() => {
                self.phase = Phase::Lingering;
            }
            _ => {}
        }
        if self.phase == Phase::Lingering && self.poll_last_words(cx).is_ready() {
            return Step::End;
        }
        if matches!(self.phase, Phase::Open | Phase::Leaving)
            && self.has_room()
            && let Poll::Ready(message) = Pin::new(&mut self.ws).poll_next(cx)
        {
            return self.received(message);
        }
        let heard = std::mem::take(&mut self.heard);
        match self.hub.sync(&self.charge_point, self.socket, cx.waker(), heard) {
            Some(mail) => self.take_mail(*mail),
            None => Step::Rest,
        }
    }

    /// What came from the charger, or why nothing comes any more.
    fn received(&mut self, message: Option<Result<Message, WsError>>) -> Step {
        self.heard = true;
        match message {
            Some(Ok(Message::Text(text))) => self.message(text.as_str()),
            Some(Ok(Message::Binary(_))) => self.refuse(close_code::UNSUPPORTED, reasons::BINARY),
            // The library has prepared a pong, or the reply to a close.
            Some(Ok(Message::Ping(_))) => self.unflushed = true,
            Some(Ok(Message::Close(_))) => {
                self.unflushed = true;
                self.phase = Phase::Leaving;
                self.give_calls_back();
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(WsError::Capacity(CapacityError::MessageTooLong { .. }))) => {
                self.refuse(close_code::TOO_LARGE, reasons::TOO_LARGE);
            }
            Some(Err(WsError::Utf8(_))) => self.refuse(close_code::INVALID_TEXT, reasons::PROTOCOL),
            Some(Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                return self.fail(reasons::IO);
            }
            Some(Err(WsError::Protocol(_) | WsError::Capacity(_))) => {
                self.refuse(close_code::PROTOCOL, reasons::PROTOCOL);
            }
            Some(Err(_)) => return self.fail(reasons::IO),
            None => return Step::End,
        }
        Step::More
    }

    fn take_mail(&mut self, mail: Mailbox) -> Step {
        let closes = mail.iter().any(|out| matches!(out, Outbound::Close(..)));
        for out in mail {
            match out {
                Outbound::Timer if self.timer_says_end() => return Step::End,
                Outbound::Timer => {}
                Outbound::Close(_, "idle") if self.phase == Phase::Open => {
                    connection_error(reasons::IDLE);
                    self.unsent
                        .get_or_insert_default()
                        .push_back(Outbound::Close(1001, "idle"));
                }
                Outbound::Close(1008, reason) => {
                    self.hub
                        .complaints
                        .say(self.charge_point.as_str(), reasons::DUPLICATE, reason);
                    self.unsent
                        .get_or_insert_default()
                        .push_back(Outbound::Close(1008, reason));
                }
                out => self.unsent.get_or_insert_default().push_back(out),
            }
        }
        if closes {
            self.give_calls_back();
        }
        Step::More
    }

    /// A time came that was asked for: the end of the lingering, the end of patience with a charger that does not
    /// read, whose CALL slot would else be lost to it, or a CALL's.
    fn timer_says_end(&mut self) -> bool {
        let now_ms = self.hub.clock.mono_ms();
        if self.phase != Phase::Open {
            return true;
        }
        let blocked_ms = now_ms.saturating_sub(self.blocked_since_ms);
        if self.blocked_since_ms > 0 && blocked_ms >= self.hub.limits.write_timeout_ms {
            let detail = format_args!("it took nothing of what was written to it for {blocked_ms} ms");
            self.hub
                .complaints
                .say(self.charge_point.as_str(), reasons::SLOW, detail);
            let _ = self.fail(reasons::SLOW);
            return true;
        }
        let Some(call) = self.session.expire(now_ms) else {
            return false;
        };
        self.hub.meters.calls_timed_out.increment(1);
        if let Ok(id) = CommandId::parse(&call.id) {
            let (charge_point, socket) = (self.charge_point.clone(), self.socket);
            self.hub.input(
                &self.charge_point,
                Input::CallTimeout {
                    charge_point,
                    socket,
                    id,
                },
            );
        }
        false
    }

    /// Closes for a fault of the charger; what it still has to be told goes first.
    fn refuse(&mut self, code: u16, reason: &'static str) {
        connection_error(reason);
        let detail = format_args!("its connection is closed with {code}");
        self.hub
            .complaints
            .say(self.charge_point.as_str(), reason, detail);
        self.unsent
            .get_or_insert_default()
            .push_back(Outbound::Close(code, reason));
        self.give_calls_back();
    }

    /// Ends without a word, because nobody would hear it.
    fn fail(&mut self, reason: &'static str) -> Step {
        connection_error(reason);
        self.ending = reason;
        Step::End
    }

    fn has_room(&self) -> bool {
        self.unsent
            .as_ref()
            .is_none_or(|unsent| unsent.len() < MAX_UNSENT)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..STEPS_A_POLL {
            match this.step(cx) {
                Step::More => {}
                Step::Rest => return Poll::Pending,
                Step::End => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        let unsent = self.unsent.take().unwrap_or_default();
        let call = |out: &Outbound| {
            if let Outbound::Call(call) = out {
                Some(call.write.id)
            } else {
                None
            }
        };
        let unwritten = unsent.iter().filter_map(call).collect();
        history::note(
            "close",
            || json!({ "cp": self.charge_point.as_str(), "socket": self.socket.0, "why": self.ending }),
        );
        self.hub.close(&self.charge_point, self.socket, unwritten);
        self.hub
            .upstream
            .disconnected(&self.charge_point, self.session.version(), self.ending);
        self.hub.leave();
    }
}

#[cfg(test)]
mod tests;
