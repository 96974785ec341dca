//! Newtypes for every identity and number of the delivery protocol. Parsing from outside text happens
//! here; what the numbers mean is in the delivery machine and in the slot model.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

/// Longest charge point identity, in characters (OCPP 2.x: identifierString of at most 48).
pub const CHARGE_POINT_ID_MAX: usize = 48;
/// Longest pod id, in characters (a DNS label).
pub const POD_ID_MAX: usize = 63;
/// Largest permitted `store.slots`: a command id carries the slot in eight bits.
pub const SLOTS_MAX: u16 = 256;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Too many characters.
    #[error("must have at most {max} characters, has {len}")]
    TooLong {
        /// The limit.
        max: usize,
        /// What was given.
        len: usize,
    },
    /// A character that the identity may not contain.
    #[error("must not contain {0:?}")]
    BadCharacter(char),
    /// Not a command id.
    #[error("is not a command id (a UUID of version 7)")]
    NotACommandId,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Redis time in microseconds since the epoch: the one clock that decides.
    Micros, u64
);
number!(
    /// One life of a pod; 0 means none.
    Incarnation, u64
);
number!(
    /// A connection's version: grows with every registration of the charger; 0 means never registered.
    Version, u64
);
number!(
    /// The edge's own counter per charger within an incarnation.
    Sequence, u64
);
number!(
    /// Grows with every claim of a command; 0 means never claimed.
    DispatchNumber, u64
);
number!(
    /// Names one taking of a record by an edge; random, never from the store; 0 means none.
    Nonce, u64
);
number!(
    /// Grows with every link of an edge to a router.
    LinkNumber, u64
);
number!(
    /// One of `store.slots` parts of the store.
    Slot, u16
);
number!(
    /// One of the shard topics.
    Shard, u32
);

impl Micros {
    /// This time plus `us` microseconds.
    #[must_use]
    pub fn plus(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }
}

/// The next value of a number that only grows: above everything stored and above the clock.
#[must_use]
pub fn grown(stored: u64, floor: u64, now: Micros) -> u64 {
    stored.max(floor).max(now.0).saturating_add(1)
}

/// The identity of a charge point, as in its URL, decoded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChargePointId(Box<str>);

impl ChargePointId {
    /// Checks and wraps. Visible ASCII without space; a colon is refused because HTTP Basic and 2.x forbid it.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check(text, CHARGE_POINT_ID_MAX, |c| c.is_ascii_graphic() && c != ':')?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The slot that holds this charger. The hash is pinned by a test and in Redis: it must never change.
    #[must_use]
    pub fn slot(&self, slots: u16) -> Slot {
        let slots = u64::from(slots.clamp(1, SLOTS_MAX));
        Slot(u16::try_from(stable_hash(self.0.as_bytes()) % slots).unwrap_or_default())
    }
}

/// The name of an edge pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodId(Box<str>);

impl PodId {
    /// Checks and wraps: letters, digits, dash, dot and underscore.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check(text, POD_ID_MAX, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
        })?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}
text_id!(ChargePointId);
text_id!(PodId);

/// A command's id: a UUID of version 7 whose last byte is the slot, so that a lookup by id finds its key.
/// Also the OCPP messageId, the same in every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandId(Uuid);

impl CommandId {
    /// Builds an id from wall-clock milliseconds and randomness; the clock only orders listings.
    #[must_use]
    pub fn new(unix_ms: u64, random: [u8; 10], slot: Slot) -> Self {
        let mut random = random;
        random[9] = slot.0.to_be_bytes()[1];
        Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid())
    }

    /// Reads the canonical text of an id.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let id = Uuid::try_parse(text).map_err(|_| IdError::NotACommandId)?;
        if id.get_version_num() != 7 || text.len() != 36 {
            return Err(IdError::NotACommandId);
        }
        Ok(Self(id))
    }

    /// The slot that holds this command, if a store of so many slots has it.
    #[must_use]
    pub fn slot(&self, slots: u16) -> Option<Slot> {
        let slot = u16::from(self.0.as_bytes()[15]);
        (slot < slots).then_some(Slot(slot))
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// SipHash-1-3 with a zero key: the hash behind slots, partitions and shards, stable across releases.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(bytes);
    hasher.finish()
}

fn check(text: &str, max: usize, allowed: impl Fn(char) -> bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    let len = text.chars().count();
    if len > max {
        return Err(IdError::TooLong { max, len });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(IdError::BadCharacter(c)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_behind_slots_never_changes() {
        let slots: Vec<u16> = ["CP-000001", "CP-000002", "a", "EVB-P20390866"]
            .iter()
            .map(|id| ChargePointId::parse(id).unwrap().slot(64).0)
            .collect();
        insta::assert_json_snapshot!(slots);
    }

    #[test]
    fn a_command_id_carries_its_slot_and_reads_back() {
        for slot in [0, 1, 63, 255] {
            let id = CommandId::new(1_700_000_000_000, [0xab; 10], Slot(slot));
            assert_eq!(id.slot(256), Some(Slot(slot)));
            assert_eq!(CommandId::parse(&id.to_string()), Ok(id));
            assert_eq!(id.to_string().len(), 36);
        }
        assert_eq!(CommandId::new(1, [0; 10], Slot(9)).slot(8), None);
    }

    #[test]
    fn ill_formed_ids_are_refused_with_the_reason() {
        assert_eq!(ChargePointId::parse(""), Err(IdError::Empty));
        assert_eq!(
            ChargePointId::parse(&"x".repeat(49)),
            Err(IdError::TooLong { max: 48, len: 49 })
        );
        assert_eq!(ChargePointId::parse("a b"), Err(IdError::BadCharacter(' ')));
        assert_eq!(ChargePointId::parse("a:b"), Err(IdError::BadCharacter(':')));
        assert_eq!(PodId::parse("a/b"), Err(IdError::BadCharacter('/')));
        for text in [
            "",
            "x",
            "00000000-0000-4000-8000-000000000000",
            "0190163d8694739b9c6bd1ff5d1e3f1a",
        ] {
            assert_eq!(CommandId::parse(text), Err(IdError::NotACommandId));
        }
    }

    #[test]
    fn a_grown_number_is_above_everything() {
        assert_eq!(grown(5, 3, Micros(1)), 6);
        assert_eq!(grown(5, 9, Micros(1)), 10);
        assert_eq!(grown(5, 9, Micros(100)), 101);
    }
}
