//! Every field that any line may have, read in one pass. Leaves out which line needs which (`parse`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A string, or a number that stands for one.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// One line. Fields that no line has are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row<'a> {
    #[serde(borrow)]
    pub(super) ev: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) kind: Option<Text<'a>>,
    pub(super) t_us: Option<u64>,
    pub(super) m_us: Option<u64>,
    #[serde(borrow)]
    pub(super) proc: Option<Text<'a>>,
    pub(super) pid: Option<u32>,
    pub(super) n: Option<u64>,
    #[serde(borrow)]
    pub(super) key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) cp: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) action: Option<Text<'a>>,
    #[serde(rename = "unsafe")]
    pub(super) is_unsafe: Option<bool>,
    #[serde(borrow)]
    pub(super) priority: Option<Text<'a>>,
    pub(super) deadline_us: Option<u64>,
    #[serde(borrow)]
    pub(super) payload_hash: Option<Text<'a>>,
    pub(super) ok: Option<bool>,
    #[serde(borrow)]
    pub(super) why: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) code: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) state: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) answer: Option<&'a RawValue>,
    pub(super) ended_us: Option<u64>,
    pub(super) possibly_written: Option<bool>,
    #[serde(borrow)]
    pub(super) pod: Option<Text<'a>>,
    pub(super) inc: Option<u64>,
    pub(super) seq: Option<u64>,
    pub(super) version: Option<u64>,
    pub(super) now_us: Option<u64>,
    pub(super) expires_us: Option<u64>,
    pub(super) applied: Option<bool>,
    pub(super) dispatch: Option<u64>,
    pub(super) attempt: Option<u32>,
    #[serde(borrow)]
    pub(super) verdict: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) record_id: Option<Text<'a>>,
    pub(super) dead: Option<bool>,
    #[serde(borrow)]
    pub(super) topic: Option<Text<'a>>,
    pub(super) partition: Option<i64>,
    pub(super) offset: Option<i64>,
    pub(super) socket: Option<u64>,
    pub(super) until_m_us: Option<u64>,
    pub(super) redis_upper_us: Option<u64>,
    pub(super) lease_until_m_us: Option<u64>,
    pub(super) nonce: Option<u64>,
    #[serde(borrow)]
    pub(super) lane: Option<Text<'a>>,
    pub(super) value: Option<bool>,
    #[serde(borrow)]
    pub(super) message_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error_code: Option<Text<'a>>,
    pub(super) open: Option<u64>,
    pub(super) untimed: Option<u64>,
    pub(super) doubly_timed: Option<u64>,
    pub(super) violations: Option<Vec<String>>,
    #[serde(borrow)]
    pub(super) target: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) detail: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) what: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
}
