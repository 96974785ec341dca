//! What the gateway does with a charger's CALL besides answering it: whether it must be durable first, and
//! under which event type the platform hears of it. Leaves out the answers, which are in `answer`.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::version::Version;

/// Whether the CALLRESULT may be given only after the event is durable.
///
/// That holds for what bills a charging session: a charger keeps such a message and repeats it until it is
/// answered, so an answer before durability would lose it in a crash. Everything else is repeated anyway or is
/// not worth a charger's wait. MeterValues of 1.6 belong to a transaction if they name one; an unreadable
/// payload counts as if it did, which costs a little time and loses nothing.
#[must_use]
pub fn must_be_durable_before_answer(version: Version, action: &str, payload: &str) -> bool {
    match (version, action) {
        (Version::V16, "StartTransaction" | "StopTransaction") => true,
        (Version::V16, "MeterValues") => names_a_transaction(payload),
        (Version::V201 | Version::V21, "TransactionEvent") => true,
        _ => false,
    }
}

/// The platform's event type for a charger's action.
///
/// TransactionEvent divides by its `eventType`. Actions without a name of their own become
/// `charge_point.<action in snake case>`.
#[must_use]
pub fn event_type(action: &str, payload: &str) -> Cow<'static, str> {
    let known = match action {
        "StatusNotification" => "connector.status_changed",
        "StartTransaction" => "transaction.started",
        "MeterValues" => "transaction.meter_values",
        "StopTransaction" => "transaction.stopped",
        "BootNotification" => "charge_point.boot",
        "Heartbeat" => "charge_point.heartbeat",
        "TransactionEvent" => match transaction_phase(payload).as_deref() {
            Some("Started") => "transaction.started",
            Some("Updated") => "transaction.meter_values",
            Some("Ended") => "transaction.stopped",
            _ => "charge_point.transaction_event",
        },
        other => return Cow::Owned(format!("charge_point.{}", snake_case(other))),
    };
    Cow::Borrowed(known)
}

/// Whether a 1.6 MeterValues carries a transactionId.
fn names_a_transaction(payload: &str) -> bool {
    #[derive(Deserialize)]
    struct MeterValues {
        #[serde(rename = "transactionId")]
        transaction_id: Option<IgnoredAny>,
    }
    serde_json::from_str::<MeterValues>(payload).map_or(true, |values| values.transaction_id.is_some())
}

/// The eventType of a TransactionEvent.
fn transaction_phase(payload: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct TransactionEvent<'a> {
        #[serde(rename = "eventType", borrow)]
        event_type: Cow<'a, str>,
    }
    serde_json::from_str::<TransactionEvent<'_>>(payload)
        .ok()
        .map(|event| event.event_type)
}

/// `NotifyEVChargingNeeds` as `notify_ev_charging_needs`, `Get15118EVCertificate` as `get_15118_ev_certificate`:
/// a word begins where capitals begin, where the last of several capitals is followed by a small letter, and
/// where digits begin or end.
fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 8);
    for (at, &c) in chars.iter().enumerate() {
        let previous = at.checked_sub(1).and_then(|before| chars.get(before));
        let next_is_small = chars.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
        let begins_word = previous.is_some_and(|previous| {
            previous.is_ascii_digit() != c.is_ascii_digit()
                || (c.is_ascii_uppercase() && (previous.is_ascii_lowercase() || next_is_small))
        });
        if begins_word {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;

    #[test]
    fn what_bills_a_session_is_durable_before_its_answer() {
        for (version, action, payload, durable) in [
            (Version::V16, "StartTransaction", "{}", true),
            (Version::V16, "StopTransaction", "{}", true),
            (
                Version::V16,
                "MeterValues",
                r#"{"connectorId":1,"transactionId":7}"#,
                true,
            ),
            (
                Version::V16,
                "MeterValues",
                r#"{"connectorId":1,"transactionId":null}"#,
                false,
            ),
            (Version::V16, "MeterValues", r#"{"connectorId":1}"#, false),
            (Version::V16, "MeterValues", "{", true),
            (Version::V16, "TransactionEvent", "{}", false),
            (Version::V201, "TransactionEvent", "{}", true),
            (Version::V21, "TransactionEvent", "{}", true),
            (Version::V201, "MeterValues", r#"{"transactionId":7}"#, false),
            (Version::V201, "SecurityEventNotification", "{}", false),
            (Version::V16, "Heartbeat", "{}", false),
        ] {
            assert_eq!(
                must_be_durable_before_answer(version, action, payload),
                durable,
                "{version} {action}"
            );
        }
    }

    #[test]
    fn actions_have_the_platforms_event_types() {
        for (action, expected) in [
            ("StatusNotification", "connector.status_changed"),
            ("StartTransaction", "transaction.started"),
            ("StopTransaction", "transaction.stopped"),
            ("MeterValues", "transaction.meter_values"),
            ("BootNotification", "charge_point.boot"),
            ("Heartbeat", "charge_point.heartbeat"),
            (
                "FirmwareStatusNotification",
                "charge_point.firmware_status_notification",
            ),
            ("NotifyEVChargingNeeds", "charge_point.notify_ev_charging_needs"),
            ("NotifyDERStartStop", "charge_point.notify_der_start_stop"),
            ("Get15118EVCertificate", "charge_point.get_15118_ev_certificate"),
        ] {
            assert_eq!(event_type(action, "{}"), expected);
        }
    }

    #[test]
    fn a_transaction_event_is_named_by_its_phase() {
        for (payload, expected) in [
            (r#"{"seqNo":0,"eventType":"Started"}"#, "transaction.started"),
            (r#"{"eventType":"Updated"}"#, "transaction.meter_values"),
            (r#"{"eventType":"Ended"}"#, "transaction.stopped"),
            ("{}", "charge_point.transaction_event"),
        ] {
            assert_eq!(event_type("TransactionEvent", payload), expected);
        }
    }

    #[test]
    fn every_known_action_has_an_event_type_of_small_letters() {
        for action in Version::ALL.into_iter().flat_map(actions::from_charger) {
            let name = event_type(action, "{}");
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c))
                    && !name.contains("__"),
                "{name}"
            );
        }
    }
}
