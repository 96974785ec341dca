//! What all chargers of a simulator did, counted. Leaves out the per-charger story, which is in the log.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::charger::Turn;

/// A snapshot of the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Stats {
    /// Connections open now.
    pub connected: u64,
    /// Connections ever opened.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Chargers whose BootNotification was accepted.
    pub booted: u64,
    /// CALLs received.
    pub received: u64,
    /// Those among them whose messageId was known already.
    pub duplicates: u64,
    /// Answers written.
    pub answered: u64,
    /// CALLs of the chargers.
    pub calls_sent: u64,
    /// Answers to them.
    pub results_received: u64,
    /// CALLs of the chargers that were not answered in time.
    pub timeouts: u64,
    /// Messages that are not OCPP-J.
    pub bad_messages: u64,
}

/// The counts, shared by all tasks.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    connected: AtomicU64,
    connects: AtomicU64,
    connect_failures: AtomicU64,
    booted: AtomicU64,
    received: AtomicU64,
    duplicates: AtomicU64,
    answered: AtomicU64,
    calls_sent: AtomicU64,
    results_received: AtomicU64,
    timeouts: AtomicU64,
    bad_messages: AtomicU64,
}

impl Counters {
    pub(crate) fn connected(&self) {
        self.connects.fetch_add(1, Relaxed);
        self.connected.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connected.fetch_sub(1, Relaxed);
    }

    pub(crate) fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Relaxed);
    }

    /// Adds what a turn did. Most of it is zero, and a shared cache line is not touched for that.
    pub(crate) fn add(&self, turn: &Turn) {
        let counts = &turn.counts;
        for (counter, count) in [
            (&self.booted, counts.booted),
            (&self.received, counts.received),
            (&self.duplicates, counts.duplicates),
            (&self.answered, counts.answered),
            (&self.calls_sent, counts.calls_sent),
            (&self.results_received, counts.results_received),
            (&self.timeouts, counts.timeouts),
            (&self.bad_messages, counts.bad_messages),
        ] {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            connected: self.connected.load(Relaxed),
            connects: self.connects.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            booted: self.booted.load(Relaxed),
            received: self.received.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            answered: self.answered.load(Relaxed),
            calls_sent: self.calls_sent.load(Relaxed),
            results_received: self.results_received.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            bad_messages: self.bad_messages.load(Relaxed),
        }
    }
}
