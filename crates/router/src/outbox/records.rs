//! The records that an outbox entry becomes.

use bus::Message;
use bytes::Bytes;
use domain::command::{Answer, Status};
use domain::slot::{OutboxEntry, OutboxKind};
use domain::topics::{COMMAND_RESULTS, DEAD_LETTERS, EVENTS_UP};
use prost::Message as _;
use wire::map::{event, record};

/// What a record is; a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// On the results topic.
    Result,
    /// On the dead letter topic.
    DeadLetter,
    /// On the events topic.
    Response,
}

impl Kind {
    /// Its label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::DeadLetter => "dead_letter",
            Self::Response => "response",
        }
    }

    fn topic(self) -> &'static str {
        match self {
            Self::Result => COMMAND_RESULTS,
            Self::DeadLetter => DEAD_LETTERS,
            Self::Response => EVENTS_UP,
        }
    }
}

/// All records of an entry.
pub(super) fn of(entry: &OutboxEntry) -> Vec<(Kind, Message)> {
    let command = &entry.command;
    let timestamp = chassis::clock::rfc3339(command.progress.ended.0 / 1_000);
    let response = |answer: &Answer, late| event::command_response(entry, answer, late, &timestamp);
    let mut records = Vec::new();
    match &entry.kind {
        OutboxKind::Ended { dead_letter } => {
            records.push((Kind::Result, record::result(command).encode_to_vec()));
            if *dead_letter {
                records.push((
                    Kind::DeadLetter,
                    record::dead_letter(command, &entry.attempts).encode_to_vec(),
                ));
            }
            let answer = command
                .progress
                .answer
                .as_ref()
                .filter(|_| command.progress.status == Status::Acknowledged);
            records.extend(
                answer
                    .and_then(|a| response(a, false))
                    .map(|json| (Kind::Response, json)),
            );
        }
        OutboxKind::LateAnswer(answer) => {
            records.extend(response(answer, true).map(|json| (Kind::Response, json)));
        }
    }
    records
        .into_iter()
        .map(|(kind, payload)| (kind, message(entry, kind, payload)))
        .collect()
}

/// The same record without the texts that a caller or a charger gave, for a broker that takes no more.
pub(super) fn without_texts(entry: &OutboxEntry, kind: Kind) -> Option<Message> {
    let mut command = entry.command.clone();
    command.progress.answer = None;
    command.request.payload.clear();
    let payload = match kind {
        Kind::Result => record::result(&command).encode_to_vec(),
        Kind::DeadLetter => record::dead_letter(&command, &entry.attempts).encode_to_vec(),
        Kind::Response => return None,
    };
    Some(message(entry, kind, payload))
}

fn message(entry: &OutboxEntry, kind: Kind, payload: Vec<u8>) -> Message {
    let key = Bytes::copy_from_slice(entry.command.request.charge_point.as_str().as_bytes());
    Message::new(kind.topic(), payload).key(key)
}
