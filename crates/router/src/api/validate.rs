//! What a SendCommand must look like. All that is wrong is reported at once. Whether a deadline is ahead is
//! decided by the store, whose clock it is compared with.

use domain::command::{Deadline, IdempotencyKey, Priority, RedeliveryClass};
use domain::ids::ChargePointId;
use tonic_types::FieldViolation;
use wire::gateway::command::v1::SendCommandRequest;
use wire::map;

use super::canonical::{canonical, content_hash};
use super::violations::{Violations, action, deadline, known};
use crate::config::DeliveryConfig;

/// Longest idempotency key, in characters.
pub const KEY_MAX: usize = 64;

/// A request that can be accepted: all of a command but its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Valid {
    /// The charger.
    pub charge_point: ChargePointId,
    /// The OCPP action.
    pub action: String,
    /// A JSON object, as given.
    pub payload: String,
    /// Its priority.
    pub priority: Priority,
    /// Its class.
    pub class: RedeliveryClass,
    /// Its deadline.
    pub deadline: Deadline,
    /// The key with the hash of what it covers.
    pub idempotency: Option<IdempotencyKey>,
}

/// Checks a request.
pub fn validate(request: &SendCommandRequest, config: &DeliveryConfig) -> Result<Valid, Vec<FieldViolation>> {
    let mut wrong = Violations::default();
    let charge_point = ChargePointId::parse(&request.charge_point_id).map_err(|e| e.to_string());
    let charge_point = wrong.ok("charge_point_id", charge_point);
    wrong.check("action", action(&request.action));
    let payload = payload(request);
    let canonical = wrong.ok("payload_json", object(payload, config.max_payload_bytes));
    let priority = wrong.ok("priority", known(map::command::read_priority(request.priority)));
    let class = wrong.ok(
        "redelivery_class",
        known(map::command::read_class(request.redelivery_class)),
    );
    let deadline = wrong.ok("deadline", deadline(request.deadline.as_ref(), config));
    wrong.check("idempotency_key", key(&request.idempotency_key));
    let (true, Some(charge_point), Some(canonical), Some(priority), Some(class), Some(deadline)) = (
        wrong.is_empty(),
        charge_point,
        canonical,
        priority,
        class,
        deadline,
    ) else {
        return Err(wrong.into_list());
    };
    let class = class.unwrap_or_else(|| config.class(&request.action));
    let idempotency = idempotency(
        request,
        content_hash(&charge_point, &request.action, &canonical, class),
    );
    let (action, payload) = (request.action.clone(), payload.to_owned());
    Ok(Valid {
        charge_point,
        action,
        payload,
        priority,
        class,
        deadline,
        idempotency,
    })
}

/// The payload; none means an empty object.
fn payload(request: &SendCommandRequest) -> &str {
    if request.payload_json.is_empty() {
        "{}"
    } else {
        &request.payload_json
    }
}

/// The key, if there is one, with the hash of what it covers.
fn idempotency(request: &SendCommandRequest, content_hash: String) -> Option<IdempotencyKey> {
    let key = Some(request.idempotency_key.clone()).filter(|key| !key.is_empty());
    key.map(|key| IdempotencyKey { key, content_hash })
}

/// The canonical text of a payload.
fn object(payload: &str, max: usize) -> Result<String, String> {
    if payload.len() > max {
        return Err(format!("must have at most {max} bytes, has {}", payload.len()));
    }
    let text = canonical(payload).map_err(|error| format!("is not JSON: {error}"))?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err("must be a JSON object".to_owned())
    }
}

