//! The lease of this pod's life, without I/O: what is said to the router and when, and what its replies mean.
//!
//! A lease counts from the sending of the last confirmed renewal. A lapsed one is never renewed: a new life is
//! taken, once both lanes are proven by canaries. Leaves out the link itself and what a new life means for the
//! connections.

use std::collections::BTreeMap;

use domain::dispatch::Consumes;
use domain::ids::{Incarnation, LinkNumber, PodId, Version};
use wire::gateway::link::v1::{
    Goodbye, Hello, Lease, LeaseRefused, Placement, RenewLease, TakeIncarnation, UpItem, up_item,
};

use crate::error::EdgeError;

/// Requests of the lease have this bit, so that they never equal a renewal of connections.
const LEASE_REQUESTS: u64 = 1 << 63;
/// Pause after a request about the lease that failed.
const RETRY_US: u64 = 500_000;

/// Who keeps a lease, and how.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The pod.
    pub pod: PodId,
    /// Random, fixed for the life of the process.
    pub process_nonce: u64,
    /// How often the lease is renewed.
    pub renew_us: u64,
    /// How long before its end nothing is written any more.
    pub margin_us: u64,
    /// How long a reply may take.
    pub reply_timeout_us: u64,
}

/// The lease as this edge knows it.
#[derive(Debug)]
pub struct LeaseKeeper {
    settings: LeaseSettings,
    incarnation: Incarnation,
    last_incarnation: Incarnation,
    link: LinkNumber,
    epoch: String,
    /// Requests without a reply.
    asked: BTreeMap<u64, Asked>,
    requests: u64,
    /// When a request is due.
    due_us: u64,
    /// Where this link's router says that the edge should consume; none until it said so.
    placed: Option<Consumes>,
    /// The place that the last request named.
    named: Option<Consumes>,
    /// Whether a newer link of this pod exists, so that nothing is published over this one.
    overtaken: bool,
}

/// A request without a reply.
#[derive(Debug)]
struct Asked {
    sent_us: u64,
    /// The place that the router publishes with it.
    consumes: Option<Consumes>,
}

/// What a reply means for the rest of the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Redis time was read after this moment, and the lease is held until that one.
    Held {
        /// When the confirmed request was sent.
        sent_us: u64,
        /// Until when the edge may write.
        until_us: u64,
    },
    /// Routers were told to send there.
    Published(Consumes),
    /// A new life began.
    Taken(Incarnation),
    /// The same life goes on.
    Renewed,
    /// The store may have lost something.
    EpochChanged,
    /// The life is over.
    Lapsed,
}

impl LeaseKeeper {
    /// A process that has no life yet.
    #[must_use]
    pub fn new(settings: LeaseSettings) -> Self {
        Self {
            settings,
            incarnation: Incarnation(0),
            last_incarnation: Incarnation(0),
            link: LinkNumber(0),
            epoch: String::new(),
            asked: BTreeMap::new(),
            requests: 0,
            due_us: 0,
            placed: None,
            named: None,
            overtaken: false,
        }
    }

    /// A link begins: what is said first.
    pub fn hello(&mut self) -> UpItem {
        self.asked.clear();
        self.placed = None;
        self.overtaken = false;
        up(up_item::Item::Hello(Hello {
            pod_id: self.settings.pod.to_string(),
            incarnation: self.incarnation.0,
            last_incarnation: self.last_incarnation.0,
            process_nonce: self.settings.process_nonce,
        }))
    }

    /// The router said where to consume; the lease is renewed at once.
    pub fn placed(&mut self, placement: &Placement) {
        self.placed = Some(Consumes {
            topic: placement.topic.clone(),
            normal: placement.normal_partition,
            urgent: placement.urgent_partition,
        });
        self.link = LinkNumber(placement.link_number);
        self.due_us = 0;
    }

