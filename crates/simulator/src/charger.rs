//! One charge point without its socket: what it says, and how it answers, as a function of what it hears and of
//! the time. Its memory outlives connections. Leaves out sockets, tasks and the writing of the log.

mod seen;
mod traffic;

use std::sync::Arc;

use ocpp::Frame;
use serde_json::value::RawValue;

use crate::answers;
use crate::config::Config;
use crate::dice::Dice;
use crate::journal::{Kind, Line};
use seen::{Seen, SeenIds};
use traffic::Traffic;

/// A reading of both clocks, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Since 1970, for the log and for payloads.
    pub(crate) wall_us: u64,
    /// Since the simulator's start, for everything that is due.
    pub(crate) mono_us: u64,
    /// By the machine's monotonic clock, for the log.
    pub(crate) machine_us: u64,
}

/// What one event leads to: the log lines first, then the frames, in this order.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) log: Vec<u8>,
    pub(crate) frames: Vec<String>,
    pub(crate) counts: Counts,
}

/// What one event adds to the statistics.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) booted: u64,
    pub(crate) received: u64,
    pub(crate) duplicates: u64,
    pub(crate) answered: u64,
    pub(crate) calls_sent: u64,
    pub(crate) results_received: u64,
    pub(crate) timeouts: u64,
    pub(crate) bad_messages: u64,
}

/// One charge point.
#[derive(Debug)]
pub(crate) struct Charger {
    id: String,
    config: Arc<Config>,
    dice: Dice,
    conn: u64,
    seen: SeenIds,
    pending: Vec<PendingAnswer>,
    traffic: Traffic,
}

/// An answer that waits for its delay.
#[derive(Debug)]
struct PendingAnswer {
    due_us: u64,
    message_id: String,
    action: String,
    reply: Reply,
}

/// What a command is answered with.
#[derive(Debug)]
enum Reply {
    Result(String),
    Error(&'static str),
}

impl Charger {
    /// A charge point that never connected.
    pub(crate) fn new(id: String, config: &Arc<Config>, mut dice: Dice) -> Self {
        let traffic = Traffic::new(config, &mut dice);
        let (seen, pending) = (SeenIds::default(), Vec::new());
        Self {
            id,
            config: Arc::clone(config),
            dice,
            conn: 0,
            seen,
            pending,
            traffic,
        }
    }

    /// The charge point id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A connection stands.
    pub(crate) fn connected(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        self.conn += 1;
        self.log(&mut turn, now, Kind::Connected, |_line| {});
        self.traffic.connected(now, &mut self.dice);
        self.send_next_call(now, &mut turn);
        turn
    }

    /// The connection is gone. Answers not yet given are lost, as at a real charger; the ids stay known.
    pub(crate) fn disconnected(&mut self, reason: &str, now: Now) -> Turn {
        let mut turn = Turn::default();
        self.pending = Vec::new();
        self.traffic.disconnected();
        let payload = serde_json::json!({ "reason": reason }).to_string();
        self.log(&mut turn, now, Kind::Disconnected, |line| {
            line.payload = raw(&payload);
        });
        turn
    }

    /// A text message came in.
    pub(crate) fn received(&mut self, text: &str, now: Now) -> Turn {
        let mut turn = Turn::default();
        match ocpp::parse(text, self.config.version, &ocpp::Limits::default()) {
            Ok(Frame::Call { id, action, payload }) => {
                self.receive_call(&id, &action, payload, now, &mut turn);
            }
            Ok(Frame::CallResult { id, payload }) => self.receive_answer(&id, None, payload, now, &mut turn),
            Ok(Frame::CallError {
                id, code, details, ..
            }) => {
                let details = details.or_else(|| raw("{}"));
                if let Some(details) = details {
                    self.receive_answer(&id, Some(&code), details, now, &mut turn);
                }
            }
            Ok(Frame::CallResultError { .. } | Frame::Send { .. }) => {}
            Err(error) => {
                turn.counts.bad_messages += 1;
                turn.frames.extend(error.answer(self.config.version));
            }
        }
        turn
    }

    /// When [`Charger::due`] has something to do, in the monotonic clock.
    pub(crate) fn next_due_us(&self) -> u64 {
        let answer = self
            .pending
            .iter()
            .map(|pending| pending.due_us)
            .min()
            .unwrap_or(u64::MAX);
        answer.min(self.traffic.next_due_us())
    }

    /// Does what is due.
    pub(crate) fn due(&mut self, now: Now) -> Turn {
        let mut turn = Turn::default();
        let mut at = 0;
        while at < self.pending.len() {
            if self.pending[at].due_us <= now.mono_us {
                let pending = self.pending.remove(at);
                self.reply(&pending, now, &mut turn);
            } else {
                at += 1;
            }
        }
        turn.counts.timeouts += u64::from(self.traffic.due(now, &mut self.dice));
        self.send_next_call(now, &mut turn);
        turn
    }

