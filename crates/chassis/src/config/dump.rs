//! Writes an effective configuration as TOML that the loader reads back.
//!
//! Single values come before sections, keys in alphabetical order, unset options as comments. Secrets are
//! redacted by their own `Serialize`. Leaves out inline tables except inside lists, where TOML needs them.

use figment::value::{Dict, Value};

use super::numbers::number_as_text;

/// The TOML text of `dict`.
pub(super) fn to_toml(dict: &Dict) -> String {
    let mut out = String::new();
    write_section(&mut out, "", dict);
    out.trim_start().to_owned()
}

/// Writes the values of a section, then the sections in it under their full names.
fn write_section(out: &mut String, path: &str, dict: &Dict) {
    let (sections, values): (Vec<_>, Vec<_>) = dict.iter().partition(|(_, value)| value.as_dict().is_some());
    if !path.is_empty() && (!values.is_empty() || sections.is_empty()) {
        out.push_str(&format!("\n[{path}]\n"));
    }
    for (key, value) in values {
        match value {
            Value::Empty(..) => out.push_str(&format!("# {} is unset\n", bare_or_quoted(key))),
            value => out.push_str(&format!("{} = {}\n", bare_or_quoted(key), inline(value))),
        }
    }
    for (key, section) in sections {
        let key = bare_or_quoted(key);
        let path = if path.is_empty() {
            key
        } else {
            format!("{path}.{key}")
        };
        write_section(out, &path, section.as_dict().unwrap_or(&Dict::new()));
    }
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, char) => quoted(&char.to_string()),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => number_as_text(number),
        Value::Empty(..) => quoted(""),
        Value::Array(_, elements) => {
            format!("[{}]", elements.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, dict) => {
            let entries = dict
                .iter()
                .map(|(key, value)| format!("{} = {}", bare_or_quoted(key), inline(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key as TOML allows it.
fn bare_or_quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A basic TOML string.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use figment::providers::{Format, Toml};
    use figment::{Profile, Provider};

    use super::*;

    #[test]
    fn a_dump_reads_back_as_the_same_values() {
        let text = "a = \"quote \\\" back \\\\ line \\n bell \\u0007\"\nlist = [1, -2, 3]\nratio = 0.5\n\
                    [deep.er]\n\"odd key\" = true\nrows = [{ x = 1.0 }]\n[empty]\n";
        let read = |text: &str| {
            Toml::string(text)
                .data()
                .unwrap()
                .remove(&Profile::Default)
                .unwrap()
        };
        let first = read(text);
        assert_eq!(read(&to_toml(&first)), first);
    }
}
