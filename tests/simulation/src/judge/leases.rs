//! The judge at the leases of pods: they move forward only, whatever comes late or twice.

use domain::dispatch::Lease;
use domain::ids::{Incarnation, LinkNumber, Micros, Shard};
use domain::topics::shard_topic;

use super::Judge;
use crate::world::{Data, Op, RenewReply, Said, TakeReply};

impl Judge {
    /// A script about a lease ran.
    pub(super) fn judge_lease(
        &mut self,
        op: &Op,
        before: Option<&Lease>,
        said: &Said,
        data: &Data,
        now: Micros,
    ) {
        let (pod, after) = match *op {
            Op::Link(pod, _) | Op::Suspect(pod, ..) | Op::Take { pod, .. } | Op::RenewLease { pod, .. } => {
                (pod, data.lease(pod))
            }
            _ => return,
        };
        if let (Some(before), Some(after)) = (before, &after) {
            self.judge_forward(op, before, after);
            match *op {
                Op::Take { shard, .. } => self.judge_taken(op, before, after, said, shard),
                Op::RenewLease { incarnation, .. } => {
                    self.judge_renewed((op, incarnation), before, after, said, now);
                }
                Op::Suspect(_, _, link) if link < self.newest_link(pod) => {
                    self.late(op, after.suspect == before.suspect);
                }
                _ => {}
            }
        }
        self.note_lease(op, before, said, now);
    }

    /// No request takes a lease back to an older link, to an older life, or in time: but where the clock was taken back
    /// with the store.
    fn judge_forward(&mut self, op: &Op, before: &Lease, after: &Lease) {
        let forward = after.incarnation >= before.incarnation
            && after.link >= before.link
            && (after.expires >= before.expires || self.rollbacks > 0)
            && after.floor >= before.floor;
        self.rule("a lease moves only forward", 8, forward, || {
            format!("{}: from {before:?} to {after:?}", brief(op))
        });
    }

    /// Who asks again for the life that it has is moved nowhere; over an older link, nothing else changes either. The
    /// reply tells where routers send.
    fn judge_taken(&mut self, op: &Op, before: &Lease, after: &Lease, said: &Said, shard: usize) {
        let Said::Taken(TakeReply::Taken { placed, .. }) = *said else {
            let why = || format!("{}: superseded, yet {before:?} became {after:?}", brief(op));
            return self.expect(8, before == after, why);
        };
        let there = after.consumes.topic == topic(shard);
        self.check(21, placed == there, || {
            format!("{}: told {placed}, and the lease is {after:?}", brief(op))
        });
        if after.incarnation != before.incarnation {
            return;
        }
        let stays = after.consumes == before.consumes && after.draining == before.draining;
        self.rule("a life that is asked for again", 21, stays, || {
            format!("{}: from {before:?} to {after:?}", brief(op))
        });
        if self.is_late(op) {
            self.late(op, before == after);
        }
    }

    /// A lapsed life, and a former one, is not renewed; over an older link a renewal names no place.
    fn judge_renewed(
        &mut self,
        (op, renewed): (&Op, Incarnation),
        before: &Lease,
        after: &Lease,
        said: &Said,
        now: Micros,
    ) {
        let changed = || format!("{}: from {before:?} to {after:?}", brief(op));
        let Said::LeaseRenewed(RenewReply::Renewed { late, .. }) = *said else {
            return self.expect(10, before == after, changed);
        };
        let lives = before.incarnation == renewed && before.expires > now;
        self.check(10, lives, changed);
        let expected = self.is_late(op);
        let marks = (after.suspect, after.draining) == (before.suspect, before.draining);
        if expected {
            self.late(op, marks && after.consumes == before.consumes);
        }
        let told = || format!("{}: told that it is late: {late}, after {before:?}", brief(op));
        self.expect(21, late == expected, told);
        if let Op::RenewLease {
            shard: Some(shard), ..
        } = *op
            && !expected
        {
            self.check(21, marks && after.consumes.topic == topic(shard), changed);
        }
    }

    /// What came over an older link than the newest left what it must not change.
    fn late(&mut self, op: &Op, untouched: bool) {
        let name = match op {
            Op::Take { .. } => "a life asked for over an older link",
            Op::Suspect(..) => "suspicion of an older link",
            _ => "a renewal over an older link",
        };
        self.rule(name, 21, untouched, || {
            format!("{} came late and changed the lease", brief(op))
        });
    }

    /// Until when a life may write, and over which link, by the judge's own reckoning.
    fn note_lease(&mut self, op: &Op, before: Option<&Lease>, said: &Said, now: Micros) {
        let end = now.plus(self.settings.pod_lease_us);
        match (op, said) {
            (Op::Link(pod, _), Said::Linked(link)) => {
                let newest = self.links.entry(*pod).or_default();
                let grows = *link > *newest;
                *newest = *link;
                self.expect(8, grows, || format!("a link of edge {pod} has an old number"));
            }
            (Op::Take { pod, .. }, Said::Taken(TakeReply::Taken { incarnation, .. })) => {
                let again = before.is_some_and(|lease| lease.incarnation == *incarnation);
                if !(again && self.is_late(op)) {
                    self.leases.insert((*pod, incarnation.0), end);
                }
            }
            (Op::RenewLease { pod, incarnation, .. }, Said::LeaseRenewed(RenewReply::Renewed { .. })) => {
                self.leases.insert((*pod, incarnation.0), end);
            }
            _ => {}
        }
    }

    /// Whether a request came over an older link than the pod's newest.
    fn is_late(&self, op: &Op) -> bool {
        match *op {
            Op::Take { pod, link, .. } | Op::RenewLease { pod, link, .. } => link < self.newest_link(pod),
            _ => false,
        }
    }

    fn newest_link(&self, pod: usize) -> LinkNumber {
        self.links.get(&pod).copied().unwrap_or_default()
    }
}

/// What the trace says of a request.
pub(super) fn brief(op: &Op) -> String {
    match op {
        Op::Link(pod, incarnation) => format!("link of edge {pod} in life {}", last_digits(*incarnation)),
        Op::Suspect(pod, _, link) => format!("suspect edge {pod} over link {link}"),
        Op::Take { pod, link, shard, .. } => {
            format!("a life for edge {pod} over link {link} in shard {shard}")
        }
        Op::RenewLease {
            pod,
            link,
            incarnation,
            shard,
            ..
        } => {
            let life = last_digits(*incarnation);
            format!("renew life {life} of edge {pod} over link {link} in shard {shard:?}")
        }
        other => format!("{other:?}"),
    }
}

fn last_digits(incarnation: Incarnation) -> u64 {
    incarnation.0 % 100_000_000
}

fn topic(shard: usize) -> String {
    shard_topic(Shard(u32::try_from(shard).unwrap_or_default()))
}
