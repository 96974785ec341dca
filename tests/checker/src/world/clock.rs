//! How Redis time lies to the machine's clock. Nobody's word is taken for it: a reply that carries Redis' time was
//! written down after Redis said it, so each such line bounds the distance from below, and the closest one counts.

use crate::log::Log;

/// The distance from the machine's monotonic clock to Redis time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Redis time minus monotonic time is at least this.
    least: Option<i128>,
}

impl Clock {
    /// From every line that carries both times.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        let registered = log.registered.iter().map(|l| (l.at.m_us, l.now_us));
        let unregistered = log
            .unregistered
            .iter()
            .filter_map(|l| Some((l.at.m_us, l.now_us?)));
        let applied = log.applied.iter().map(|l| (l.at.m_us, l.now_us));
        let ended = log.ended.iter().map(|l| (l.at.m_us, l.now_us));
        let least = registered
            .chain(unregistered)
            .chain(applied)
            .chain(ended)
            .map(|(m_us, now_us)| i128::from(now_us) - i128::from(m_us))
            .max();
        Self { least }
    }

    /// The earliest that Redis time can be at a moment.
    #[must_use]
    pub fn redis_at_least(&self, m_us: u64) -> Option<u64> {
        let redis = i128::from(m_us) + self.least?;
        u64::try_from(redis.max(0)).ok()
    }

    /// The latest that the machine's clock can be at a Redis time.
    #[must_use]
    pub fn machine_at_most(&self, redis_us: u64) -> Option<u64> {
        let machine = i128::from(redis_us) - self.least?;
        u64::try_from(machine.max(0)).ok()
    }
}
