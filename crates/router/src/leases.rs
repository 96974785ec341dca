//! Leases of pods as this router last read them, at most 250 ms old. They are a hint: they decide whether a
//! dispatch is sent or given back, never whether a write is allowed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chassis::MonoClock;
use domain::dispatch::Lease;
use domain::ids::{Incarnation, Micros, PodId, Version};
use store::{Store, StoreError};

use crate::shared_read::SharedRead;
use crate::told::Told;

/// How old a lease may be when a dispatch relies on it.
pub const MAX_AGE: Duration = Duration::from_millis(250);
/// How old one may be that says that a life is not there: it may have begun, or linked again, since then.
const MAX_AGE_OF_ABSENCE: Duration = Duration::from_millis(20);

/// The cache. Whoever finds an entry too old reads it for all who wait for it.
pub struct LeaseCache {
    store: Store,
    clock: MonoClock,
    pods: Mutex<Pods>,
    floor: SharedRead<Version, StoreError>,
}

type Pods = HashMap<PodId, Arc<SharedRead<Record, StoreError>>>;

/// A pod's record with the store's time when it was read.
#[derive(Clone, Debug)]
struct Record {
    lease: Option<Lease>,
    redis_now: Micros,
}

/// A lease with the time of the server that holds it, whose clock the lease's end is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// The pod's record; none if it has none.
    pub lease: Option<Lease>,
    /// The time that came with it.
    pub told: Told,
}

impl LeaseCache {
    /// An empty cache.
    #[must_use]
    pub fn new(store: Store, clock: MonoClock) -> Self {
        Self {
            store,
            clock,
            pods: Mutex::default(),
            floor: SharedRead::default(),
        }
    }

    /// The lease of a pod, read for the sake of one of its lives.
    pub async fn get(&self, pod: &PodId, incarnation: Incarnation) -> Result<LeaseView, Arc<StoreError>> {
        let entry = Arc::clone(self.pods().entry(pod.clone()).or_default());
        let max_age = |record: &Record| {
            if is_there(record.lease.as_ref(), incarnation) {
                MAX_AGE
            } else {
                MAX_AGE_OF_ABSENCE
            }
        };
        let (store, pod) = (self.store.clone(), pod.clone());
        let read = || async move {
            let reply = store.lease(&pod).await?;
            Ok(Record {
                lease: reply.value,
                redis_now: reply.redis_now,
            })
        };
        let read = entry.get(&self.clock, max_age, read).await?;
        Ok(LeaseView {
            lease: read.value.lease,
            told: Told {
                redis_now: read.value.redis_now,
                asked_us: read.read_us,
            },
        })
    }

    /// The highest connection version that any edge holds: no registration may get a lower one.
    pub async fn floor(&self) -> Result<Version, Arc<StoreError>> {
        let store = self.store.clone();
        let read = || async move {
            let leases = store.leases().await?.value;
            Ok(leases.iter().map(|l| l.floor).max().unwrap_or_default())
        };
        Ok(self.floor.get(&self.clock, |_| MAX_AGE, read).await?.value)
    }

    /// This router just changed the pod's lease.
    pub fn forget(&self, pod: &PodId) {
        self.pods().remove(pod);
    }

    /// Drops what was not asked for lately, so that pods that are gone do not stay for ever.
    pub fn sweep(&self) {
        let clock = &self.clock;
        self.pods()
            .retain(|_, entry| Arc::strong_count(entry) > 1 || entry.is_fresh(clock, MAX_AGE));
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a record says that this life is there and linked.
fn is_there(lease: Option<&Lease>, incarnation: Incarnation) -> bool {
    lease.is_some_and(|l| l.incarnation == incarnation && !l.suspect && !l.draining)
}
