//! Times, and what is said about them.

use std::time::Duration;

/// Times of one kind, in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that at least `percent` of all do not exceed, in milliseconds; 0 without samples.
    pub(super) fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl IntoIterator for Samples {
    type Item = Duration;
    type IntoIter = std::vec::IntoIter<Duration>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Duration> for Samples {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        self.0.extend(times);
    }
}

/// The middle of some numbers, the lower one of two; 0 without numbers.
pub(super) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut samples = Samples::default();
        samples.extend((1..=200).rev().map(Duration::from_millis));
        assert_eq!(samples.percentile_ms(50), 100.0);
        assert_eq!(samples.percentile_ms(99), 198.0);
        assert_eq!(samples.percentile_ms(100), 200.0);
    }

    #[test]
    fn few_samples_have_percentiles_too() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile_ms(99), 0.0);
        samples.push(Duration::from_micros(1_500));
        assert_eq!((samples.percentile_ms(0), samples.percentile_ms(99)), (1.5, 1.5));
        assert_eq!(samples.len(), 1);
    }

    #[test]
    fn the_median_is_no_mean() {
        assert_eq!(median(&[100.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[2.0, 1.0]), 1.0);
        assert_eq!(median(&[]), 0.0);
    }
}