fn key(key: &str) -> Result<(), String> {
    if key.chars().count() > KEY_MAX {
        return Err(format!("must have at most {KEY_MAX} characters"));
    }
    if key.chars().any(char::is_control) {
        Err("must be printable".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::Micros;

    use super::*;

    fn request() -> SendCommandRequest {
        SendCommandRequest {
            charge_point_id: "CP-1".into(),
            action: "ClearCache".into(),
            idempotency_key: "k".into(),
            ..SendCommandRequest::default()
        }
    }

    fn fields(request: &SendCommandRequest) -> Vec<String> {
        let violations = validate(request, &DeliveryConfig::default()).unwrap_err();
        violations.into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn what_is_left_out_gets_its_default() {
        let valid = validate(&request(), &DeliveryConfig::default()).unwrap();
        assert_eq!(valid.payload, "{}");
        assert_eq!(
            (valid.priority, valid.class),
            (Priority::Normal, RedeliveryClass::Safe)
        );
        assert_eq!(valid.deadline, Deadline::After(300_000_000));
        let unsafe_by_default = SendCommandRequest {
            action: "Reset".into(),
            ..request()
        };
        let valid = validate(&unsafe_by_default, &DeliveryConfig::default()).unwrap();
        assert_eq!(valid.class, RedeliveryClass::Unsafe);
    }

    /// A request with one change.
    fn with(change: impl FnOnce(&mut SendCommandRequest)) -> SendCommandRequest {
        let mut request = request();
        change(&mut request);
        request
    }

    #[test]
    fn ill_formed_texts_are_named() {
        for id in ["", "a b", "a:b", &"x".repeat(49)] {
            assert_eq!(
                fields(&with(|r| r.charge_point_id = id.into())),
                ["charge_point_id"],
                "{id:?}"
            );
        }
        for action in ["", "Re-set", "Zurücksetzen", &"x".repeat(51)] {
            assert_eq!(
                fields(&with(|r| r.action = action.into())),
                ["action"],
                "{action:?}"
            );
        }
        for key in ["a\nb", &"x".repeat(65)] {
            assert_eq!(
                fields(&with(|r| r.idempotency_key = key.into())),
                ["idempotency_key"],
                "{key:?}"
            );
        }
    }

    #[test]
    fn a_payload_that_is_no_object_or_too_large_is_named() {
        for payload in [
            "[]",
            "{",
            "\"{\"",
            "null",
            "{} {}",
            &format!("{}{{}}", " ".repeat(70_000)),
        ] {
            assert_eq!(
                fields(&with(|r| r.payload_json = payload.into())),
                ["payload_json"]
            );
        }
    }

    #[test]
    fn numbers_beyond_their_enum_and_moments_before_1970_are_named() {
        for number in [5, -1] {
            assert_eq!(fields(&with(|r| r.priority = number)), ["priority"]);
            assert_eq!(
                fields(&with(|r| r.redelivery_class = number)),
                ["redelivery_class"]
            );
        }
        assert_eq!(fields(&with(|r| r.deadline = prost_types(-5))), ["deadline"]);
    }

    #[test]
    fn all_that_is_wrong_is_reported_at_once() {
        let bad = SendCommandRequest {
            charge_point_id: ":".into(),
            action: "?".into(),
            payload_json: "1".into(),
            priority: 9,
            redelivery_class: 9,
            deadline: prost_types(-1),
            idempotency_key: "\0".into(),
        };
        let all = [
            "charge_point_id",
            "action",
            "payload_json",
            "priority",
            "redelivery_class",
            "deadline",
            "idempotency_key",
        ];
        assert_eq!(fields(&bad), all);
    }

    #[test]
    fn a_deadline_is_left_to_the_stores_clock_with_the_configured_bound() {
        let valid = validate(
            &SendCommandRequest {
                deadline: prost_types(7),
                ..request()
            },
            &DeliveryConfig::default(),
        );
        let expected = Deadline::At {
            at: Micros(7_000_000),
            max_us: 86_400_000_000,
        };
        assert_eq!(valid.unwrap().deadline, expected);
    }

    #[test]
    fn the_content_hash_follows_the_effective_class() {
        let hash = |request: &SendCommandRequest| {
            validate(request, &DeliveryConfig::default())
                .unwrap()
                .idempotency
                .unwrap()
                .content_hash
        };
        let explicit = SendCommandRequest {
            redelivery_class: 1,
            ..request()
        };
        assert_eq!(hash(&request()), hash(&explicit));
        assert_ne!(
            hash(&request()),
            hash(&SendCommandRequest {
                redelivery_class: 2,
                ..request()
            })
        );
        assert_eq!(
            hash(&request()),
            hash(&SendCommandRequest {
                priority: 4,
                ..request()
            })
        );
    }

    fn prost_types(seconds: i64) -> Option<wire::Timestamp> {
        Some(wire::Timestamp { seconds, nanos: 0 })
    }
}
