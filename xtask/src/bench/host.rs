//! Whether the host of a virtual machine gave the processors to others: by the kernel's own count, the `steal` of
//! `/proc/stat` (proc(5)). Where there is no such host, or it does not tell, that is nothing.

use anyhow::{Context, Result};

/// What the kernel counted until a moment, in its ticks and over all processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticks {
    /// Processors ran something, or should have.
    wanted: u64,
    stolen: u64,
}

impl Ticks {
    /// Until now.
    pub(super) fn now() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        Self::parse(&stat).context("the first line of /proc/stat is not that of all processors")
    }

    /// user, nice, system, idle, iowait, irq, softirq and steal; what follows is in user and nice already.
    fn parse(stat: &str) -> Option<Self> {
        let numbers = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let ticks: Vec<u64> = numbers.take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let [user, nice, system, _idle, _iowait, irq, softirq, stolen] = ticks.try_into().ok()?;
        Some(Self {
            wanted: user + nice + system + irq + softirq + stolen,
            stolen,
        })
    }

    /// Whether any was ever stolen: else nobody knows.
    pub(super) fn tell(self) -> bool {
        self.stolen > 0
    }

    /// How much of the time in which a processor was wanted since an earlier moment was stolen, in percent. An idle one
    /// is not stolen from, so that of all time would be too kind to quiet turns.
    #[allow(clippy::cast_precision_loss, reason = "ticks of minutes")]
    pub(super) fn stolen_since(self, earlier: Self) -> f64 {
        let wanted = self.wanted.saturating_sub(earlier.wanted).max(1);
        100.0 * self.stolen.saturating_sub(earlier.stolen) as f64 / wanted as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stolen_is_told_from_the_rest() {
        let at = |stat: &str| Ticks::parse(stat).unwrap();
        let before = at("cpu  100 0 50 800 10 0 5 35 7 0\ncpu0 1 2 3\n");
        let (wanted, stolen) = (190, 35);
        assert_eq!(before, Ticks { wanted, stolen });
        // Idle is nothing: 250 more were wanted, and 35 of them stolen.
        let after = at("cpu  250 0 105 1100 20 0 15 70 9 0\n");
        assert!((after.stolen_since(before) - 14.0).abs() < f64::EPSILON);
        assert!(before.stolen_since(before).abs() < f64::EPSILON);
        assert!(before.tell() && !at("cpu 1 2 3 4 5 6 7 0 0 0\n").tell());
        assert_eq!(Ticks::parse("intr 1 2 3\n"), None);
        assert_eq!(Ticks::parse("cpu 1 2 3\n"), None);
    }
}
