//! JSON that came from elsewhere, embedded untouched: numbers keep their digits and members their order, only the
//! whitespace between tokens goes, so that a document stays on one line.

use serde::Serialize;
use serde_json::value::RawValue;

/// A JSON document of somebody else's.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Json(Box<RawValue>);

impl Json {
    /// Takes a document over. What is no JSON at all becomes a JSON string, so that it is still shown.
    pub(crate) fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        // Judged before its whitespace goes: `1 2` is no document, `12` is one.
        let raw = match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => RawValue::from_string(on_one_line(text)).ok(),
            Err(_) => serde_json::value::to_raw_value(text).ok(),
        };
        raw.map(Self)
    }

    /// The document's text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.get()
    }
}

/// Drops whitespace outside of strings.
fn on_one_line(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    text.chars()
        .filter(|&character| {
            let keep = in_string || !character.is_ascii_whitespace();
            match character {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
            keep
        })
        .collect()
}
