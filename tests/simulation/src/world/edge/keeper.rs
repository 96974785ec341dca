//! The lease as an edge keeps it: the rules of `crates/edge`'s `LeaseKeeper`, over the messages of this world.

use std::collections::BTreeMap;

use domain::ids::{Incarnation, Version};

use super::super::event::{Hello, Up};
use crate::plan::{MS, SECOND};

/// How often the lease is renewed.
const RENEW_US: u64 = 3 * SECOND;
/// How long before its end nothing is written any more.
const MARGIN_US: u64 = 500 * MS;
/// How long a reply may take.
pub(super) const REPLY_TIMEOUT_US: u64 = 4 * SECOND;
/// Pause after a request that failed.
const RETRY_US: u64 = 500 * MS;
/// Requests of the lease have this bit, so that they never equal a renewal of connections.
const LEASE_REQUESTS: u64 = 1 << 63;

/// The lease as an edge knows it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Random, fixed for the life of the process.
    pub(super) process: u64,
    pub(super) incarnation: Incarnation,
    last: Incarnation,
    /// The store's epoch; 0 before it is known.
    epoch: u32,
    /// Requests without a reply: when they were sent, and the shard that they publish.
    asked: BTreeMap<u64, (u64, Option<usize>)>,
    requests: u64,
    due: u64,
    /// Where this link's router says that the edge should consume.
    placed: Option<usize>,
    /// Where the last request said that it does.
    named: Option<usize>,
    /// Whether a newer link of this pod exists, so that nothing is published over this one.
    overtaken: bool,
}

/// A lease as a router says that it is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) request: u64,
    pub(super) incarnation: Incarnation,
    pub(super) lease_us: u64,
    pub(super) epoch: u32,
    pub(super) passed_over: bool,
}

/// What a reply means for the rest of the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Redis time was read after the first moment, and the lease is held until the second.
    Held(u64, u64),
    /// Routers were told to send there.
    Published(usize),
    Taken(Incarnation),
    Renewed,
    EpochChanged,
    Lapsed,
}

impl Keeper {
    /// A link begins.
    pub(super) fn hello(&mut self) -> Hello {
        self.asked.clear();
        self.placed = None;
        self.overtaken = false;
        Hello {
            incarnation: self.incarnation,
            process: self.process,
        }
    }

    /// The router said where to consume.
    pub(super) fn placed(&mut self, shard: usize) {
        self.placed = Some(shard);
        self.due = 0;
    }

    /// What is due. A renewal names the shard that is proven, and is due at once if that is another than before; a
    /// life is taken only where this link's router says.
    pub(super) fn due(&mut self, mono: u64, proven: Option<usize>, floor: Version) -> Option<Up> {
        let placed = self.placed?;
        let begins = self.incarnation.0 == 0;
        let moved = !begins && proven.is_some() && proven != self.named;
        if mono < self.due && !moved || begins && (proven != Some(placed) || !self.asked.is_empty()) {
            return None;
        }
        self.requests += 1;
        let request = LEASE_REQUESTS | self.requests;
        self.asked.insert(request, (mono, proven));
        self.named = proven.or(self.named);
        self.due = mono + RENEW_US;
        let (incarnation, last) = (self.incarnation, self.last);
        Some(if begins {
            Up::Take { request, last }
        } else {
            Up::Renew {
                request,
                incarnation,
                floor,
                shard: proven,
            }
        })
    }

    /// The lease is held.
    pub(super) fn held(&mut self, grant: Grant) -> Vec<Effect> {
        let Some((sent, shard)) = self.answered(grant.request) else {
            return Vec::new();
        };
        let Grant {
            incarnation, epoch, ..
        } = grant;
        let begins = self.incarnation.0 == 0;
        if incarnation.0 == 0 || (!begins && incarnation != self.incarnation) {
            return Vec::new();
        }
        let mut effects = vec![Effect::Held(
            sent,
            sent + grant.lease_us.saturating_sub(MARGIN_US),
        )];
        effects.extend(shard.filter(|_| !grant.passed_over).map(Effect::Published));
        self.overtaken |= grant.passed_over && !begins;
        if begins {
            (self.incarnation, self.last) = (incarnation, incarnation);
            if self.epoch > 0 && self.epoch != epoch {
                effects.push(Effect::EpochChanged);
            }
            effects.push(Effect::Taken(incarnation));
        } else {
            effects.push(Effect::Renewed);
            if self.epoch != epoch {
                effects.push(Effect::EpochChanged);
            }
        }
        self.epoch = epoch;
        effects
    }

    /// The lease is not held. None if the refusal says nothing new.
    pub(super) fn refused(&mut self, request: u64) -> Option<Effect> {
        if self.answered(request).is_none() || self.incarnation.0 == 0 {
            return None;
        }
        self.incarnation = Incarnation(0);
        self.asked.clear();
        self.due = 0;
        Some(Effect::Lapsed)
    }

    /// A request failed; whether it was one of the lease.
    pub(super) fn failed(&mut self, request: u64, mono: u64) -> bool {
        if self.answered(request).is_some() {
            self.due = mono + RETRY_US;
        }
        request & LEASE_REQUESTS != 0
    }

    /// Whether the link is of no use: a reply is overdue, or a newer link passed it.
    pub(super) fn is_unanswered(&self, mono: u64) -> bool {
        let late = |(sent, _): &(u64, Option<usize>)| mono.saturating_sub(*sent) >= REPLY_TIMEOUT_US;
        self.overtaken || self.asked.values().next().is_some_and(late)
    }

    fn answered(&mut self, request: u64) -> Option<(u64, Option<usize>)> {
        let sent = self.asked.remove(&request)?;
        self.asked.retain(|other, _| *other > request);
        Some(sent)
    }
}
