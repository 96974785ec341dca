//! How time and durations are cut down: the clock moves in whole ticks of a second, and every duration of the
//! protocol is a few ticks, in the proportions that the protocol asks for.

use domain::edge::EdgeSettings;
use domain::ids::Micros;
use domain::settings::{DeliverySettings, Jitter};

/// One step of the clock.
pub(crate) const TICK_US: u64 = 1_000_000;
/// A pod's lease.
pub(crate) const LEASE_TICKS: u8 = 3;
/// How long an edge may stay cut off or paused: one tick beyond its lease.
pub(crate) const OUTAGE_TICKS: u8 = LEASE_TICKS + 1;
/// How long the routers' timer loops may stand still: longer than the stall rule tolerates.
pub(crate) const STALL_TICKS: u8 = 3;
/// How long a write may hang before its connection is closed.
pub(crate) const WRITE_TICKS: u8 = 2;
/// How long the charger may take to answer.
pub(crate) const ANSWER_TICKS: u8 = 1;
/// The clock's first reading; zero means "none" to some fields.
pub(crate) const START_TICK: u8 = 1;
/// The edge ends its lease so much before the store does.
const LEASE_MARGIN_US: u64 = TICK_US / 2;
/// Connection versions begin here, far above the clock, so that they count registrations and nothing else.
pub(crate) const VERSION_BASE: u64 = 1 << 40;
/// Dispatch numbers begin here, for the same reason.
pub(crate) const DISPATCH_BASE: u64 = 1 << 40;
/// The jitter of every backoff: the longest, so that a backoff is one tick.
pub(crate) const JITTER: Jitter = Jitter(u16::MAX);

/// A moment of Redis time, which all processes' monotonic clocks follow here.
pub(crate) fn micros(tick: u8) -> Micros {
    Micros(u64::from(tick) * TICK_US)
}

/// When a lease that is confirmed now ends: in the store, and by the edge's own reckoning.
pub(crate) fn lease_ends(now: u8) -> (Micros, u64) {
    let ends = micros(now + LEASE_TICKS);
    (ends, ends.0 - LEASE_MARGIN_US)
}

/// The store's durations.
pub(crate) fn delivery_settings() -> DeliverySettings {
    DeliverySettings {
        backoff_base_us: TICK_US,
        backoff_cap_us: TICK_US,
        dispatch_lease_us: 2 * TICK_US,
        grant_us: TICK_US,
        pod_lease_us: u64::from(LEASE_TICKS) * TICK_US,
        connection_ttl_us: 1_000 * TICK_US,
        note_resend_us: 2 * TICK_US,
        ..DeliverySettings::default()
    }
}

/// The edges' durations.
pub(crate) fn edge_settings() -> EdgeSettings {
    EdgeSettings {
        resend_us: 2 * TICK_US,
        retry_us: TICK_US,
        memory_us: TICK_US,
        renew_interval_us: 1_000_000 * TICK_US,
        ..EdgeSettings::default()
    }
}
