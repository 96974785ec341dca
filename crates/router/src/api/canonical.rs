//! One text for all JSON texts that mean the same: keys sorted, no blanks, strings escaped one way. Numbers
//! keep their spelling, since a charger may tell `1` from `1.0`.

use std::collections::BTreeMap;

use domain::command::RedeliveryClass;
use domain::ids::{ChargePointId, stable_hash};
use serde_json::value::RawValue;

/// The canonical text of a JSON value; an error if it is none or is nested too deep.
pub fn canonical(json: &str) -> Result<String, serde_json::Error> {
    // Checks the whole text and its depth, so that the recursion below is bounded.
    serde_json::from_str::<serde_json::Value>(json)?;
    let mut out = String::with_capacity(json.len());
    write(json, &mut out)?;
    Ok(out)
}

/// What an idempotency key covers, as a hash of fixed length.
#[must_use]
pub fn content_hash(
    charge_point: &ChargePointId,
    action: &str,
    canonical_payload: &str,
    class: RedeliveryClass,
) -> String {
    // The id and the action hold no line break, so the parts cannot run into each other.
    let text = format!("{charge_point}\n{action}\n{class:?}\n{canonical_payload}");
    let half = |prefix: &str| stable_hash(format!("{prefix}\n{text}").as_bytes());
    format!("{:016x}{:016x}", half("first half"), half("second half"))
}

fn write(json: &str, out: &mut String) -> Result<(), serde_json::Error> {
    let json = json.trim();
    match json.as_bytes().first() {
        Some(b'{') => {
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
            out.push('{');
            for (n, (key, value)) in object.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(value.get(), out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let array: Vec<&RawValue> = serde_json::from_str(json)?;
            out.push('[');
            for (n, value) in array.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                write(value.get(), out)?;
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(json)?)?),
        _ => out.push_str(json),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(charge_point: &str, action: &str, payload: &str, class: RedeliveryClass) -> String {
        let id = ChargePointId::parse(charge_point).unwrap();
        content_hash(&id, action, &canonical(payload).unwrap(), class)
    }

    #[test]
    fn blanks_order_of_keys_and_escapes_do_not_matter() {
        let one = canonical(" { \"b\" : [ 1 , {\"y\":null,\"x\":\"\\u0041/\"} ] , \"a\" : true } ").unwrap();
        assert_eq!(one, r#"{"a":true,"b":[1,{"x":"A/","y":null}]}"#);
        assert_eq!(canonical(&one).unwrap(), one);
    }

    #[test]
    fn numbers_keep_their_spelling() {
        assert_ne!(canonical("{\"a\":1}").unwrap(), canonical("{\"a\":1.0}").unwrap());
        assert_eq!(
            canonical("123456789012345678901234567890").unwrap(),
            "123456789012345678901234567890"
        );
    }

    #[test]
    fn what_is_no_json_or_nested_too_deep_is_refused() {
        assert!(canonical("{").is_err());
        assert!(canonical("{} x").is_err());
        assert!(canonical(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }

    #[test]
    fn the_hash_covers_charger_action_payload_and_class() {
        let base = hash("CP-1", "Reset", "{}", RedeliveryClass::Safe);
        assert_eq!(base.len(), 32);
        assert_eq!(base, hash("CP-1", "Reset", " { } ", RedeliveryClass::Safe));
        assert_ne!(base, hash("CP-2", "Reset", "{}", RedeliveryClass::Safe));
        assert_ne!(base, hash("CP-1", "ClearCache", "{}", RedeliveryClass::Safe));
        assert_ne!(base, hash("CP-1", "Reset", "{\"a\":1}", RedeliveryClass::Safe));
        assert_ne!(base, hash("CP-1", "Reset", "{}", RedeliveryClass::Unsafe));
    }
}
