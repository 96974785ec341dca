//! The elements of a message's outer array, kept as far as they can be read. Leaves out what they mean.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Problem;
use crate::version::Version;

/// The most elements of any message type.
const MAX_ELEMENTS: usize = 5;

/// The elements read so far. They survive a syntax error further on, so that it can be answered by id.
#[derive(Default)]
pub(super) struct Parts<'a> {
    elements: [Option<&'a RawValue>; MAX_ELEMENTS],
    length: usize,
}

impl<'a> Parts<'a> {
    /// Reads `text`; whether it is a JSON array through to its end.
    pub(super) fn read(&mut self, text: &'a str) -> bool {
        let mut json = serde_json::Deserializer::from_str(text);
        PartsSeed(self).deserialize(&mut json).is_ok() && json.end().is_ok()
    }

    /// The element at `index`, if the message is that long.
    pub(super) fn at(&self, index: usize) -> Option<&'a RawValue> {
        self.elements.get(index).copied().flatten()
    }

    /// Checks the number of elements.
    pub(super) fn expect_length(&self, least: usize, most: usize) -> Result<(), Problem> {
        if (least..=most).contains(&self.length) {
            Ok(())
        } else {
            Err(Problem::WrongLength)
        }
    }

    /// An action or error code: a string with content.
    pub(super) fn name(&self, index: usize) -> Result<Cow<'a, str>, Problem> {
        self.at(index)
            .and_then(text)
            .filter(|name| !name.is_empty())
            .ok_or(Problem::UnreadableName)
    }

    /// A payload. J16 §4.2 lets a sender without content say `null`, which is read as the empty object.
    pub(super) fn object(&self, index: usize, version: Version) -> Result<&'a RawValue, Problem> {
        let raw = self.at(index).ok_or(Problem::WrongLength)?;
        if raw.get().starts_with('{') {
            Ok(raw)
        } else if raw.get() == "null" && version == Version::V16 {
            serde_json::from_str("{}").map_err(|_impossible| Problem::PayloadNotAnObject)
        } else {
            Err(Problem::PayloadNotAnObject)
        }
    }
}

/// The content of a JSON string, borrowed unless it has escapes; `None` for other JSON.
pub(super) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Whether valid JSON nests at most `max_depth` arrays and objects. Brackets inside strings do not count.
pub(super) fn is_within_depth(json: &str, max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > max_depth {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Fills [`Parts`] in place, where a returned value would be lost with an error.
struct PartsSeed<'p, 'a>(&'p mut Parts<'a>);

impl<'de> DeserializeSeed<'de> for PartsSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PartsSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the array of an OCPP-J message")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(element) = sequence.next_element::<&'de RawValue>()? {
            match self.0.elements.get_mut(self.0.length) {
                Some(place) => *place = Some(element),
                // Further elements only make the length wrong; a million of them need not be looked at.
                None if self.0.length > MAX_ELEMENTS => return Err(A::Error::custom("too many elements")),
                None => {}
            }
            self.0.length += 1;
        }
        Ok(())
    }
}
