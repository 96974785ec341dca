//! The pods' leases, as the scripts of the store keep them.

use domain::dispatch::{Consumes, Lease};
use domain::ids::{Incarnation, LinkNumber, Micros, PodId, Version, grown};

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
            Op::Take { pod, last, process } => {
                Said::Taken(self.pods[pod].take(last, process, (now, lease_us)))
            }
            Op::RenewLease {
                pod,
                incarnation,
                floor,
            } => Said::LeaseRenewed(self.pods[pod].renew(incarnation, floor, (now, lease_us))),
            Op::Suspect(pod, incarnation, link) => {
                let record = &mut self.pods[pod];
                let marked = record.incarnation == incarnation && record.link == link;
                record.suspect |= marked;
                Said::Done(marked)
            }
            Op::Draining(pod, incarnation) => {
                let record = &mut self.pods[pod];
                record.draining |= record.incarnation == incarnation;
                Said::Done(record.draining)
            }
            Op::Lease(pod) => Said::Lease(self.lease(pod)),
            _ => Said::Leases((0..self.pods.len()).filter_map(|pod| self.lease(pod)).collect()),
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
                topic: "commands-down-shard-0".into(),
                normal: 2 * place,
                urgent: 2 * place + 1,
            },
            floor: record.floor,
        })
    }
}
