//! What a charger's message leads to: an answer at once, an answer once its event is durable, the answer to a
//! command, or nothing. Leaves out the socket.

use std::task::{Context, Poll};

use chassis::history;
use domain::command::Answer;
use domain::edge::Input;
use domain::ids::CommandId;
use ocpp::{AnswerContext, ErrorCode, Inbound, Outcome};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Undurable};
use crate::failpoint;
use crate::metrics::reasons;
use crate::shard::Outbound;
use crate::upstream::Said;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes one text of the charger.
    pub(super) fn message(&mut self, text: &str) {
        self.hub.meters.messages_in.increment(1);
        let version = self.session.version();
        let frame = match ocpp::parse(text, version, &self.hub.limits.frame) {
            Ok(frame) => frame,
            Err(error) => {
                self.hub.meters.messages_bad.increment(1);
                self.hub
                    .complaints
                    .say(self.charge_point.as_str(), reasons::MALFORMED, &error);
                return self.reply(error.answer(version));
            }
        };
        match self.session.receive(frame, self.hub.clock.mono_ms()) {
            Inbound::Call {
                id, action, payload, ..
            } => self.call(&id, &action, payload),
            Inbound::Refuse { id, code, reason } => self.reply(Some(error_text(version, &id, code, reason))),
            Inbound::Send { id, action, payload } => {
                let said = Said {
                    charge_point: &self.charge_point,
                    version,
                    message_id: &id,
                    action: &action,
                    payload,
                };
                self.span(&id, &action).in_scope(|| self.hub.upstream.say(&said));
            }
            Inbound::Answer { id, outcome, .. } | Inbound::LateAnswer { id, outcome } => {
                self.answer(&id, &outcome);
            }
            Inbound::ResultRefused { id, code, .. } => {
                tracing::info!(charge_point_id = %self.charge_point, %id, %code, "the charger refused an answer");
            }
            Inbound::StillOpen { .. } | Inbound::Ignore => {}
        }
    }

    /// Takes a text that comes after the close was written: only the answer to a command still counts.
    pub(super) fn last_word(&mut self, text: &str) {
        let Ok(frame) = ocpp::parse(text, self.session.version(), &self.hub.limits.frame) else {
            return;
        };
        let received = self.session.receive(frame, self.hub.clock.mono_ms());
        if let Inbound::Answer { id, outcome, .. } | Inbound::LateAnswer { id, outcome } = received {
            self.answer(&id, &outcome);
        }
    }

    /// Sends the answers whose events are durable. One whose event is not gets none: the charger repeats its CALL.
    pub(super) fn collect_durable(&mut self, cx: &mut Context<'_>) {
        let Some(mut waiting) = self.undurable.take() else {
            return;
        };
        waiting.retain_mut(|one| {
            let Poll::Ready(durable) = one.confirmation.as_mut().poll(cx) else {
                return true;
            };
            if durable {
                let answer = std::mem::take(&mut one.answer);
                self.unsent
                    .get_or_insert_default()
                    .push_back(Outbound::Text(answer));
                self.hub.meters.duration.record(self.seconds_since(one.began_us));
            }
            self.session.answered(&one.message_id);
            false
        });
        self.undurable = Some(waiting).filter(|waiting| !waiting.is_empty());
    }

    /// A CALL of the charger.
    fn call(&mut self, id: &str, action: &str, payload: &RawValue) {
        let began_us = self.hub.clock.mono_us();
        let version = self.session.version();
        let span = self.span(id, action);
        let answer = self.own_answer(id, action, payload.get());
        let said = Said {
            charge_point: &self.charge_point,
            version,
            message_id: id,
            action,
            payload,
        };
        if !ocpp::must_be_durable_before_answer(version, action, payload.get()) {
            span.in_scope(|| self.hub.upstream.say(&said));
            self.session.answered(id);
            self.reply(Some(answer));
            return self.hub.meters.duration.record(self.seconds_since(began_us));
        }
        match span.in_scope(|| self.hub.upstream.say_durably(&said)) {
            Ok(confirmation) => self.undurable.get_or_insert_default().push(Undurable {
                message_id: id.into(),
                answer,
                began_us,
                confirmation,
            }),
            Err(_) => self.session.answered(id),
        }
    }

    /// The edge's own answer to a CALL, as text.
    fn own_answer(&self, id: &str, action: &str, payload: &str) -> String {
        let version = self.session.version();
        let now = chassis::clock::rfc3339_now();
        let context = AnswerContext {
            charge_point_id: self.charge_point.as_str(),
            message_id: id,
            now: &now,
        };
        match ocpp::default_answer(version, action, payload, &context, &self.hub.limits.answers) {
            Some(result) => {
                let mut text = String::with_capacity(result.len() + id.len() + 8);
                ocpp::encode_result(&mut text, id, &result);
                text
            }
            None => error_text(
                version,
                id,
                ErrorCode::NotImplemented,
                "nobody answers this action",
            ),
        }
    }

    /// The charger's answer to a command. One whose id is no command's answers nothing that was ever asked.
    fn answer(&mut self, id: &str, outcome: &Outcome<'_>) {
        let Ok(id) = CommandId::parse(id) else {
            return tracing::debug!(charge_point_id = %self.charge_point, id, "an answer to nothing asked");
        };
        let answer = match outcome {
            Outcome::Result(payload) => Answer::Result(payload.get().to_owned()),
            Outcome::Error {
                code,
                description,
                details,
            } => {
                let details = details.map_or("{}", RawValue::get);
                let text = |text: &str| serde_json::Value::from(text).to_string();
                Answer::Error(format!("[{},{},{details}]", text(code), text(description)))
            }
        };
        failpoint::hit(failpoint::BEFORE_ACK);
        history::note(
            "answer",
            || json!({ "id": id.to_string(), "cp": self.charge_point.as_str(), "socket": self.socket.0 }),
        );
        let charge_point = self.charge_point.clone();
        self.hub.input(
            &self.charge_point,
            Input::Answer {
                charge_point,
                id,
                answer,
            },
        );
    }

    /// The span of what the charger says, whose trace its event carries on; none where spans are not exported.
    fn span(&self, message_id: &str, action: &str) -> tracing::Span {
        if !self.hub.limits.traced {
            return tracing::Span::none();
        }
        let charge_point_id = self.charge_point.as_str();
        tracing::info_span!("charger_says", charge_point_id, message_id, action)
    }

    fn reply(&mut self, text: Option<String>) {
        if let Some(text) = text {
            self.unsent
                .get_or_insert_default()
                .push_back(Outbound::Text(text));
        }
    }

    fn seconds_since(&self, began_us: u64) -> std::time::Duration {
        std::time::Duration::from_micros(self.hub.clock.mono_us().saturating_sub(began_us))
    }
}

fn error_text(version: ocpp::Version, id: &str, code: ErrorCode, description: &str) -> String {
    let mut text = String::new();
    ocpp::encode_error(&mut text, id, code.as_str(version), description, "{}");
    text
}