    /// Decides how a command is answered and when.
    fn receive_call(&mut self, id: &str, action: &str, payload: &RawValue, now: Now, turn: &mut Turn) {
        let seen = self.seen.note(id);
        turn.counts.received += 1;
        turn.counts.duplicates += u64::from(seen == Seen::Before);
        self.log(turn, now, Kind::CallReceived, |line| {
            line.message_id = Some(id);
            line.action = Some(action);
            line.payload = Some(payload);
            line.duplicate = seen == Seen::Before;
        });
        if self.pending.iter().any(|pending| pending.message_id == id) {
            return;
        }
        let Some(reply) = self.decide(action, payload.get()) else {
            return;
        };
        let (least, most) = self.config.answer_delay_ms;
        let due_us = now.mono_us + self.dice.between(least * 1000, most * 1000);
        let (message_id, action) = (id.to_owned(), action.to_owned());
        let pending = PendingAnswer {
            due_us,
            message_id,
            action,
            reply,
        };
        if due_us == now.mono_us {
            self.reply(&pending, now, turn);
        } else {
            self.pending.push(pending);
        }
    }

    /// Draws an answer by the configured shares; `None` is silence.
    fn decide(&mut self, action: &str, payload: &str) -> Option<Reply> {
        let version = self.config.version;
        if !ocpp::actions::is_to_charger(version, action) {
            return Some(Reply::Error(ocpp::ErrorCode::NotImplemented.as_str(version)));
        }
        let mix = self.config.answers;
        let drawn = self.dice.fraction();
        if drawn < mix.silent {
            None
        } else if drawn < mix.silent + mix.errors {
            Some(Reply::Error(ocpp::ErrorCode::InternalError.as_str(version)))
        } else {
            let accept = drawn >= mix.silent + mix.errors + mix.rejected;
            Some(Reply::Result(answers::answer(version, action, payload, accept)))
        }
    }

    /// Gives an answer.
    fn reply(&self, pending: &PendingAnswer, now: Now, turn: &mut Turn) {
        let mut text = String::new();
        let (payload, code) = match &pending.reply {
            Reply::Result(payload) => {
                ocpp::encode_result(&mut text, &pending.message_id, payload);
                (payload.as_str(), None)
            }
            Reply::Error(code) => {
                ocpp::encode_error(&mut text, &pending.message_id, code, "simulated", "{}");
                ("{}", Some(*code))
            }
        };
        turn.counts.answered += 1;
        turn.frames.push(text);
        self.log(turn, now, Kind::ReplySent, |line| {
            line.message_id = Some(&pending.message_id);
            line.action = Some(&pending.action);
            line.payload = raw(payload);
            line.error_code = code;
        });
    }

    /// Takes the answer to an own CALL, which frees the way for the next one.
    fn receive_answer(
        &mut self,
        id: &str,
        error_code: Option<&str>,
        payload: &RawValue,
        now: Now,
        turn: &mut Turn,
    ) {
        turn.counts.results_received += 1;
        let answered = self
            .traffic
            .answered(id, error_code.is_none().then_some(payload), now);
        turn.counts.booted += u64::from(answered.booted);
        self.log(turn, now, Kind::ResultReceived, |line| {
            line.message_id = Some(id);
            line.action = answered.action;
            line.payload = Some(payload);
            line.error_code = error_code;
        });
        self.send_next_call(now, turn);
    }

    /// Sends the next own CALL, if there is one and none is outstanding.
    fn send_next_call(&mut self, now: Now, turn: &mut Turn) {
        let Some(call) = self.traffic.take_next(now) else {
            return;
        };
        let mut text = String::new();
        ocpp::encode_call(&mut text, &call.message_id, call.action, &call.payload);
        turn.counts.calls_sent += 1;
        turn.frames.push(text);
        let (id, conn, logging) = (&self.id, self.conn, self.config.log.is_some());
        if logging {
            let mut line = Line::new(id, conn, Kind::CallSent, now);
            line.message_id = Some(&call.message_id);
            line.action = Some(call.action);
            line.payload = raw(&call.payload);
            line.append_to(&mut turn.log);
        }
    }

    /// Adds a line to the batch, if there is a log at all.
    fn log<'l>(&'l self, turn: &mut Turn, now: Now, kind: Kind, fill: impl FnOnce(&mut Line<'l>)) {
        if self.config.log.is_some() {
            let mut line = Line::new(&self.id, self.conn, kind, now);
            fill(&mut line);
            line.append_to(&mut turn.log);
        }
    }
}

/// Own JSON text as a raw value.
fn raw(json: &str) -> Option<&RawValue> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests;
