//! Wrong calls of the command API.

use integration::api::from_now;
use integration::command;
use prost_types::Timestamp;
use tonic::Code;
use wire::gateway::command::v1::SendCommandRequest;

use crate::{WORLD, violations};

/// Makes one field of a good request wrong.
type Spoil = fn(&mut SendCommandRequest);

/// Each field with ways in which it can be wrong.
#[allow(
    clippy::semicolon_if_nothing_returned,
    reason = "a row of the table is one expression"
)]
const WRONG: [(&str, Spoil); 21] = [
    ("charge_point_id", |request| request.charge_point_id.clear()),
    ("charge_point_id", |request| {
        request.charge_point_id = "x".repeat(49)
    }),
    ("charge_point_id", |request| {
        request.charge_point_id = "CP 1".to_owned()
    }),
    ("charge_point_id", |request| {
        request.charge_point_id = "CP:1".to_owned()
    }),
    ("charge_point_id", |request| {
        request.charge_point_id = "CP\u{0}1".to_owned()
    }),
    ("charge_point_id", |request| {
        request.charge_point_id = "Säule".to_owned()
    }),
    ("action", |request| request.action.clear()),
    ("action", |request| request.action = "x".repeat(51)),
    ("action", |request| request.action = "Re set".to_owned()),
    ("priority", |request| request.priority = 99),
    ("redelivery_class", |request| request.redelivery_class = -1),
    ("payload_json", |request| request.payload_json = "[]".to_owned()),
    ("payload_json", |request| {
        request.payload_json = "\"x\"".to_owned()
    }),
    ("payload_json", |request| {
        request.payload_json = "{\"a\":".to_owned()
    }),
    ("payload_json", |request| {
        request.payload_json = "{} {}".to_owned()
    }),
    ("payload_json", |request| {
        request.payload_json = format!("{{\"a\":\"{}\"}}", "x".repeat(64 << 10))
    }),
    ("deadline", |request| request.deadline = from_now(-1_000)),
    ("deadline", |request| request.deadline = from_now(8 * 86_400_000)),
    ("deadline", |request| {
        request.deadline = Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: -1,
        })
    }),
    ("idempotency_key", |request| {
        request.idempotency_key = "x".repeat(65)
    }),
    ("idempotency_key", |request| {
        request.idempotency_key = "a\nb".to_owned()
    }),
];

#[test]
fn every_field_of_a_command_is_checked_and_named() {
    WORLD.run(async |system| {
        let api = system.api(1);
        for (field, spoil) in WRONG {
            let mut request = command("CP-1", "Reset");
            spoil(&mut request);
            let shown: String = format!("{request:?}").chars().take(300).collect();
            let Err(status) = api.try_send(request).await else {
                panic!("accepted: {shown}")
            };
            assert_eq!(violations(&status), [field], "{shown}");
        }
        assert!(api.try_send(command("CP-1", "Reset")).await.is_ok());
    });
}

#[test]
fn all_wrong_fields_are_named_at_once() {
    WORLD.run(async |system| {
        let wrong = SendCommandRequest {
            priority: 99,
            payload_json: "1".to_owned(),
            ..command("", "")
        };
        let mut named = violations(&system.api(1).try_send(wrong).await.unwrap_err());
        named.sort();
        assert_eq!(named, ["action", "charge_point_id", "payload_json", "priority"]);
    });
}

#[test]
fn an_unknown_command_is_not_found_and_an_ill_formed_id_is_refused() {
    WORLD.run(async |system| {
        let api = system.api(1);
        let known = api.send(command(&system.charger_id("known"), "Reset")).await;
        let last = if known.ends_with('0') { "1" } else { "0" };
        let unknown = format!("{}{last}", &known[..known.len() - 1]);
        assert_eq!(api.try_get(&unknown).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(api.cancel(&unknown).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(
            violations(&api.try_get("not an id").await.unwrap_err()),
            ["command_id"]
        );
    });
}
