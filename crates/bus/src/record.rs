//! What goes onto and comes off the bus. Bytes only: no encoding is known here.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};

use crate::error::Fate;

/// Record headers in order; names may repeat, as Kafka allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Bytes)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one header and gives the set back, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds one header.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the first header of this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The value of the first header of this name, where it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The form rdkafka sends; `None` saves an allocation for the common empty set.
    pub(crate) fn to_native(&self) -> Option<OwnedHeaders> {
        if self.0.is_empty() {
            return None;
        }
        let native = OwnedHeaders::new_with_capacity(self.0.len());
        let add = |native: OwnedHeaders, (name, value): &(String, Bytes)| {
            native.insert(Header {
                key: name,
                value: Some(&value[..]),
            })
        };
        Some(self.0.iter().fold(native, add))
    }

    /// The headers of a received message; a null value reads as empty.
    pub(crate) fn from_native(native: Option<&rdkafka::message::BorrowedHeaders>) -> Self {
        let Some(native) = native else {
            return Self::default();
        };
        let owned = |header: Header<'_, &[u8]>| {
            (
                header.key.to_owned(),
                Bytes::copy_from_slice(header.value.unwrap_or_default()),
            )
        };
        Self(native.iter().map(owned).collect())
    }
}

/// One record to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// An exact partition; without one the key's murmur2 hash decides, as in Kafka's own clients.
    pub partition: Option<i32>,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value.
    pub payload: Bytes,
    /// The record's headers.
    pub headers: Headers,
}

impl Message {
    /// A record without key and headers, its partition left to Kafka.
    pub fn new(topic: impl Into<Arc<str>>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            payload: payload.into(),
            headers: Headers::default(),
        }
    }

    /// Names the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Names the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Replaces the headers.
    #[must_use]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// What an error about this record will say.
    pub(crate) fn fate(&self) -> Fate {
        let bytes = self.payload.len() + self.key.as_ref().map_or(0, Bytes::len);
        Fate {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            bytes,
        }
    }
}

/// One record that was consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic's full name.
    pub topic: Arc<str>,
    /// The partition it was read from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value; a null value reads as empty.
    pub payload: Bytes,
    /// The record's headers.
    pub headers: Headers,
    /// Wall clock of the producer or broker in ms since 1970, as the topic is configured; decides nothing.
    pub timestamp_ms: Option<i64>,
}
