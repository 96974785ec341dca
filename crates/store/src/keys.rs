//! The keys of the store. Within a slot every key starts with the slot's base, whose hash tag keeps the slot
//! on one Redis server; the scripts build the rest of a key from the base:
//!
//! `:d:<cp>` device · `:q:<cp>` queue · `:c:<id>` open command, `:p:<id>` its payload, `:h:<id>` its former attempts ·
//! `:e:<id>` ended command · `:k:<cp>:<key>` idempotency key · `:all` every command by charger and id · `:dl` dead
//! letters by when they are forgotten · `:due` timers · `:m` counters and the timer rounds · `:out`
//! outbox · `:notes` and `:nq` kicks and cancels · `:conn` connected chargers · `:drain` drain lease · `:ch` channel
//! of changes.

use domain::ids::Slot;

/// The version of this layout; it is pinned, so that two versions never share a store.
pub(crate) const SCHEMA: u32 = 2;

/// A part of the store that scripts run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// One slot.
    Slot(Slot),
    /// The leases of the pods.
    Pods,
}

/// Builds keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
    slots: u16,
}

impl Keys {
    /// Keys of a store of so many slots.
    pub(crate) fn new(prefix: &str, slots: u16) -> Self {
        Self {
            prefix: prefix.to_owned(),
            slots,
        }
    }

    /// The only key that a script is given.
    pub(crate) fn base(&self, place: Place) -> String {
        match place {
            Place::Slot(slot) => format!("{}:{{s{slot}}}", self.prefix),
            Place::Pods => format!("{}:{{pods}}", self.prefix),
        }
    }

    /// Where a place's state is kept in an array of all places.
    pub(crate) fn index(&self, place: Place) -> usize {
        match place {
            Place::Slot(slot) => usize::from(slot.0.min(self.slots.saturating_sub(1))),
            Place::Pods => usize::from(self.slots),
        }
    }

    /// Every place, in the order of their indexes.
    pub(crate) fn places(&self) -> Vec<Place> {
        (0..self.slots)
            .map(|s| Place::Slot(Slot(s)))
            .chain([Place::Pods])
            .collect()
    }

    /// The pins of slot count, hash and schema; they lie with the leases.
    pub(crate) fn pins(&self) -> String {
        format!("{}:meta", self.base(Place::Pods))
    }

    /// What the pins must say.
    pub(crate) fn pinned(&self) -> String {
        format!("schema={SCHEMA} slots={} hash=siphash13", self.slots)
    }

    /// The pattern of every slot's channel of changes.
    pub(crate) fn channels(&self) -> String {
        format!("{}:{{s*}}:ch", self.prefix)
    }
}
