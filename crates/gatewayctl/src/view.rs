//! What the API's messages look like on paper: fixed field names and plain words, the same in JSON and in tables.
//! Leaves out the layout of the tables.

pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod dead_letter;
pub(crate) mod json;

/// Text that may come from a charger, without anything that would steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut clean, character| {
            if character.is_control() {
                clean.extend(character.escape_default());
            } else {
                clean.push(character);
            }
            clean
        })
}

/// A proto enum's value in words: `COMMAND_STATE_PENDING` is `pending`, UNSPECIFIED is nothing.
fn word(name: Result<&'static str, i32>, prefix: &str) -> Option<String> {
    match name {
        Ok(name) => {
            let bare = name.strip_prefix(prefix).unwrap_or(name);
            (bare != "UNSPECIFIED").then(|| bare.to_ascii_lowercase())
        }
        // A router newer than this program may know more words.
        Err(number) => Some(format!("unknown({number})")),
    }
}

/// Nothing for an empty text, as proto3 cannot tell the two apart.
fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests;
