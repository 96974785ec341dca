//! The durations and bounds that the delivery decisions use, in one place; the router's configuration
//! fills them and the store renders them into its scripts.

use serde::{Deserialize, Serialize};

/// Durations and bounds of delivery. Every `_us` is microseconds of Redis time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeliverySettings {
    /// First backoff step; step n is base·2^(n-1), with full jitter.
    pub backoff_base_us: u64,
    /// No backoff step exceeds this.
    pub backoff_cap_us: u64,
    /// How long a claim may stay `Sent` without a notice.
    pub dispatch_lease_us: u64,
    /// How long a grant permits the write.
    pub grant_us: u64,
    /// The pod lease; settlement of an unsafe command waits one longer than any write can last.
    pub pod_lease_us: u64,
    /// How long a registration lasts unless it is renewed.
    pub connection_ttl_us: u64,
    /// Most open commands per charger.
    pub max_open_per_charger: u32,
    /// Most records in a slot's outbox before acceptance refuses.
    pub max_outbox: u32,
    /// A command that waits in the normal lane is overtaken by so many that came later; then it is the next.
    pub max_overtakes: u32,
    /// How long an ended command can be read.
    pub retention_us: u64,
    /// The same for dead letters.
    pub dead_letter_retention_us: u64,
    /// Most dead letters of a slot; beyond, the oldest leave.
    pub max_dead_letters: u32,
    /// How long an idempotency key outlives its command.
    pub idempotency_retention_us: u64,
    /// How often an unconfirmed kick or cancel is sent again.
    pub note_resend_us: u64,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000;
        Self {
            backoff_base_us: SECOND,
            backoff_cap_us: 15 * SECOND,
            dispatch_lease_us: 6 * SECOND,
            grant_us: 5 * SECOND,
            pod_lease_us: 10 * SECOND,
            connection_ttl_us: 900 * SECOND,
            max_open_per_charger: 100,
            max_outbox: 100_000,
            max_overtakes: 8,
            retention_us: 3_600 * SECOND,
            dead_letter_retention_us: 7 * 86_400 * SECOND,
            max_dead_letters: 10_000,
            idempotency_retention_us: 86_400 * SECOND,
            note_resend_us: SECOND,
        }
    }
}

/// A timer loop that ran no round for longer than this was stalled, and with it perhaps everything else.
pub const STALL_US: u64 = 2_000_000;

/// The time of the last round is noted anew only if it is older than this: several routers run rounds.
pub const ROUND_NOTED_US: u64 = 500_000;

/// A fraction of a backoff step, in 65,536ths: the jitter that is drawn outside and passed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(pub u16);

impl DeliverySettings {
    /// The wait before try `n` (from 1) with full jitter.
    #[must_use]
    pub fn backoff_us(&self, n: u32, jitter: Jitter) -> u64 {
        let step = self
            .backoff_base_us
            .saturating_mul(1 << n.saturating_sub(1).min(20))
            .min(self.backoff_cap_us);
        step.saturating_mul(u64::from(jitter.0)) / 65_536
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_is_capped_and_jittered_over_its_whole_range() {
        let s = DeliverySettings::default();
        assert_eq!(s.backoff_us(1, Jitter(0)), 0);
        assert_eq!(s.backoff_us(1, Jitter(32_768)), 500_000);
        assert_eq!(s.backoff_us(3, Jitter(32_768)), 2_000_000);
        assert!(s.backoff_us(40, Jitter(u16::MAX)) < s.backoff_cap_us);
    }
}
