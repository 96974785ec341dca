//! What an edge says of commands of low priority: the rules of `crates/edge`'s `LinkQueue`. It leaves the edge together
//! with more of its kind, and whatever else is said meanwhile overtakes it. It is gone with its link.

use domain::command::Priority;
use domain::edge::Item;

use super::super::World;
use super::super::event::{EdgeEvent, Haste, Up};
use super::Edge;
use crate::plan::MS;

/// What lingers on the link of the moment.
#[derive(Debug, Default)]
pub(super) struct Patient {
    waiting: Vec<Item>,
    /// When the last of it left.
    left: Option<u64>,
}

impl Edge {
    /// Whether an item is about a command of low priority and asks for nothing that the charger waits for.
    pub(super) fn is_patient(&self, item: &Item) -> bool {
        let id = match item {
            Item::Written { dispatch } => dispatch.id,
            Item::Answer { id, .. } => *id,
            _ => return false,
        };
        self.machine.priority_of(id) == Priority::Low
    }
}

impl World {
    /// An item waits for its kind. A rare one leaves with the next turn of the loop, in which others go before it.
    pub(super) fn linger(&mut self, n: usize, item: Item) {
        let Some(link) = self.edges[n].link.filter(|l| l.open) else {
            return;
        };
        let (now, linger_us, turn_us) = (self.schedule.now(), self.plan.linger_us, self.dice.below(MS));
        let patient = &mut self.edges[n].patient;
        patient.waiting.push(item);
        if patient.waiting.len() == 1 {
            let earliest = patient.left.map_or(now, |left| left + linger_us);
            let us = earliest.saturating_sub(now) + turn_us;
            self.plan_edge(n, us, EdgeEvent::Leave { wire: link.wire });
        }
    }

    /// What lingers leaves together.
    pub(super) fn leave(&mut self, n: usize, wire: u64) {
        if self.link_of(n) != Some(wire) {
            return;
        }
        let now = self.schedule.now();
        let patient = &mut self.edges[n].patient;
        patient.left = Some(now);
        for item in std::mem::take(&mut patient.waiting) {
            self.send_up(n, Up::Item(item, Haste::Patient));
        }
    }

    /// Something leaves that does not wait.
    pub(super) fn note_overtaking(&mut self, n: usize) {
        if !self.edges[n].patient.waiting.is_empty() {
            self.stats.saw("patient items are overtaken");
        }
    }
}
