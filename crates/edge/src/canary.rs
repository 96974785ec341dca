//! The gate that keeps a deaf edge from taking chargers: both lanes must have brought this pod's canary of late.
//!
//! An assignment that succeeded proves nothing, a fetch can be dead without an error; only a canary that came
//! round does. Pure: the caller says what came and when.

use bus::{CanaryLimits, CanaryWatch, Lane};
use domain::ids::LinkNumber;

/// What is known of the lanes.
#[derive(Debug, Clone)]
pub struct CanaryGate {
    watch: CanaryWatch,
    /// Older links were another process's, or came before these lanes were consumed.
    first_link: LinkNumber,
}

impl CanaryGate {
    /// A gate that is shut until each of `lanes` brought a canary of `first_link` or a later one.
    #[must_use]
    pub fn new(lanes: [Lane; 2], first_link: LinkNumber, limits: CanaryLimits, now_ms: u64) -> Self {
        Self {
            watch: CanaryWatch::new(lanes, limits, now_ms),
            first_link,
        }
    }

    /// A canary of this pod came round.
    pub fn seen(&mut self, lane: &Lane, link: LinkNumber, now_ms: u64) {
        if link >= self.first_link {
            self.watch.seen(lane, now_ms);
        }
    }

    /// Whether both lanes are proven.
    #[must_use]
    pub fn is_open(&self, now_ms: u64) -> bool {
        self.watch.is_fresh(now_ms)
    }

    /// Whether the consumer was deaf for so long that it must be replaced.
    #[must_use]
    pub fn wants_rebuild(&self, now_ms: u64) -> bool {
        self.watch.should_rebuild(now_ms)
    }

    /// It was replaced.
    pub fn rebuilt(&mut self, now_ms: u64) {
        self.watch.rebuilt(now_ms);
    }

    /// The age of the more stale lane's canary.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        self.watch.oldest_ms(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CanaryLimits = CanaryLimits {
        fresh_ms: 3_000,
        rebuild_ms: 5_000,
    };

    fn gate() -> (CanaryGate, Lane, Lane) {
        let (normal, urgent) = (
            Lane::new("commands-down-shard-1", 3),
            Lane::new("commands-down-shard-1", 11),
        );
        (
            CanaryGate::new([normal.clone(), urgent.clone()], LinkNumber(5), LIMITS, 0),
            normal,
            urgent,
        )
    }

    #[test]
    fn a_consumer_that_is_assigned_and_deaf_never_opens_the_gate_and_is_replaced() {
        let (mut gate, _, _) = gate();
        for now_ms in (0..60_000).step_by(250) {
            assert!(!gate.is_open(now_ms));
            if gate.wants_rebuild(now_ms) {
                gate.rebuilt(now_ms);
            }
        }
        assert!(gate.wants_rebuild(65_000));
    }

    #[test]
    fn one_deaf_lane_keeps_the_gate_shut() {
        let (mut gate, normal, urgent) = gate();
        gate.seen(&normal, LinkNumber(5), 10);
        assert!(!gate.is_open(10));
        gate.seen(&urgent, LinkNumber(5), 20);
        assert!(gate.is_open(20));
        gate.seen(&normal, LinkNumber(5), 3_000);
        assert!(!gate.is_open(3_100), "the urgent lane went silent");
    }

    #[test]
    fn canaries_of_an_earlier_process_prove_nothing() {
        let (mut gate, normal, urgent) = gate();
        for lane in [&normal, &urgent] {
            gate.seen(lane, LinkNumber(4), 10);
        }
        assert!(!gate.is_open(10));
    }
}
