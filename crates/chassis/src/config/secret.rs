//! A text that never shows itself: not in `Debug`, not in a dump, not in a problem.
//!
//! A `Secret` is set like any key, or by a file named in `<key>_file`, which the loader reads. An unset secret
//! is empty; sections use `Secret` and not `Option<Secret>`. Leaves out wiping memory: the client libraries
//! copy a password anyway.

use std::{cell::Cell, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands in a dump for a secret that is set.
pub const REDACTED: &str = "<redacted>";

/// A secret text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. Named so that each use stands out in a review.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True if there is a secret.
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() { REDACTED } else { "<unset>" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let revealed = REVEALED.with(Cell::get);
        let text = match self.is_set() {
            true if !revealed => REDACTED,
            _ => &self.0,
        };
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

thread_local! {
    /// Set only while the loader turns the defaults into its first layer.
    static REVEALED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with secrets serialised as they are; the loader needs that once, for the layer of the defaults.
pub(super) fn revealing<T>(f: impl FnOnce() -> T) -> T {
    struct Hide;
    impl Drop for Hide {
        fn drop(&mut self) {
            REVEALED.with(|revealed| revealed.set(false));
        }
    }
    let _hide_even_after_a_panic = Hide;
    REVEALED.with(|revealed| revealed.set(true));
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_neither_in_debug_nor_serialised() {
        let secret = Secret::new("hush");
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<redacted>\"");
        assert_eq!(revealing(|| serde_json::to_string(&secret).unwrap()), "\"hush\"");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<redacted>\"");
    }
}
