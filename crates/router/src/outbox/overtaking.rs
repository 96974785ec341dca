//! What is on its way from each slot, so that a second drain may pass it without passing any charger's own records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use domain::command::Priority;
use domain::ids::{ChargePointId, Slot};
use domain::slot::OutboxEntry;
use store::DrainReply;

use crate::precedence::Haste;

/// What the first drain of each slot found.
#[derive(Debug, Default)]
pub(super) struct OnTheirWay(HashMap<Slot, Before>);

/// What one drain knows of those that it shares its slot with.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// The last entry that the first drain found; 0 if it found notes only.
    pub(super) number: u64,
    chargers: Arc<HashSet<ChargePointId>>,
    drains: Arc<AtomicU8>,
}

impl OnTheirWay {
    /// The first drain of a slot found this.
    #[must_use]
    pub(super) fn begin(&mut self, slot: Slot, found: &DrainReply) -> Before {
        let chargers = found.entries.iter().map(|(_, entry)| charger(entry).clone());
        let before = Before {
            number: found.entries.last().map_or(0, |(number, _)| *number),
            chargers: Arc::new(chargers.collect()),
            drains: Arc::new(AtomicU8::new(1)),
        };
        self.0.insert(slot, before.clone());
        before
    }

    /// A second drain begins beside the first. Like the first it has to [`Before::leave`].
    #[must_use]
    pub(super) fn join(&self, slot: Slot) -> Option<Before> {
        let before = self.0.get(&slot)?.clone();
        before.drains.fetch_add(1, Ordering::AcqRel);
        Some(before)
    }

    /// The first drain of a slot ended.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.0.remove(&slot);
    }
}

impl Before {
    /// Leaves of these entries those that the second drain sends, and tells how soon the others are to leave; none where
    /// there are no others. Those of a charger of which an earlier record may be on its way stay, and what is of low
    /// priority: its records wait for more on their way to Kafka, and no further drain would begin meanwhile.
    pub(super) fn take_what_may_pass(&self, entries: &mut Vec<(u64, OutboxEntry)>) -> Option<Haste> {
        let (mut behind, mut stay) = (HashSet::new(), None);
        entries.retain(|(_, entry)| {
            let of = charger(entry);
            let is_low = entry.command.request.priority == Priority::Low;
            let stays = is_low || self.chargers.contains(of) || behind.contains(of);
            if stays {
                behind.insert(of.clone());
                stay = stay.max(Some(if is_low { Haste::Patient } else { Haste::Now }));
            }
            !stays
        });
        stay
    }

    /// One of the slot's drains has sent all it will; true if it was the last of them.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        self.drains.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

fn charger(entry: &OutboxEntry) -> &ChargePointId {
    &entry.command.request.charge_point
}