    /// What is due. `proven`: the place where canaries of late prove that both lanes are consumed. A renewal names it,
    /// and one is due at once when it is another than before; a life is taken only where this link's router publishes.
    pub fn due(&mut self, now_us: u64, proven: Option<&Consumes>, floor: Version) -> Option<UpItem> {
        let placed = self.placed.as_ref()?;
        let begins = self.incarnation.0 == 0;
        let moved = !begins && proven.is_some() && proven != self.named.as_ref();
        if now_us < self.due_us && !moved || begins && (proven != Some(placed) || !self.asked.is_empty()) {
            return None;
        }
        self.requests += 1;
        let request = LEASE_REQUESTS | self.requests;
        let asked = Asked {
            sent_us: now_us,
            consumes: proven.cloned(),
        };
        self.asked.insert(request, asked);
        self.named = proven.cloned().or(self.named.take());
        self.due_us = now_us.saturating_add(self.settings.renew_us);
        let last_incarnation = self.last_incarnation.0;
        Some(up(if begins {
            up_item::Item::TakeIncarnation(TakeIncarnation {
                request,
                last_incarnation,
            })
        } else {
            up_item::Item::RenewLease(RenewLease {
                request,
                incarnation: self.incarnation.0,
                floor_version: floor.0,
                store_epoch: self.epoch.clone(),
                consumes: proven.map(|place| Placement {
                    topic: place.topic.clone(),
                    normal_partition: place.normal,
                    urgent_partition: place.urgent,
                    link_number: self.link.0,
                }),
            })
        }))
    }

    /// The lease is held.
    pub fn held(&mut self, lease: &Lease) -> Vec<Effect> {
        let Some(Asked { sent_us, consumes }) = self.answered(lease.request) else {
            return Vec::new();
        };
        let begins = self.incarnation.0 == 0;
        let incarnation = Incarnation(lease.incarnation);
        if incarnation.0 == 0 || (!begins && incarnation != self.incarnation) {
            return Vec::new();
        }
        let lease_us = u64::from(lease.lease_ms) * 1_000;
        let until_us = sent_us.saturating_add(lease_us.saturating_sub(self.settings.margin_us));
        let mut effects = vec![Effect::Held { sent_us, until_us }];
        effects.extend(consumes.filter(|_| !lease.passed_over).map(Effect::Published));
        self.overtaken |= lease.passed_over && !begins;
        if begins {
            (self.incarnation, self.last_incarnation) = (incarnation, incarnation);
            // Before the life begins, so that its registrations wait until every edge has published its floor.
            if !self.epoch.is_empty() && self.epoch != lease.store_epoch {
                effects.push(Effect::EpochChanged);
            }
            effects.push(Effect::Taken(incarnation));
        } else {
            // A changed epoch holds registrations back until the next renewal, so it comes after this one.
            effects.push(Effect::Renewed);
            // That renewal is a whole interval away: by then every other edge has renewed as well.
            if self.epoch != lease.store_epoch {
                effects.push(Effect::EpochChanged);
            }
        }
        self.epoch.clone_from(&lease.store_epoch);
        effects
    }

    /// The lease is not held.
    pub fn refused(&mut self, refused: &LeaseRefused) -> Result<Option<Effect>, EdgeError> {
        if refused.superseded {
            return Err(EdgeError::Superseded {
                pod: self.settings.pod.to_string(),
            });
        }
        if self.answered(refused.request).is_none() || self.incarnation.0 == 0 {
            return Ok(None);
        }
        self.incarnation = Incarnation(0);
        self.asked.clear();
        self.due_us = 0;
        Ok(Some(Effect::Lapsed))
    }

    /// A request could not be handled; whether it was one of the lease.
    pub fn failed(&mut self, request: u64, now_us: u64) -> bool {
        if self.answered(request).is_some() {
            self.due_us = now_us.saturating_add(RETRY_US);
        }
        request & LEASE_REQUESTS != 0
    }

    /// Whether this link is of no use: a reply is overdue, or a newer link passed it.
    #[must_use]
    pub fn is_unanswered(&self, now_us: u64) -> bool {
        let late = |asked: &Asked| now_us.saturating_sub(asked.sent_us) >= self.settings.reply_timeout_us;
        self.overtaken || self.asked.values().next().is_some_and(late)
    }

    /// What is said before the edge drains.
    #[must_use]
    pub fn goodbye(&self) -> UpItem {
        up(up_item::Item::Goodbye(Goodbye {
            incarnation: self.incarnation.0,
        }))
    }

    /// The present life; 0 for none.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The latest life, also when it is over; 0 for none.
    #[must_use]
    pub fn last_incarnation(&self) -> Incarnation {
        self.last_incarnation
    }

    /// Takes a request off the list, and those sent before it: a late reply to them says nothing new.
    fn answered(&mut self, request: u64) -> Option<Asked> {
        let asked = self.asked.remove(&request)?;
        self.asked.retain(|other, _| *other > request);
        Some(asked)
    }
}

fn up(item: up_item::Item) -> UpItem {
    UpItem {
        item: Some(item),
        patient: false,
    }
}

#[cfg(test)]
mod tests;
