//! The network: how long a message takes, which ways are cut, and the order that a stream keeps.

use std::collections::BTreeMap;

use super::{Node, World};
use crate::plan::MS;

/// Cuts and streams.
#[derive(Debug, Default)]
pub(crate) struct Net {
    /// Until when nothing comes through from one to another.
    cuts: BTreeMap<(Node, Node), u64>,
    /// When the last message of a stream arrives.
    streams: BTreeMap<Stream, u64>,
    /// Names of wires and connections.
    names: u64,
}

/// What keeps its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// A link, towards the router or back.
    Wire(u64, bool),
    /// A router's records in a lane.
    Lane(usize, usize),
    /// A charger's connection, towards the charger or back.
    Socket(u64, bool),
}

impl World {
    /// When a message from one to another arrives that is sent now.
    pub(super) fn arrival(&mut self, from: Node, to: Node) -> u64 {
        let base = self.schedule.now() + self.delay();
        match self.net.cuts.get(&(from, to)) {
            Some(until) if *until > self.schedule.now() => base.max(*until + self.dice.below(20 * MS)),
            _ => base,
        }
    }

    /// The same for a message of a stream: not before the one before it.
    pub(super) fn arrival_in(&mut self, stream: Stream, from: Node, to: Node) -> u64 {
        let at = self.arrival(from, to);
        self.in_order(stream, at)
    }

    /// Keeps the order of a stream.
    pub(super) fn in_order(&mut self, stream: Stream, at: u64) -> u64 {
        let last = self.net.streams.entry(stream).or_default();
        *last = at.max(*last);
        *last
    }

    /// Nothing comes through from one to another for a while.
    pub(super) fn cut(&mut self, from: Node, to: Node, until: u64) {
        let cut = self.net.cuts.entry((from, to)).or_default();
        *cut = until.max(*cut);
    }

    /// Whether nothing comes through.
    pub(super) fn is_cut(&self, from: Node, to: Node) -> bool {
        self.net
            .cuts
            .get(&(from, to))
            .is_some_and(|until| *until > self.schedule.now())
    }

    /// Everything comes through again.
    pub(super) fn mend_network(&mut self) {
        self.net.cuts.clear();
    }

    /// A name that was never given.
    pub(super) fn new_name(&mut self) -> u64 {
        self.net.names += 1;
        self.net.names
    }

    /// How long a message takes: mostly little, sometimes much.
    pub(super) fn delay(&mut self) -> u64 {
        let usual = if self.healed { 0 } else { self.plan.slow_us };
        let most = self.weather.slow_us.max(usual).max(2 * MS);
        match self.dice.below(16) {
            0 => self.dice.between(100, 4 * most),
            1..4 => self.dice.between(100, most),
            _ => self.dice.between(100, 2 * MS),
        }
    }
}
