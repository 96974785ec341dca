//! Is a consumer alive? Only records prove it: a fetch can be dead without any error being reported.
//!
//! [`CanaryWatch`] is pure: the caller says when a canary came round on which lane and asks what follows. It
//! neither reads a clock nor knows what a canary looks like.

use std::collections::BTreeMap;

use crate::consumer::Lane;

/// Bounds of trust, in ms of the caller's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanaryLimits {
    /// A lane is fresh if its last canary is at most this old.
    pub fresh_ms: u64,
    /// A lane without a canary for this long since its last one, and since the last rebuild, wants a rebuild.
    pub rebuild_ms: u64,
}

/// When the last canary was seen on each lane.
#[derive(Clone, Debug)]
pub struct CanaryWatch {
    limits: CanaryLimits,
    last_seen_ms: BTreeMap<Lane, Option<u64>>,
    last_rebuild_ms: u64,
}

impl CanaryWatch {
    /// Watches these lanes, on which nothing was seen yet; the start counts as a rebuild.
    pub fn new(lanes: impl IntoIterator<Item = Lane>, limits: CanaryLimits, now_ms: u64) -> Self {
        let last_seen_ms = lanes.into_iter().map(|lane| (lane, None)).collect();
        Self {
            limits,
            last_seen_ms,
            last_rebuild_ms: now_ms,
        }
    }

    /// A canary came round. A lane that is not watched is not added.
    pub fn seen(&mut self, lane: &Lane, now_ms: u64) {
        if let Some(last) = self.last_seen_ms.get_mut(lane) {
            *last = (*last).max(Some(now_ms));
        }
    }

    /// The consumer was replaced: it gets the whole bound again before the next replacement.
    pub fn rebuilt(&mut self, now_ms: u64) {
        self.last_rebuild_ms = self.last_rebuild_ms.max(now_ms);
    }

    /// When a canary was last seen on this lane.
    pub fn last_seen(&self, lane: &Lane) -> Option<u64> {
        self.last_seen_ms.get(lane).copied().flatten()
    }

    /// The age of the most stale lane, `None` while one has seen no canary at all.
    pub fn oldest_ms(&self, now_ms: u64) -> Option<u64> {
        let age = |last: &Option<u64>| last.map(|last| now_ms.saturating_sub(last));
        self.last_seen_ms
            .values()
            .map(age)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }

    /// Whether every lane has had a canary within the bound. No lanes prove nothing.
    pub fn is_fresh(&self, now_ms: u64) -> bool {
        self.oldest_ms(now_ms)
            .is_some_and(|age| age <= self.limits.fresh_ms)
    }

    /// Whether some lane has been without a canary for so long that its consumer should be replaced.
    pub fn should_rebuild(&self, now_ms: u64) -> bool {
        let since = |last: &Option<u64>| last.unwrap_or(0).max(self.last_rebuild_ms);
        let silent = |last: &Option<u64>| now_ms.saturating_sub(since(last)) >= self.limits.rebuild_ms;
        self.last_seen_ms.values().any(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CanaryLimits = CanaryLimits {
        fresh_ms: 3_000,
        rebuild_ms: 5_000,
    };

    fn lanes() -> (Lane, Lane) {
        (Lane::new("shard-0", 0), Lane::new("shard-0", 1))
    }

    fn watch(now_ms: u64) -> CanaryWatch {
        let (normal, urgent) = lanes();
        CanaryWatch::new([normal, urgent], LIMITS, now_ms)
    }

    #[test]
    fn is_not_fresh_until_every_lane_saw_a_canary() {
        let (normal, urgent) = lanes();
        let mut watch = watch(1_000);
        assert!(!watch.is_fresh(1_000));
        watch.seen(&normal, 1_100);
        assert!(!watch.is_fresh(1_100));
        watch.seen(&urgent, 1_200);
        assert!(watch.is_fresh(1_200));
        assert_eq!(watch.last_seen(&normal), Some(1_100));
    }

    #[test]
    fn one_silent_lane_ends_freshness() {
        let (normal, urgent) = lanes();
        let mut watch = watch(0);
        watch.seen(&normal, 100);
        watch.seen(&urgent, 100);
        watch.seen(&urgent, 3_000);
        assert!(watch.is_fresh(3_100));
        assert!(!watch.is_fresh(3_101));
    }

    #[test]
    fn a_consumer_that_never_saw_a_canary_is_rebuilt_after_the_bound() {
        let watch = watch(1_000);
        assert!(!watch.should_rebuild(5_999));
        assert!(watch.should_rebuild(6_000));
    }

    #[test]
    fn a_rebuild_gets_the_whole_bound_and_gives_no_freshness() {
        let (normal, urgent) = lanes();
        let mut watch = watch(0);
        watch.seen(&normal, 10);
        watch.seen(&urgent, 10);
        assert!(watch.should_rebuild(5_010));
        watch.rebuilt(5_010);
        assert!(!watch.should_rebuild(10_009));
        assert!(!watch.is_fresh(5_010));
        assert!(watch.should_rebuild(10_010));
    }

    #[test]
    fn late_and_foreign_canaries_change_nothing() {
        let (normal, _) = lanes();
        let mut watch = watch(0);
        watch.seen(&normal, 500);
        watch.seen(&normal, 400);
        watch.seen(&Lane::new("shard-9", 0), 600);
        assert_eq!(watch.last_seen(&normal), Some(500));
        assert_eq!(watch.last_seen(&Lane::new("shard-9", 0)), None);
    }

    #[test]
    fn nothing_watched_is_never_fresh() {
        let watch = CanaryWatch::new([], LIMITS, 0);
        assert!(!watch.is_fresh(0));
        assert!(!watch.should_rebuild(100_000));
    }
}
