//! The values that a command line, the environment and the config file share: router addresses, spans and points
//! in time. Leaves out which of them is used.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

/// A router's gRPC address, `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

impl Address {
    /// As the URI that the gRPC client wants.
    pub(crate) fn uri(&self) -> String {
        format!("http://{}", self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not an address of the form host:port");
        let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = bare.rsplit_once(':').ok_or_else(refusal)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain =
            !host.is_empty() && !host.contains([':', '/', '@', '[', ']', '?', '#']) && !host.contains(' ');
        match port.parse::<u16>() {
            Ok(1..) if bracketed || plain => Ok(Self(bare.to_owned())),
            _ => Err(refusal()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A length of time, written as one or more numbers with units: `500ms`, `30s`, `1m30s`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not a duration such as 500ms, 30s, 5m or 1h30m");
        let mut total_ms: u64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refusal)?;
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, after) = tail.split_at(unit_end);
            let number: u64 = number.parse().map_err(|_| refusal())?;
            let ms = unit_ms(unit)
                .and_then(|unit_ms| number.checked_mul(unit_ms))
                .ok_or_else(refusal)?;
            total_ms = total_ms.checked_add(ms).ok_or_else(refusal)?;
            rest = after;
        }
        match total_ms {
            0 if text.is_empty() => Err(refusal()),
            0 => Err(format!("`{text}` is no time at all; it must be longer than 0")),
            // A year is far beyond any deadline that a router accepts, and keeps later sums far from overflow.
            1..=31_536_000_000 => Ok(Self(Duration::from_millis(total_ms))),
            _ => Err(format!("`{text}` is longer than a year")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

/// A point in time: itself, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    At(Timestamp),
    Ago(Span),
}

impl Moment {
    /// The point in time for a program that began `now`.
    pub(crate) fn timestamp(self, now: SystemTime) -> Timestamp {
        match self {
            Self::At(timestamp) => timestamp,
            Self::Ago(span) => Timestamp::from(now - span.0),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = timestamp(text).map(Self::At);
        time.or_else(|_| text.parse().map(Self::Ago)).map_err(|_| {
            format!(
                "`{text}` is neither a time such as 2030-01-31T12:00:00Z nor a duration such as 30m or 2h"
            )
        })
    }
}

/// Reads an RFC 3339 time.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a time such as 2030-01-31T12:00:00Z"))
}

/// The length of a unit in milliseconds.
fn unit_ms(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}
