//! The CALLRESULT that a gateway can give by itself, where no backend answers in time or none is asked.
//! Leaves out when it is used, and CALLERROR.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::stable_hash::stable_hash;
use crate::version::Version;

/// What an operator may set about the gateway's own answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerPolicy {
    /// The heartbeat interval that BootNotification hands out, in seconds.
    pub heartbeat_interval_s: u32,
    /// The verdict on every idTag and idToken.
    pub authorize_status: AuthorizeStatus,
}

impl Default for AnswerPolicy {
    /// Heartbeats every five minutes, and a charger may charge while the backend is away.
    fn default() -> Self {
        Self {
            heartbeat_interval_s: 300,
            authorize_status: AuthorizeStatus::Accepted,
        }
    }
}

/// The verdicts that 1.6, 2.0.1 and 2.1 spell alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizeStatus {
    /// May charge.
    Accepted,
    /// Known and blocked.
    Blocked,
    /// Known and expired.
    Expired,
    /// Not known.
    Invalid,
    /// Already charging elsewhere.
    ConcurrentTx,
}

impl AuthorizeStatus {
    /// The spelling on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Blocked => "Blocked",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
            Self::ConcurrentTx => "ConcurrentTx",
        }
    }
}

/// What an answer depends on besides the request.
#[derive(Debug, Clone, Copy)]
pub struct AnswerContext<'a> {
    /// Who asks.
    pub charge_point_id: &'a str,
    /// The messageId of the request.
    pub message_id: &'a str,
    /// The current time as RFC 3339 text, as [`crate::timestamp::rfc3339`] writes it.
    pub now: &'a str,
}

