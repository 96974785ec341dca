//! The router's dispatch of one claimed command, without I/O: read the lease of the pod, then produce to
//! the place that the lease names, or give the claim back. Everything else (the answer timer, a lost
//! notice) is the store's timer's business: a dispatch that dies here is a claim whose lease ends.

use crate::command::Route;
use crate::ids::{Incarnation, LinkNumber, Micros, PodId, Version};

/// What a router reads of a pod: a hint that decides whether to send or to give back, never whether a
/// write is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The pod.
    pub pod: PodId,
    /// Its present life.
    pub incarnation: Incarnation,
    /// The link that it last opened.
    pub link: LinkNumber,
    /// When it lapses, Redis time.
    pub expires: Micros,
    /// Its link broke and was not opened again.
    pub suspect: bool,
    /// It is going away.
    pub draining: bool,
    /// Where it consumes.
    pub consumes: Consumes,
    /// The highest connection version that it holds.
    pub floor: Version,
}

/// The topic and the partitions that a pod consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumes {
    /// The topic.
    pub topic: String,
    /// The partition of its normal lane.
    pub normal: i32,
    /// The partition of its urgent lane.
    pub urgent: i32,
}

/// What happened to a dispatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The lease record was read; none if there is none.
    LeaseRead(Option<Lease>),
    /// The lease record could not be read.
    LeaseUnreadable,
    /// The broker has the record.
    Produced,
    /// The broker does not have it, or did not say so in time.
    ProduceFailed,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Produce the record there.
    Produce(Consumes),
    /// Tell the store that the dispatch is undelivered: the command waits again, no attempt spent.
    GiveBack(Why),
    /// Nothing: the edge speaks next, or the claim's lease ends.
    Done,
}

/// Why a dispatch was given back; a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No lease, or it lapsed.
    NoLease,
    /// The pod lives another life.
    OtherIncarnation,
    /// Its link is broken, or it drains.
    Suspect,
    /// The claim is older than its own lease: a peer may have claimed it again.
    TooOld,
    /// Kafka did not take it.
    ProduceFailed,
}

/// Decides the next step of a dispatch that was claimed under `route` until `claim_ends`.
#[must_use]
pub fn step(route: &Route, claim_ends: Micros, now: Micros, input: Input) -> Step {
    match input {
        Input::LeaseRead(lease) => match refuse(route, claim_ends, now, lease.as_ref()) {
            Some(why) => Step::GiveBack(why),
            None => lease.map_or(Step::Done, |l| Step::Produce(l.consumes)),
        },
        // Without the lease nothing is known of the pod; the claim's lease returns the command.
        Input::LeaseUnreadable | Input::Produced => Step::Done,
        Input::ProduceFailed => Step::GiveBack(Why::ProduceFailed),
    }
}

fn refuse(route: &Route, claim_ends: Micros, now: Micros, lease: Option<&Lease>) -> Option<Why> {
    let Some(lease) = lease.filter(|l| l.expires > now) else {
        return Some(Why::NoLease);
    };
    if lease.incarnation != route.incarnation {
        return Some(Why::OtherIncarnation);
    }
    if lease.suspect || lease.draining {
        return Some(Why::Suspect);
    }
    (claim_ends <= now).then_some(Why::TooOld)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lease {
        Lease {
            pod: PodId::parse("edge-1").unwrap(),
            incarnation: Incarnation(7),
            link: LinkNumber(1),
            expires: Micros(100),
            suspect: false,
            draining: false,
            consumes: Consumes {
                topic: "commands-down-shard-0".into(),
                normal: 1,
                urgent: 9,
            },
            floor: Version(0),
        }
    }

    fn read(lease: Option<Lease>, now: u64) -> Step {
        let route = Route {
            pod: PodId::parse("edge-1").unwrap(),
            incarnation: Incarnation(7),
            version: Version(3),
        };
        step(&route, Micros(60), Micros(now), Input::LeaseRead(lease))
    }

    #[test]
    fn a_live_lease_names_the_place() {
        assert_eq!(read(Some(lease()), 50), Step::Produce(lease().consumes));
    }

    #[test]
    fn whatever_cannot_arrive_is_given_back_at_once() {
        assert_eq!(read(None, 50), Step::GiveBack(Why::NoLease));
        assert_eq!(read(Some(lease()), 100), Step::GiveBack(Why::NoLease));
        assert_eq!(read(Some(lease()), 60), Step::GiveBack(Why::TooOld));
        let other = Lease {
            incarnation: Incarnation(8),
            ..lease()
        };
        assert_eq!(read(Some(other), 50), Step::GiveBack(Why::OtherIncarnation));
        assert_eq!(
            read(
                Some(Lease {
                    suspect: true,
                    ..lease()
                }),
                50
            ),
            Step::GiveBack(Why::Suspect)
        );
        assert_eq!(
            read(
                Some(Lease {
                    draining: true,
                    ..lease()
                }),
                50
            ),
            Step::GiveBack(Why::Suspect)
        );
    }
}
