//! What a run, and a campaign of runs, did.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    /// Things that happened.
    pub events: u64,
    /// Commands that the store accepted.
    pub commands: u64,
    /// CALLs that edges wrote.
    pub writes: u64,
    /// Commands that ended, by how.
    pub ends: BTreeMap<&'static str, u64>,
    /// Faults that struck, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each invariant was put to the test.
    pub exercised: BTreeMap<u8, u64>,
    /// How often rules with a judgement of their own were put to the test.
    pub rules: BTreeMap<&'static str, u64>,
    /// How often something came about that makes other orders possible.
    pub orders: BTreeMap<&'static str, u64>,
    /// From the mending until everything had drained; of many runs the longest.
    pub recovery_us: u64,
}

impl Stats {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.commands += other.commands;
        self.writes += other.writes;
        add_all(&mut self.ends, &other.ends);
        add_all(&mut self.faults, &other.faults);
        add_all(&mut self.exercised, &other.exercised);
        add_all(&mut self.rules, &other.rules);
        add_all(&mut self.orders, &other.orders);
        self.recovery_us = self.recovery_us.max(other.recovery_us);
    }
}

impl Stats {
    /// Something came about once more.
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.orders.entry(what).or_default() += 1;
    }
}

fn add_all<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(*key).or_default() += count;
    }
}
