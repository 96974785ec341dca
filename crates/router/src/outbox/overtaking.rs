//! What is on its way from each slot, so that a second drain may pass it without passing any charger's own records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use domain::ids::{ChargePointId, Slot};
use domain::slot::OutboxEntry;
use store::DrainReply;

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
    /// Whether an earlier record of its charger may still be on its way.
    pub(super) fn is_on_its_way(&self, entry: &OutboxEntry) -> bool {
        self.chargers.contains(charger(entry))
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
