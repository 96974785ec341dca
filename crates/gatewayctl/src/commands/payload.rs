//! The payload of `send`: read from wherever the line says, and refused here if no router would take it. Leaves out
//! whether it fits its action.

use std::io::Read;

use serde_json::value::RawValue;

use crate::failure::Failure;

/// The payload's text, unchanged: a JSON object, or nothing where the line has none. Who writes one means something that
/// is in it: a variable that is not set must not become `{}`.
pub(super) fn read(argument: Option<&str>, stdin: &mut dyn Read) -> Result<String, Failure> {
    let Some(argument) = argument else {
        return Ok(String::new());
    };
    let text = text_of(argument, stdin)?;
    match object(&text) {
        Ok(()) => Ok(text),
        Err(problem) => Err(Failure::Payload { problem }),
    }
}

/// The argument itself, or what it points to.
fn text_of(argument: &str, stdin: &mut dyn Read) -> Result<String, Failure> {
    let (origin, read) = if argument == "-" {
        let mut text = String::new();
        ("standard input", stdin.read_to_string(&mut text).map(|_| text))
    } else if let Some(path) = argument.strip_prefix('@') {
        (path, std::fs::read_to_string(path))
    } else {
        return Ok(argument.to_owned());
    };
    read.map_err(|source| Failure::ReadPayload {
        origin: origin.to_owned(),
        source,
    })
}

/// Tells what keeps a text from being a JSON object. Read raw: neither digits nor depth are judged here.
fn object(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(raw) if raw.get().starts_with('{') => Ok(()),
        Ok(raw) => Err(format!("it is {}", kind(raw.get()))),
        Err(error) => Err(error.to_string()),
    }
}

/// What a JSON document is that is no object.
fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'[') => "a list",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(argument: &str, stdin: &str) -> Option<String> {
        match read(Some(argument), &mut stdin.as_bytes()) {
            Err(Failure::Payload { problem }) => Some(problem),
            _ => None,
        }
    }

    #[test]
    fn an_object_is_passed_on_as_it_is_written() {
        let text = " {\"b\": 1.00, \"a\": 12345678901234567890123}";
        assert_eq!(read(Some(text), &mut std::io::empty()).unwrap(), text);
        assert_eq!(read(Some("-"), &mut text.as_bytes()).unwrap(), text);
        assert_eq!(read(None, &mut std::io::empty()).unwrap(), "");
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_reason() {
        for (text, reason) in [
            ("[1]", "it is a list"),
            ("\"x\"", "it is a text"),
            ("12", "it is a number"),
            ("null", "it is null"),
            ("true", "it is true or false"),
            ("{oops}", "key must be a string at line 1 column 2"),
            ("{} {}", "trailing characters at line 1 column 4"),
        ] {
            assert_eq!(problem(text, "").as_deref(), Some(reason), "{text}");
        }
        for (text, stdin) in [("-", " "), ("", ""), (" ", "")] {
            assert_eq!(problem(text, stdin).as_deref(), Some("it is empty"), "{text:?}");
        }
    }
}
