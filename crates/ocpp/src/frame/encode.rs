//! The writers of messages. They append, so that a caller can use one buffer for many; payloads are copied as
//! they are and must be JSON already.

/// What the writers append to.
pub trait Buffer {
    /// Appends the text.
    fn put(&mut self, text: &str);
}

impl Buffer for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Buffer for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// The longest errorDescription of 2.x, in characters; longer ones are cut.
const MAX_DESCRIPTION_CHARS: usize = 255;

/// Appends a CALL. `payload` is a JSON object.
pub fn encode_call(out: &mut impl Buffer, id: &str, action: &str, payload: &str) {
    encode_request(out, "[2,", id, action, payload);
}

/// Appends a CALLRESULT. `payload` is a JSON object.
pub fn encode_result(out: &mut impl Buffer, id: &str, payload: &str) {
    out.put("[3,");
    put_string(out, id);
    out.put(",");
    out.put(payload);
    out.put("]");
}

/// Appends a CALLERROR. `code` is spelled already, `details` is a JSON object (`{}` for none).
pub fn encode_error(out: &mut impl Buffer, id: &str, code: &str, description: &str, details: &str) {
    encode_refusal(out, "[4,", id, code, description, details);
}

/// Appends a CALLRESULTERROR (2.1). `code` is spelled already, `details` is a JSON object (`{}` for none).
pub fn encode_result_error(out: &mut impl Buffer, id: &str, code: &str, description: &str, details: &str) {
    encode_refusal(out, "[5,", id, code, description, details);
}

/// Appends a SEND (2.1). `payload` is a JSON object.
pub fn encode_send(out: &mut impl Buffer, id: &str, action: &str, payload: &str) {
    encode_request(out, "[6,", id, action, payload);
}

/// The common shape of CALL and SEND.
fn encode_request(out: &mut impl Buffer, opening: &str, id: &str, action: &str, payload: &str) {
    out.put(opening);
    put_string(out, id);
    out.put(",");
    put_string(out, action);
    out.put(",");
    out.put(payload);
    out.put("]");
}

/// The common shape of CALLERROR and CALLRESULTERROR.
fn encode_refusal(
    out: &mut impl Buffer,
    opening: &str,
    id: &str,
    code: &str,
    description: &str,
    details: &str,
) {
    let end = description
        .char_indices()
        .nth(MAX_DESCRIPTION_CHARS)
        .map_or(description.len(), |(end, _)| end);
    out.put(opening);
    put_string(out, id);
    out.put(",");
    put_string(out, code);
    out.put(",");
    put_string(out, &description[..end]);
    out.put(",");
    out.put(details);
    out.put("]");
}

/// Appends a JSON string. What needs no escape is copied in runs.
fn put_string(out: &mut impl Buffer, text: &str) {
    out.put("\"");
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\' | '\u{0}'..='\u{1f}')) {
        out.put(&rest[..at]);
        // Every character that is escaped is one byte long.
        match rest.as_bytes()[at] {
            b'"' => out.put("\\\""),
            b'\\' => out.put("\\\\"),
            control => out.put(&format!("\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.put(rest);
    out.put("\"");
}
