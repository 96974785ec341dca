//! Leases of pods as this router last read them, at most 250 ms old. They are a hint: they decide whether a
//! dispatch is sent or given back, never whether a write is allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::MonoClock;
use domain::dispatch::Lease;
use domain::ids::{Incarnation, PodId, Version};
use store::{Store, StoreError};
use tokio::sync::Mutex as AsyncMutex;

use crate::redis_clock::RedisClock;

/// How old a lease may be when a dispatch relies on it.
pub const MAX_AGE: Duration = Duration::from_millis(250);
/// How old one may be that says that a life is not there: it may have begun, or linked again, since then.
const MAX_AGE_OF_ABSENCE: Duration = Duration::from_millis(20);

/// The cache. Whoever finds an entry too old reads it for all who wait for it.
pub struct LeaseCache {
    store: Store,
    clock: MonoClock,
    redis_clock: Arc<RedisClock>,
    pods: Mutex<Pods>,
    floor: AsyncMutex<Entry<Version>>,
}

type Pods = HashMap<PodId, Arc<AsyncMutex<Entry<Option<Lease>>>>>;

/// A value with the time at which its reading began.
#[derive(Clone, Debug, Default)]
struct Entry<T> {
    read_us: Option<u64>,
    value: T,
}

impl<T> Entry<T> {
    fn is_fresh(&self, clock: &MonoClock, max_age: Duration) -> bool {
        self.read_us.is_some_and(|at| clock.since(at) < max_age)
    }
}

impl LeaseCache {
    /// An empty cache.
    #[must_use]
    pub fn new(store: Store, clock: MonoClock, redis_clock: Arc<RedisClock>) -> Self {
        Self {
            store,
            clock,
            redis_clock,
            pods: Mutex::default(),
            floor: AsyncMutex::default(),
        }
    }

    /// The lease of a pod, read for the sake of one of its lives; none if the pod has no record.
    pub async fn get(&self, pod: &PodId, incarnation: Incarnation) -> Result<Option<Lease>, StoreError> {
        let entry = Arc::clone(self.pods().entry(pod.clone()).or_default());
        let mut entry = entry.lock().await;
        let max_age = if is_there(entry.value.as_ref(), incarnation) {
            MAX_AGE
        } else {
            MAX_AGE_OF_ABSENCE
        };
        if !entry.is_fresh(&self.clock, max_age) {
            let begun = self.clock.now_us();
            let reply = self.store.lease(pod).await?;
            self.redis_clock.learn(reply.redis_now);
            *entry = Entry {
                read_us: Some(begun),
                value: reply.value,
            };
        }
        Ok(entry.value.clone())
    }

    /// The highest connection version that any edge holds: no registration may get a lower one.
    pub async fn floor(&self) -> Result<Version, StoreError> {
        let mut floor = self.floor.lock().await;
        if !floor.is_fresh(&self.clock, MAX_AGE) {
            let begun = self.clock.now_us();
            let reply = self.store.leases().await?;
            let value = reply.value.iter().map(|l| l.floor).max().unwrap_or_default();
            *floor = Entry {
                read_us: Some(begun),
                value,
            };
        }
        Ok(floor.value)
    }

    /// This router just changed the pod's lease.
    pub fn forget(&self, pod: &PodId) {
        self.pods().remove(pod);
    }

    /// Drops what was not asked for lately, so that pods that are gone do not stay for ever.
    pub fn sweep(&self) {
        let clock = &self.clock;
        self.pods().retain(|_, entry| match entry.try_lock() {
            Ok(entry) => entry.is_fresh(clock, MAX_AGE),
            Err(_) => true,
        });
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a record says that this life is there and linked.
fn is_there(lease: Option<&Lease>, incarnation: Incarnation) -> bool {
    lease.is_some_and(|l| l.incarnation == incarnation && !l.suspect && !l.draining)
}
