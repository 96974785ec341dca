//! Events of a slot go to the store in one call at a time, and what every reply of the store asks for besides.

use std::collections::VecDeque;

use domain::slot::{Applied, Claimed, EventInput};

use super::super::World;
use super::super::store::Op;
use super::pending::{Origin, Then};
use super::told::Told;
use crate::plan::Point;

/// Events of one call to the store.
const BATCH: usize = 16;

/// Events of a slot: one call at a time.
#[derive(Default)]
pub(super) struct SlotQueue {
    busy: bool,
    waiting: VecDeque<(EventInput, Origin)>,
}

impl World {
    /// Puts an event into the queue of its slot.
    pub(super) fn submit(&mut self, n: usize, input: EventInput, origin: Origin) {
        let slot = self.redis.data.slot_of_id(input.id);
        self.routers[n].slots[slot].waiting.push_back((input, origin));
        self.next_batch(n, slot);
    }

    fn next_batch(&mut self, n: usize, slot: usize) {
        let queue = &mut self.routers[n].slots[slot];
        if queue.busy || queue.waiting.is_empty() {
            return;
        }
        queue.busy = true;
        let most = queue.waiting.len().min(BATCH);
        let (inputs, origins) = queue.waiting.drain(..most).unzip();
        self.ask(n, Op::Apply(slot, inputs), Then::Apply { slot, origins });
    }

    /// A batch was applied, or not.
    pub(super) fn applied(
        &mut self,
        n: usize,
        (slot, origins): (usize, Vec<Origin>),
        result: Result<(Told, Vec<Applied>), ()>,
    ) {
        self.routers[n].slots[slot].busy = false;
        match result {
            Ok((told, mut applied)) => {
                let claimed = applied
                    .iter_mut()
                    .flat_map(|a| std::mem::take(&mut a.claimed))
                    .collect();
                if self.follow_up(n, slot, told, claimed) || self.router_dies_at(n, Point::BeforeReply) {
                    return;
                }
                for (origin, applied) in origins.into_iter().zip(applied) {
                    self.tell_origin(n, origin, Some((told.redis_now, applied)));
                }
            }
            Err(()) => {
                for origin in origins {
                    self.tell_origin(n, origin, None);
                }
            }
        }
        self.next_batch(n, slot);
    }

    /// What every reply about a slot asks for: its claims are dispatched, its outbox is looked at. True if the
    /// router died of it.
    pub(super) fn follow_up(&mut self, n: usize, slot: usize, told: Told, claimed: Vec<Claimed>) -> bool {
        if !claimed.is_empty() && self.router_dies_at(n, Point::AfterClaim) {
            return true;
        }
        for one in claimed {
            self.dispatch(n, told, one);
            if !self.routers[n].process.up {
                return true;
            }
        }
        self.wake_drain(n, slot);
        !self.routers[n].process.up
    }
}
