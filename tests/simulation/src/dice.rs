//! The one source of chance. Its numbers are fixed for ever by this file: a seed printed today replays
//! tomorrow, whatever libraries are updated in between.

/// A generator of 64-bit numbers: a counter that strides over all of them, each scrambled.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    counter: u64,
}

/// An odd stride without pattern: the fraction of the golden ratio.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// The numbers of a seed. Streams of one seed have nothing in common.
    #[must_use]
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self {
            counter: scramble(seed ^ scramble(stream.wrapping_add(STRIDE))),
        }
    }

    /// The next number.
    pub(crate) fn number(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(STRIDE);
        scramble(self.counter)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// An index below `end`.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so often in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// Each bit of the input changes about half of the bits of the output.
fn scramble(number: u64) -> u64 {
    let mut n = number;
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut dice = Dice::new(7, 1);
        let first: Vec<u64> = (0..3).map(|_| dice.number()).collect();
        let mut again = Dice::new(7, 1);
        assert_eq!(first, (0..3).map(|_| again.number()).collect::<Vec<_>>());
        assert_ne!(Dice::new(7, 2).number(), first[0]);
        assert_ne!(Dice::new(8, 1).number(), first[0]);
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..1_000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!(dice.index(2) < 2);
        }
        assert!(!dice.chance(0));
        assert!(dice.chance(1_000));
    }
}
