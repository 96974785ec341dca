//! What time it is at Redis, as a router knows it: the time that a reply told, going on from the moment of asking.

use domain::ids::{Incarnation, Micros};

use super::super::World;
use super::super::event::MaybeLease;
use crate::plan::MS;

/// How old a lease may be, and one that says that a life is not there.
const MAX_AGE_US: u64 = 250 * MS;
const MAX_AGE_OF_ABSENCE_US: u64 = 20 * MS;

/// A time that came with a reply, and when the store was asked.
#[derive(Debug, Clone, Copy)]
pub(in crate::world) struct Told {
    pub(in crate::world) redis_now: Micros,
    pub(in crate::world) asked: u64,
}

impl Told {
    /// Redis time, at the latest: the reply was made after it was asked for.
    pub(super) fn latest(self, now: u64) -> Micros {
        self.redis_now.plus(now.saturating_sub(self.asked))
    }
}

/// The lease of a pod with the time that came with it.
#[derive(Debug, Clone)]
pub(in crate::world) struct LeaseView {
    pub(super) lease: MaybeLease,
    pub(super) told: Told,
}

impl World {
    /// The lease as it was read of late; none if it must be read.
    pub(super) fn cached_lease(&self, n: usize, pod: usize, incarnation: Incarnation) -> Option<LeaseView> {
        let view = self.routers[n].leases[pod].as_ref()?;
        let lease = view.lease.as_ref();
        let there = lease.is_some_and(|l| l.incarnation == incarnation && !l.suspect && !l.draining);
        let max_age = if there { MAX_AGE_US } else { MAX_AGE_OF_ABSENCE_US };
        let age = self.schedule.now().saturating_sub(view.told.asked);
        (age < max_age).then(|| view.clone())
    }
}
