//! A part of the state that is shared between states until it changes, and hashed once when it has.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A shared value and its hash.
#[derive(Debug, Clone)]
pub(crate) struct Part<T> {
    value: Arc<T>,
    digest: u64,
}

impl<T: Hash + Clone> Part<T> {
    pub(crate) fn new(value: T) -> Self {
        let digest = digest(&value);
        Self {
            value: Arc::new(value),
            digest,
        }
    }

    /// Access for a change, which [`Part::seal`] has to follow before the state is compared with another.
    pub(crate) fn edit(&mut self) -> &mut T {
        self.digest = 0;
        Arc::make_mut(&mut self.value)
    }

    /// Whether it was accessed for a change since it was sealed.
    pub(crate) fn is_touched(&self) -> bool {
        self.digest == 0
    }

    /// Ends changes.
    pub(crate) fn seal(&mut self) {
        if self.is_touched() {
            self.digest = digest(&*self.value);
        }
    }

    /// The hash.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Equal where the hashes are: states are told apart by their hashes throughout.
impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T> Eq for Part<T> {}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// Never zero, which means "changing".
fn digest<T: Hash>(value: &T) -> u64 {
    let mut hasher = Fold(0x9e37_79b9_7f4a_7c15);
    value.hash(&mut hasher);
    hasher.finish().max(1)
}

/// A fast hash of 64 bits: each word is multiplied in and the product's halves are folded. Keyed by nothing, since
/// nobody chooses the states.
struct Fold(u64);

impl Fold {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xd6e8_feb8_6659_fd93;
        let halves = product ^ (product >> 64);
        let low = u64::try_from(halves & u128::from(u64::MAX)).unwrap_or(0);
        self.0 = low.wrapping_add(0xa076_1d64_78bd_642f).rotate_left(23);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        let mut last = Self(self.0);
        last.word(0x2545_f491_4f6c_dd1d);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.word(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.word(u64::try_from(n).unwrap_or(u64::MAX));
    }

    fn write_isize(&mut self, n: isize) {
        self.word(n.cast_unsigned().try_into().unwrap_or(u64::MAX));
    }
}