/// The payload of the CALLRESULT to a charger's action, or `None` where the gateway alone has no answer and
/// NotImplemented is due.
#[must_use]
pub fn default_answer(
    version: Version,
    action: &str,
    payload: &str,
    context: &AnswerContext<'_>,
    policy: &AnswerPolicy,
) -> Option<Cow<'static, str>> {
    if !crate::actions::is_from_charger(version, action) {
        return None;
    }
    let now = context.now;
    let status = policy.authorize_status.as_str();
    let answer = match action {
        "BootNotification" => {
            let interval = policy.heartbeat_interval_s;
            format!(r#"{{"currentTime":"{now}","interval":{interval},"status":"Accepted"}}"#)
        }
        "Heartbeat" => format!(r#"{{"currentTime":"{now}"}}"#),
        "Authorize" if version.is_2x() => token_info(status),
        "Authorize" => format!(r#"{{"idTagInfo":{{"status":"{status}"}}}}"#),
        "StartTransaction" => {
            let id = transaction_id(context.charge_point_id, context.message_id);
            format!(r#"{{"idTagInfo":{{"status":"{status}"}},"transactionId":{id}}}"#)
        }
        // Part 2, E01 to E06: a token in the event wants a verdict, an event without one must not get any.
        "TransactionEvent" if has_id_token(payload) => token_info(status),
        "VatNumberValidation" => {
            let number = serde_json::to_string(&vat_number(payload)?).ok()?;
            format!(r#"{{"status":"Rejected","vatNumber":{number}}}"#)
        }
        other => return constant_answer(other).map(Cow::Borrowed),
    };
    Some(Cow::Owned(answer))
}

/// The transaction id that the gateway gives to a StartTransaction: positive, of 31 bits, and the same for a
/// retry with the same messageId, so that a repeated start does not become a second transaction.
#[must_use]
pub fn transaction_id(charge_point_id: &str, message_id: &str) -> i32 {
    let bits = stable_hash(&[charge_point_id, message_id]) >> 33;
    // 31 bits always fit; zero is avoided because some chargers take it for "no transaction".
    i32::try_from(bits).unwrap_or(i32::MAX).max(1)
}

/// Answers that depend on nothing. What needs a certificate authority, a payment service or a stream consumer
/// is refused in the action's own terms, so that the charger does not wait for it.
fn constant_answer(action: &str) -> Option<&'static str> {
    Some(match action {
        "DataTransfer" => r#"{"status":"UnknownVendorId"}"#,
        "SignCertificate"
        | "NotifyEVChargingNeeds"
        | "OpenPeriodicEventStream"
        | "PullDynamicScheduleUpdate" => r#"{"status":"Rejected"}"#,
        "GetCertificateStatus" => r#"{"status":"Failed"}"#,
        "Get15118EVCertificate" => r#"{"status":"Failed","exiResponse":""}"#,
        "NotifyEVChargingSchedule" => r#"{"status":"Accepted"}"#,
        // Its answer must list a status for each certificate of a chain that only a CA can judge.
        "GetCertificateChainStatus" => return None,
        _ => "{}",
    })
}

/// The verdict of 2.x on a token.
fn token_info(status: &str) -> String {
    format!(r#"{{"idTokenInfo":{{"status":"{status}"}}}}"#)
}

/// Whether a TransactionEvent carries an idToken.
fn has_id_token(payload: &str) -> bool {
    #[derive(Deserialize)]
    struct TransactionEvent {
        #[serde(rename = "idToken")]
        id_token: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<TransactionEvent>(payload).is_ok_and(|event| event.id_token.is_some())
}

/// The number that a VatNumberValidation asks about and its answer has to repeat.
fn vat_number(payload: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct VatNumberValidation {
        #[serde(rename = "vatNumber")]
        vat_number: String,
    }
    serde_json::from_str::<VatNumberValidation>(payload)
        .ok()
        .map(|request| request.vat_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;

    const CONTEXT: AnswerContext<'static> = AnswerContext {
        charge_point_id: "CP-1",
        message_id: "m-1",
        now: "2026-11-21T06:24:36.000Z",
    };

    fn answer(version: Version, action: &str, payload: &str) -> Option<String> {
        let policy = AnswerPolicy {
            heartbeat_interval_s: 60,
            authorize_status: AuthorizeStatus::Blocked,
        };
        default_answer(version, action, payload, &CONTEXT, &policy).map(Cow::into_owned)
    }

    #[test]
    fn every_known_action_but_the_certificate_chain_has_an_answer_that_is_an_object() {
        for version in Version::ALL {
            for action in actions::from_charger(version) {
                let Some(text) = answer(version, action, r#"{"vatNumber":"NL\"1"}"#) else {
                    assert_eq!(*action, "GetCertificateChainStatus");
                    continue;
                };
                assert!(
                    serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok(),
                    "{action}: {text}"
                );
            }
        }
    }

    #[test]
    fn answers_carry_the_time_and_the_interval() {
        let boot = r#"{"currentTime":"2026-11-21T06:24:36.000Z","interval":60,"status":"Accepted"}"#;
        let heartbeat = r#"{"currentTime":"2026-11-21T06:24:36.000Z"}"#;
        for version in Version::ALL {
            assert_eq!(answer(version, "BootNotification", "{}").as_deref(), Some(boot));
            assert_eq!(answer(version, "Heartbeat", "{}").as_deref(), Some(heartbeat));
        }
    }

    #[test]
    fn answers_carry_the_configured_verdict_where_one_is_asked_for() {
        let (tag, token) = (
            r#"{"idTagInfo":{"status":"Blocked"}}"#,
            r#"{"idTokenInfo":{"status":"Blocked"}}"#,
        );
        for (version, action, payload, expected) in [
            (Version::V16, "Authorize", "{}", tag),
            (Version::V21, "Authorize", "{}", token),
            (Version::V201, "TransactionEvent", "{}", "{}"),
            (Version::V201, "TransactionEvent", r#"{"idToken":{}}"#, token),
            (
                Version::V16,
                "DataTransfer",
                "{}",
                r#"{"status":"UnknownVendorId"}"#,
            ),
            (Version::V16, "StopTransaction", "{}", "{}"),
        ] {
            assert_eq!(answer(version, action, payload).as_deref(), Some(expected));
        }
    }

    #[test]
    fn unknown_actions_and_those_of_another_version_have_none() {
        assert_eq!(answer(Version::V201, "StartTransaction", "{}"), None);
        assert_eq!(answer(Version::V16, "Reset", "{}"), None);
        assert_eq!(answer(Version::V21, "VatNumberValidation", "{}"), None);
    }

    #[test]
    fn a_retried_start_gets_the_same_transaction_and_another_start_another_one() {
        let first = answer(Version::V16, "StartTransaction", "{}");
        assert_eq!(first, answer(Version::V16, "StartTransaction", "{}"));
        assert_ne!(transaction_id("CP-1", "m-1"), transaction_id("CP-1", "m-2"));
        assert_ne!(transaction_id("CP-1", "m-1"), transaction_id("CP-2", "m-1"));
        assert!((0..1000).all(|n| transaction_id("CP-1", &n.to_string()) > 0));
    }
}
