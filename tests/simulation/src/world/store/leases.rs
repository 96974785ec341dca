//! The pods' leases, as the scripts of the store keep them.

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
    Taken(Incarnation, Micros),
    Superseded,
}

/// What renewing a lease is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RenewReply {
    Renewed(Micros),
    Lapsed,
    Superseded,
}

impl TakeReply {
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Taken(incarnation, _) => incarnation.0,
            Self::Superseded => 1_100,
        }
    }
}

impl RenewReply {
    pub(crate) fn code(self) -> u64 {
        match self {
            Self::Renewed(expires) => expires.0,
            Self::Lapsed => 1_101,
            Self::Superseded => 1_102,
        }
    }
}

impl Pod {
    /// A new life. The same process asking again, because the reply was lost, gets the same.
    fn take(&mut self, last: Incarnation, process: u64, (now, lease_us): (Micros, u64)) -> TakeReply {
        if last.0 > 0 && self.incarnation > last && self.process != process {
            return TakeReply::Superseded;
        }
        let repeated = self.process == process && self.incarnation > last && self.expires > now;
        if !repeated {
            self.incarnation = Incarnation(grown(self.incarnation.0, last.0, now));
        }
        (self.process, self.expires) = (process, now.plus(lease_us));
        (self.suspect, self.draining) = (false, false);
        TakeReply::Taken(self.incarnation, self.expires)
    }

    /// A lapsed lease is never renewed.
    fn renew(
        &mut self,
        incarnation: Incarnation,
        floor: Version,
        (now, lease_us): (Micros, u64),
    ) -> RenewReply {
        if self.incarnation > incarnation {
            return RenewReply::Superseded;
        }
        if self.incarnation < incarnation || self.expires <= now {
            return RenewReply::Lapsed;
        }
        (self.floor, self.expires) = (self.floor.max(floor), now.plus(lease_us));
        RenewReply::Renewed(self.expires)
    }
}

impl Data {
    pub(super) fn execute_lease(&mut self, op: &Op, now: Micros) -> Said {
        let lease_us = self.slots.first().map_or(0, |s| s.settings.pod_lease_us);
        match *op {
            Op::Link(pod, incarnation) => {
                let record = &mut self.pods[pod];
                record.link.0 += 1;
                record.suspect &= record.incarnation != incarnation;
                Said::Linked(record.link)
            }
            Op::Take {
                pod,
                last,
                process,
                shard,
            } => {
                let record = &mut self.pods[pod];
                let before = (record.incarnation, record.shard);
                let reply = record.take(last, process, (now, lease_us));
                if matches!(reply, TakeReply::Taken(..)) {
                    record.shard = u32::try_from(shard).unwrap_or(0);
                }
                let again = before.0 == record.incarnation;
                self.places_taken_back += u32::from(again && before.1 != record.shard);
                Said::Taken(reply)
            }
            Op::RenewLease {
                pod,
                incarnation,
                floor,
                shard,
            } => {
                let reply = self.pods[pod].renew(incarnation, floor, (now, lease_us));
                if let (RenewReply::Renewed(_), Some(shard)) = (reply, shard) {
                    self.pods[pod].shard = u32::try_from(shard).unwrap_or(0);
                }
                Said::LeaseRenewed(reply)
            }
            Op::Lease(pod) => Said::Lease(self.lease(pod)),
            Op::Leases => Said::Leases((0..self.pods.len()).filter_map(|pod| self.lease(pod)).collect()),
            ref mark => Said::Done(self.mark(mark)),
        }
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
