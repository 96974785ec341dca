//! Values of Redis as the dump spells them.

use serde_json::Value;

use crate::symbols::{Sym, Symbols};

/// A field of a hash, whether its value is a text or a number.
pub(super) fn field(hash: &Value, name: &str) -> Option<String> {
    hash.get(name).map(text)
}

/// A field that is a whole number.
pub(super) fn number(hash: &Value, name: &str) -> Option<u64> {
    field(hash, name)?.parse().ok()
}

/// The members of a sorted set with their scores, where those are whole numbers: an object by member, a list of pairs,
/// or a list of members.
pub(super) fn members(set: &Value, symbols: &mut Symbols) -> Result<Vec<(Sym, Option<u64>)>, String> {
    let mut member = |name: &Value, score: Option<&Value>| {
        let score = score.and_then(|score| text(score).parse().ok());
        (symbols.intern(&text(name)), score)
    };
    match set {
        Value::Object(scores) => Ok(scores
            .iter()
            .map(|(name, score)| member(&Value::String(name.clone()), Some(score)))
            .collect()),
        Value::Array(items) => {
            let of = |item: &Value| match item {
                Value::Array(pair) => member(pair.first().unwrap_or(&Value::Null), pair.get(1)),
                Value::Object(pair) => member(pair.get("member").unwrap_or(&Value::Null), pair.get("score")),
                other => member(other, None),
            };
            Ok(items.iter().map(of).collect())
        }
        _ => Err("the value of a sorted set is no list of members".to_owned()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
