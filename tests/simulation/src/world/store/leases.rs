//! The pods' leases: the rules of the store's scripts `linkPod`, `takeIncarnation`, `renewLease` and `markPod`, which
//! have no other form to be called here.

use domain::dispatch::{Consumes, Lease};
use domain::ids::{Incarnation, LinkNumber, Micros, PodId, Shard, Version, grown};
use domain::topics::shard_topic;

use super::data::{Data, Op};
use super::said::Said;

/// A pod's record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pod {
    pub(crate) incarnation: Incarnation,
    link: LinkNumber,
    /// The link over which the present life was taken.
    taken_over: LinkNumber,
    pub(crate) expires: Micros,
    suspect: bool,
    draining: bool,
    floor: Version,
    process: u64,
    /// Where it consumes.
    shard: u32,
}

/// What taking a life is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TakeReply {
    Taken {
        incarnation: Incarnation,
        expires: Micros,
        /// Whether the lease names the place of this request.
        placed: bool,
    },
    Superseded,
}

/// What renewing a lease is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RenewReply {
    Renewed {
        expires: Micros,
        /// Whether it came over an older link than the pod's newest: the place was passed over.
        late: bool,
    },
    Lapsed,
    Superseded,
}

impl TakeReply {
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Taken {
                incarnation, placed, ..
            } => incarnation.0 ^ u64::from(*placed),
            Self::Superseded => 1_100,
        }
    }
}

impl RenewReply {
    pub(crate) fn code(&self) -> u64 {
        match self {
            Self::Renewed { expires, late } => expires.0 ^ u64::from(*late),
            Self::Lapsed => 1_101,
            Self::Superseded => 1_102,
        }
    }
}

/// A request about a lease: over which link it came, whether that is older than the pod's newest, and where it says that
/// the edge consumes.
#[derive(Debug, Clone, Copy)]
struct Asked {
    link: LinkNumber,
    late: bool,
    shard: Option<u32>,
}

impl Pod {
    /// A new life. The same process asking again, because the reply was lost, gets the same, which moves it nowhere and
    /// does not end its draining; over an older link than the newest it does not show that the life goes on, nor does it
    /// begin another where that one lapsed. Over an older link than the one of the present life no other process takes one.
    fn take(
        &mut self,
        (last, process): (Incarnation, u64),
        asked: Asked,
        (now, lease_us): (Micros, u64),
    ) -> TakeReply {
        let own = self.process == process;
        let older = asked.late && asked.link < self.taken_over;
        if !own && (last.0 > 0 && self.incarnation > last || older) {
            return TakeReply::Superseded;
        }
        let repeated = own && self.incarnation > last && (asked.late || self.expires > now);
        if !repeated {
            self.taken_over = asked.link;
            self.incarnation = Incarnation(grown(self.incarnation.0, last.0, now));
            (self.process, self.draining) = (process, false);
            self.shard = asked.shard.unwrap_or_default();
        }
        if !(repeated && asked.late) {
            (self.suspect, self.expires) = (false, now.plus(lease_us));
        }
        TakeReply::Taken {
            incarnation: self.incarnation,
            expires: self.expires,
            placed: asked.shard == Some(self.shard),
        }
    }

    /// A lapsed lease is never renewed. A renewal over an older link than the newest came late: the place that it names
    /// may be left since.
    fn renew(
        &mut self,
        (incarnation, floor): (Incarnation, Version),
        asked: Asked,
        (now, lease_us): (Micros, u64),
    ) -> RenewReply {
        if self.incarnation > incarnation {
            return RenewReply::Superseded;
        }
        if self.incarnation < incarnation || self.expires <= now {
            return RenewReply::Lapsed;
        }
        let late = asked.late;
        self.shard = asked.shard.filter(|_| !late).unwrap_or(self.shard);
        (self.floor, self.expires) = (self.floor.max(floor), now.plus(lease_us));
        RenewReply::Renewed {
            expires: self.expires,
            late,
        }
    }
}

impl Data {
    pub(super) fn execute_lease(&mut self, op: &Op, now: Micros) -> Said {
        let lease_us = self.slots.first().map_or(0, |s| s.settings.pod_lease_us);
        let clock = (now, lease_us);
        let narrow = |shard| u32::try_from(shard).unwrap_or_default();
        match *op {
            Op::Link(pod, incarnation) => {
                let record = &mut self.pods[pod];
                record.link.0 += 1;
                record.suspect &= record.incarnation != incarnation;
                Said::Linked(record.link)
            }
            Op::Take {
                pod,
                link,
                last,
                process,
                shard,
            } => {
                let (late, shard) = (self.is_late(pod, link), Some(narrow(shard)));
                Said::Taken(self.pods[pod].take((last, process), Asked { link, late, shard }, clock))
            }
            Op::RenewLease {
                pod,
                link,
                incarnation,
                floor,
                shard,
            } => {
                let (late, shard) = (self.is_late(pod, link), shard.map(narrow));
                let reply = self.pods[pod].renew((incarnation, floor), Asked { link, late, shard }, clock);
                Said::LeaseRenewed(reply)
            }
            Op::Lease(pod) => Said::Lease(self.lease(pod)),
            Op::Leases => Said::Leases((0..self.pods.len()).filter_map(|pod| self.lease(pod)).collect()),
            ref mark => Said::Done(self.mark(mark)),
        }
    }

    /// Whether a newer link of the pod was opened since.
    fn is_late(&self, pod: usize, link: LinkNumber) -> bool {
        self.heeds_links && link < self.pods[pod].link
    }

    /// Marks a life; whether it is marked.
    fn mark(&mut self, op: &Op) -> bool {
        match *op {
            Op::Suspect(pod, incarnation, link) => {
                let record = &mut self.pods[pod];
                let marked = record.incarnation == incarnation && record.link == link;
                record.suspect |= marked;
                marked
            }
            Op::Draining(pod, incarnation) => {
                let record = &mut self.pods[pod];
                record.draining |= record.incarnation == incarnation;
                record.draining
            }
            _ => false,
        }
    }

    /// The number of a pod's newest link.
    pub(crate) fn newest_link(&self, pod: usize) -> LinkNumber {
        self.pods.get(pod).map_or(LinkNumber(0), |record| record.link)
    }

    /// The record of a pod as a router reads it.
    pub(crate) fn lease(&self, pod: usize) -> Option<Lease> {
        let record = self.pods.get(pod).filter(|r| r.incarnation.0 > 0)?;
        let place = i32::try_from(pod).ok()?;
        Some(Lease {
            pod: PodId::parse(&format!("edge-{pod}")).ok()?,
            incarnation: record.incarnation,
            link: record.link,
            expires: record.expires,
            suspect: record.suspect,
            draining: record.draining,
            consumes: Consumes {
                topic: shard_topic(Shard(record.shard)),
                normal: 2 * place,
                urgent: 2 * place + 1,
            },
            floor: record.floor,
        })
    }
}
