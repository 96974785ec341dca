//! Leases of pods. They lie outside the slots, so they are a hint there: they decide whether to park or to
//! send, never whether a write is allowed.

use domain::dispatch::{Consumes, Lease};
use domain::ids::{Incarnation, LinkNumber, Micros, Nonce, PodId, Version};

use crate::keys::Place;
use crate::reply::{Reader, Reply};
use crate::{Store, StoreError, scripts};

/// What linking answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkReply {
    /// The link's number.
    pub link: LinkNumber,
    /// The pod's record, perhaps lapsed; none for a pod never seen. Its place is where the pod consumed.
    pub lease: Option<Lease>,
}

/// Asks for a new life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taking {
    /// The link that the request came over, where that is known.
    pub link: Option<LinkNumber>,
    /// The pod.
    pub pod: PodId,
    /// The process's last life; 0 for a new process.
    pub last_own: Incarnation,
    /// Random, fixed for the life of the process.
    pub process: Nonce,
    /// Where it consumes.
    pub consumes: Consumes,
}

/// What taking a life answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeReply {
    /// A new life, with a lease.
    Taken {
        /// Its number.
        incarnation: Incarnation,
        /// When its lease lapses unless it is renewed; past if a repetition came over an older link, and too late.
        expires: Micros,
        /// Whether the lease names the place of this request; a repetition changes it not.
        placed: bool,
    },
    /// Another process took a newer life of this pod, or a life over a newer link: exit.
    Superseded,
}

/// What renewing a lease answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It lasts until then.
    Renewed {
        /// When it lapses unless it is renewed.
        expires: Micros,
        /// Whether it came over an older link than the pod's newest: the place was passed over.
        late: bool,
    },
    /// It had lapsed, or the store has lost it: take a new life.
    Lapsed,
    /// A newer life of this pod exists: exit.
    Superseded,
}

/// What may be said of a life without its own doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// This link of it broke; another link since then wins.
    Suspect(LinkNumber),
    /// It drains: no claims to it any more.
    Draining,
}

impl Store {
    /// Raises the pod's link number. If the edge names the present life, that life is suspect no more.
    pub async fn link(&self, pod: &PodId, incarnation: Incarnation) -> Result<Reply<LinkReply>, StoreError> {
        let args = vec![pod.to_string(), incarnation.to_string()];
        let read = |r: &mut Reader| {
            Ok(LinkReply {
                link: LinkNumber(r.number()?),
                lease: r.list(read_lease)?.into_iter().next(),
            })
        };
        self.call(scripts::LINK_POD, Place::Pods, args, read).await
    }

    /// Takes a new life with a lease. Behind the barrier. A repetition by the same process, whose reply was
    /// lost, is answered as before while the lease lasts, and prolongs it unless it came over an older link; over such
    /// a link it is answered so also after the lease, as the process may have gone on by the newer one.
    pub async fn take_incarnation(&self, t: &Taking) -> Result<Reply<TakeReply>, StoreError> {
        let args = vec![
            t.pod.to_string(),
            t.last_own.to_string(),
            t.process.to_string(),
            t.consumes.topic.clone(),
            t.consumes.normal.to_string(),
            t.consumes.urgent.to_string(),
            link_or_empty(t.link),
        ];
        let read = |r: &mut Reader| match r.text()?.as_str() {
            "taken" => Ok(TakeReply::Taken {
                incarnation: Incarnation(r.number()?),
                expires: r.micros()?,
                placed: r.flag()?,
            }),
            "superseded" => Ok(TakeReply::Superseded),
            other => Err(r.error(format!("unknown answer {other:?}"))),
        };
        self.call(scripts::TAKE_INCARNATION, Place::Pods, args, read)
            .await
    }

    /// Renews a lease that has not lapsed, and notes the highest version that the edge holds, the epoch that
    /// it has seen, and where it consumes if that changed. Over an older link than the pod's newest, the place is
    /// passed over, because the edge may have left it since.
    pub async fn renew_lease(
        &self,
        link: Option<LinkNumber>,
        pod: &PodId,
        incarnation: Incarnation,
        floor: Version,
        epoch_seen: &str,
        consumes: Option<&Consumes>,
    ) -> Result<Reply<Renewal>, StoreError> {
        let mut args = vec![
            pod.to_string(),
            incarnation.to_string(),
            floor.to_string(),
            epoch_seen.to_owned(),
            link_or_empty(link),
        ];
        if let Some(place) = consumes {
            args.extend([
                place.topic.clone(),
                place.normal.to_string(),
                place.urgent.to_string(),
            ]);
        }
        let read = |r: &mut Reader| match r.text()?.as_str() {
            "renewed" => Ok(Renewal::Renewed {
                expires: r.micros()?,
                late: r.flag()?,
            }),
            "lapsed" => Ok(Renewal::Lapsed),
            "superseded" => Ok(Renewal::Superseded),
            other => Err(r.error(format!("unknown answer {other:?}"))),
        };
        self.call(scripts::RENEW_LEASE, Place::Pods, args, read).await
    }

    /// Marks a life as suspect or as draining; false if the mark speaks of a former life or link.
    pub async fn mark_pod(
        &self,
        pod: &PodId,
        incarnation: Incarnation,
        mark: Mark,
    ) -> Result<Reply<bool>, StoreError> {
        let mut args = vec![pod.to_string(), incarnation.to_string()];
        match mark {
            Mark::Suspect(link) => args.extend(["suspect".to_owned(), link.to_string()]),
            Mark::Draining => args.push("draining".to_owned()),
        }
        self.call(scripts::MARK_POD, Place::Pods, args, Reader::flag)
            .await
    }

    /// A pod's record, perhaps lapsed.
    pub async fn lease(&self, pod: &PodId) -> Result<Reply<Option<Lease>>, StoreError> {
        let read = |r: &mut Reader| Ok(r.list(read_lease)?.into_iter().next());
        self.call(scripts::GET_LEASE, Place::Pods, vec![pod.to_string()], read)
            .await
    }

    /// Every pod's record, also the lapsed ones, by the end of their leases.
    pub async fn leases(&self) -> Result<Reply<Vec<Lease>>, StoreError> {
        self.call(scripts::LIST_LEASES, Place::Pods, vec![], |r| r.list(read_lease))
            .await
    }

    /// Forgets the record of a pod whose lease lapsed more than `age_us` ago; false if it did not.
    pub async fn forget_lease(&self, pod: &PodId, age_us: u64) -> Result<Reply<bool>, StoreError> {
        let args = vec![pod.to_string(), age_us.to_string()];
        self.call(scripts::FORGET_LEASE, Place::Pods, args, Reader::flag)
            .await
    }
}

/// A link's number as the scripts take it.
fn link_or_empty(link: Option<LinkNumber>) -> String {
    link.map_or_else(String::new, |link| link.to_string())
}

fn read_lease(r: &mut Reader) -> Result<Lease, StoreError> {
    Ok(Lease {
        pod: r.pod()?,
        incarnation: Incarnation(r.number()?),
        link: LinkNumber(r.number()?),
        expires: r.micros()?,
        suspect: r.flag()?,
        draining: r.flag()?,
        consumes: Consumes {
            topic: r.text()?,
            normal: r.number()?,
            urgent: r.number()?,
        },
        floor: Version(r.number()?),
    })
}
