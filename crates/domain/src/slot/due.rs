//! The timer rounds: what is due is handled, what a stall made overdue is held back, and dead letters whose
//! retention ended are forgotten.

use super::{Call, Claimed, SlotModel, TooLate, in_time};
use crate::command::Status;
use crate::delivery::{self, Event, EventKind};
use crate::ids::{CommandId, Micros};
use crate::settings::{ROUND_NOTED_US, STALL_US};

/// What a timer round did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReply {
    /// Timers that were handled, or held back.
    pub handled: Vec<CommandId>,
    /// Dispatches that the round claimed.
    pub claimed: Vec<Claimed>,
}

impl SlotModel {
    /// Handles up to `limit` timers that are due, the earliest first.
    pub fn run_due(&mut self, limit: usize, call: &Call) -> Result<DueReply, TooLate> {
        self.run_overdue(limit, 0, call)
    }

    /// The same for timers that have been due for `late_us`: whoever should leave them to others takes only these.
    pub fn run_overdue(&mut self, limit: usize, late_us: u64, call: &Call) -> Result<DueReply, TooLate> {
        in_time(call)?;
        self.note_round(call.now);
        let mut reply = DueReply {
            handled: vec![],
            claimed: vec![],
        };
        for id in self.earliest(limit, Micros(call.now.0.saturating_sub(late_us))) {
            let Some(command) = self.commands.get(&id) else {
                continue;
            };
            let charge_point = command.request.charge_point.clone();
            let Some(kind) = delivery::due(command, call.now) else {
                continue;
            };
            reply.handled.push(id);
            if kind == EventKind::Timer && self.is_held(id, call.now) {
                self.hold_back(id);
                continue;
            }
            self.decide_and_change(id, &Event::open(kind), None, call);
            reply.claimed.extend(self.claim_lanes(&charge_point, false, call));
        }
        self.forget_dead_letters(call.now);
        Ok(reply)
    }

    /// After a stall every timer is overdue while the answers wait in the edges: for one pod lease the timers of
    /// delivered commands wait. Deadlines and the leases of claims never move.
    ///
    /// The lease is one of time in which rounds ran: of a stall within it only [`STALL_US`] count. So each late round
    /// brings the hold's end nearer, and the next hold begins only after a round that none held back: timers fire
    /// also where every round comes late.
    fn note_round(&mut self, now: Micros) {
        if self.due.is_empty() {
            return;
        }
        let gap = now.0.saturating_sub(self.last_round.0);
        if self.last_round.0 > 0 && gap > STALL_US {
            self.hold = if self.last_round < self.hold {
                self.hold.plus(gap - STALL_US)
            } else {
                now.plus(self.settings.pod_lease_us)
            };
        }
        if gap >= ROUND_NOTED_US || self.last_round > now {
            self.last_round = now;
        }
    }

    fn earliest(&self, limit: usize, due_by: Micros) -> Vec<CommandId> {
        let mut due: Vec<(Micros, CommandId)> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= due_by)
            .map(|(id, at)| (*at, *id))
            .collect();
        due.sort_by_key(|(at, id)| (*at, id.to_string()));
        due.truncate(limit);
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn is_held(&self, id: CommandId, now: Micros) -> bool {
        let delivered = |c: &crate::command::Command| c.progress.status == Status::Delivered;
        now < self.hold && self.commands.get(&id).is_some_and(delivered)
    }

    fn hold_back(&mut self, id: CommandId) {
        let hold = self.hold;
        if let Some(command) = self.commands.get_mut(&id) {
            command.progress.timer = hold;
            let next = delivery::next_due(command);
            self.due.insert(id, next);
        }
    }
}
