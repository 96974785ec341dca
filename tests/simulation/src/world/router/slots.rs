//! Events of a slot go to the store in one call at a time, and what every reply of the store asks for besides.

use std::collections::VecDeque;

use domain::slot::{Applied, Claimed, EventInput};

use super::super::World;
use super::super::event::{Haste, RouterEvent};
use super::super::store::Op;
use super::pending::{Origin, Then};
use super::told::Told;
use crate::plan::{MS, Point};

/// Events of one call to the store.
const BATCH: usize = 16;
/// How long what is patient waits for its turn.
const LONGEST_WAIT_US: u64 = 50 * MS;

/// Events of a slot: one call at a time.
#[derive(Default)]
pub(super) struct SlotQueue {
    busy: bool,
    waiting: VecDeque<(EventInput, Origin, Haste)>,
    /// A turn of what is patient is under way, or has come.
    turn: Turn,
}

/// Where the turn of what is patient stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Unasked,
    Asked,
    Here,
}

impl SlotQueue {
    /// Whether nobody is in a hurry for what the next call takes.
    fn is_patient(&self) -> bool {
        self.waiting.len() < BATCH && self.waiting.iter().all(|(.., haste)| *haste == Haste::Patient)
    }
}

impl World {
    /// Puts an event into the queue of its slot.
    pub(super) fn submit(&mut self, n: usize, input: EventInput, origin: Origin, haste: Haste) {
        let slot = self.redis.data.slot_of_id(input.id);
        let queue = &mut self.routers[n].slots[slot];
        queue.waiting.push_back((input, origin, haste));
        self.next_batch(n, slot);
    }

    /// What is patient has its turn. Other events may have taken it along before.
    pub(super) fn turn_came(&mut self, n: usize, slot: usize) {
        let queue = &mut self.routers[n].slots[slot];
        queue.turn = if queue.waiting.is_empty() {
            Turn::Unasked
        } else {
            Turn::Here
        };
        self.next_batch(n, slot);
    }

    fn next_batch(&mut self, n: usize, slot: usize) {
        let queue = &mut self.routers[n].slots[slot];
        if queue.busy || queue.waiting.is_empty() {
            return;
        }
        if queue.is_patient() && queue.turn != Turn::Here {
            if queue.turn == Turn::Unasked {
                queue.turn = Turn::Asked;
                let us = self.dice.below(LONGEST_WAIT_US);
                self.plan_router(n, us, RouterEvent::Turn(slot));
            }
            return;
        }
        if queue.turn == Turn::Here {
            queue.turn = Turn::Unasked;
        }
        queue.busy = true;
        let most = queue.waiting.len().min(BATCH);
        let (inputs, origins) = queue.waiting.drain(..most).map(|(i, o, _)| (i, o)).unzip();
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
