//! Words and JSON values that stand for states, codes and answers. An unknown word is an error.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{Kind, Lane, Reason, Said, State, Verdict};
use crate::symbols::{Sym, Symbols};

/// A state by its name, with or without the prefix of the API, or by its letter in the store.
pub(crate) fn state(word: &str) -> Option<State> {
    Some(match plain(word, "commandstate").as_str() {
        "pending" | "p" => State::Pending,
        "sent" | "s" => State::Sent,
        "delivered" | "d" => State::Delivered,
        "acknowledged" | "a" => State::Acknowledged,
        "failed" | "f" => State::Failed,
        "expired" | "e" => State::Expired,
        "cancelled" | "c" => State::Cancelled,
        _ => return None,
    })
}

/// A reason by its name; the outer None is an unknown word, the inner one no reason.
pub(super) fn reason(word: &str) -> Option<Option<Reason>> {
    Some(match plain(word, "failurereason").as_str() {
        "" | "unspecified" => None,
        "noanswer" => Some(Reason::NoAnswer),
        "outcomeunknown" => Some(Reason::OutcomeUnknown),
        _ => return None,
    })
}

/// An event by its name.
pub(super) fn kind(word: &str) -> Option<Kind> {
    Some(match plain(word, "").as_str() {
        "claim" => Kind::Claim,
        "intent" => Kind::Intent,
        "written" => Kind::Written,
        "nonwrite" => Kind::NonWrite,
        "stale" | "staleroute" => Kind::Stale,
        "notready" => Kind::NotReady,
        "undelivered" => Kind::Undelivered,
        "timer" => Kind::Timer,
        "deadline" => Kind::Deadline,
        "cancel" => Kind::Cancel,
        "displaced" => Kind::Displaced,
        "answer" => Kind::Answer,
        _ => return None,
    })
}

/// A verdict by its name.
pub(super) fn verdict(word: &str) -> Option<Verdict> {
    Some(match plain(word, "").as_str() {
        "applied" => Verdict::Applied,
        "repeated" => Verdict::Repeated,
        "noted" => Verdict::Noted,
        "stale" => Verdict::Stale,
        "ended" => Verdict::Ended,
        _ => return None,
    })
}

/// A lane by its name.
pub(super) fn lane(word: &str) -> Option<Lane> {
    match plain(word, "").as_str() {
        "normal" => Some(Lane::Normal),
        "urgent" => Some(Lane::Urgent),
        _ => None,
    }
}

/// A priority by its number or name.
pub(super) fn priority(word: &str) -> Option<u8> {
    Some(match plain(word, "priority").as_str() {
        "0" | "low" => 0,
        "1" | "normal" | "" | "unspecified" => 1,
        "2" | "high" => 2,
        "3" | "urgent" => 3,
        _ => return None,
    })
}

/// A gRPC code: letters only, lower case.
pub(super) fn code(word: &str) -> String {
    let name = plain(word, "");
    let by_number = [
        "ok",
        "cancelled",
        "unknown",
        "invalidargument",
        "deadlineexceeded",
        "notfound",
        "alreadyexists",
        "permissiondenied",
        "resourceexhausted",
        "failedprecondition",
        "aborted",
        "outofrange",
        "unimplemented",
        "internal",
        "unavailable",
        "dataloss",
        "unauthenticated",
    ];
    let number = name.parse::<usize>().ok();
    number
        .and_then(|n| by_number.get(n))
        .map_or(name, |&code| code.to_owned())
}

/// What a CALLRESULT's payload says.
pub(super) fn said_by_result(payload: &str, symbols: &mut Symbols) -> Said {
    #[derive(Deserialize)]
    struct Payload {
        status: Option<Value>,
    }
    let status = serde_json::from_str::<Payload>(payload)
        .ok()
        .and_then(|p| p.status)
        .and_then(|s| s.as_str().map(ToOwned::to_owned));
    Said::Status(status.map_or(Sym::NONE, |s| symbols.intern(&s)))
}

/// What an answer in the store or the API says: `{"result": …}` or `{"error": …}`, the latter with a code, an object
/// with a code, or OCPP's array. Texts that hold JSON are looked into.
pub(super) fn said(raw: &RawValue, symbols: &mut Symbols) -> Option<Said> {
    let value = unfolded(serde_json::from_str(raw.get()).ok()?);
    let object = value.as_object()?;
    let part = |names: [&str; 3]| {
        names
            .iter()
            .find_map(|name| object.get(*name))
            .filter(|v| !v.is_null())
            .cloned()
    };
    if let Some(error) = part(["error", "error_json", "Error"]) {
        let error = unfolded(error);
        let code = match &error {
            Value::String(code) => Some(code.as_str()),
            Value::Array(parts) => parts.first().and_then(Value::as_str),
            other => other.get("code").and_then(Value::as_str),
        };
        return code.map(|code| Said::Error(symbols.intern(code)));
    }
    let result = part(["result", "result_json", "Result"])?;
    let text = match result {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some(said_by_result(&text, symbols))
}

/// A text that holds a JSON object or array becomes that.
fn unfolded(value: Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(&text)
            .ok()
            .filter(|v: &Value| v.is_object() || v.is_array())
            .unwrap_or(Value::String(text)),
        other => other,
    }
}

/// Lower case, letters and digits only, without a prefix.
fn plain(word: &str, prefix: &str) -> String {
    let plain: String = word
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match plain.strip_prefix(prefix) {
        Some(rest) => rest.to_owned(),
        None => plain,
    }
}
