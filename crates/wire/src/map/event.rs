//! The JSON events that the outbox puts on the upstream topic: a charger's answer to a command.
//!
//! The edge writes all other events of that topic; the shape is the same.

use domain::command::Answer;
use domain::slot::OutboxEntry;
use serde::Serialize;
use serde_json::value::RawValue;

/// The type of the event that carries an answer.
pub const COMMAND_RESPONSE: &str = "command.response";

/// An answer as an event, JSON. `late` says that the command had ended otherwise before. None where the
/// answer is no JSON, which the edge does not let through.
#[must_use]
pub fn command_response(
    entry: &OutboxEntry,
    answer: &Answer,
    late: bool,
    timestamp: &str,
) -> Option<Vec<u8>> {
    let command = &entry.command;
    let (kind, json) = match answer {
        Answer::Result(json) => ("result", json),
        Answer::Error(json) => ("error", json),
    };
    let id = command.request.id.to_string();
    let event = Event {
        event_id: format!("{id}:{}{kind}", if late { "late-" } else { "" }),
        event_type: COMMAND_RESPONSE,
        charge_point_id: command.request.charge_point.as_str(),
        gateway_id: command.progress.route.as_ref().map_or("", |r| r.pod.as_str()),
        timestamp,
        // As the edge names it: the number alone.
        ocpp_version: entry.ocpp_version.trim_start_matches("ocpp"),
        message_id: &id,
        action: &command.request.action,
        payload: Payload {
            kind,
            late,
            content: serde_json::from_str(json).ok()?,
        },
    };
    serde_json::to_vec(&event).ok()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_id: String,
    event_type: &'static str,
    charge_point_id: &'a str,
    gateway_id: &'a str,
    timestamp: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ocpp_version: &'a str,
    message_id: &'a str,
    action: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    kind: &'static str,
    late: bool,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use domain::slot::OutboxKind;

    use super::*;
    use crate::map::record::tests::ended_command;

    #[test]
    fn the_chargers_own_words_are_untouched() {
        let answer = Answer::Result(r#"{"status":"Accepted", "x": 1.10}"#.to_owned());
        let entry = |ocpp_version: &str| OutboxEntry {
            kind: OutboxKind::LateAnswer(answer.clone()),
            command: ended_command(),
            attempts: vec![],
            ocpp_version: ocpp_version.to_owned(),
        };
        let json = command_response(&entry("ocpp2.0.1"), &answer, true, "2026-01-01T00:00:00.000Z").unwrap();
        let text = String::from_utf8(json).unwrap();
        assert!(
            text.contains(r#""content":{"status":"Accepted", "x": 1.10}"#),
            "{text}"
        );
        assert!(
            text.contains(r#""eventType":"command.response","chargePointId":"CP-1""#),
            "{text}"
        );
        assert!(text.contains(":late-result"), "{text}");
        assert!(text.contains(r#""ocppVersion":"2.0.1""#), "{text}");
        let json = command_response(&entry(""), &answer, true, "2026-01-01T00:00:00.000Z").unwrap();
        assert!(
            !String::from_utf8(json).unwrap().contains("ocppVersion"),
            "not known, not said"
        );
    }
}
