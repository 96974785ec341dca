//! Acceptance: the idempotency key, the bounds, the queue, and the command's own claim.

use super::{ARRIVALS, Call, Claimed, KeyEntry, SlotModel, TooLate, in_time};
use crate::command::{Command, Deadline, Progress, Request, Status};
use crate::ids::{CommandId, Micros};

/// What acceptance answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptReply {
    /// Durable, once the barrier is passed.
    Accepted {
        /// Its status now.
        status: Status,
        /// Dispatches that the operation claimed.
        claimed: Vec<Claimed>,
    },
    /// The key names a command accepted earlier, with the same content.
    Known {
        /// That command.
        id: CommandId,
        /// Its status; none if it is no longer retained.
        status: Option<Status>,
    },
    /// Nothing was accepted.
    Refused(AcceptRefusal),
}

/// Why nothing was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AcceptRefusal {
    /// The key names a command with other content.
    #[error("the idempotency key was used with other content")]
    OtherContent,
    /// The charger has its most open commands.
    #[error("the charge point has {0} open commands, the limit")]
    QueueFull(u32),
    /// The slot's outbox is at its bound: Kafka has been away for long.
    #[error("{0} results wait to leave for Kafka, the limit")]
    OutboxFull(u32),
    /// The deadline is not in the future.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// The deadline is beyond the configured maximum.
    #[error("the deadline is beyond the maximum")]
    DeadlineTooFar,
}

impl SlotModel {
    /// Accepts a command.
    pub fn accept(&mut self, request: Request, call: &Call) -> Result<AcceptReply, TooLate> {
        in_time(call)?;
        if let Some(known) = self.known(&request) {
            return Ok(known);
        }
        let deadline = match self.admit(&request, call.now) {
            Ok(deadline) => deadline,
            Err(refusal) => return Ok(AcceptReply::Refused(refusal)),
        };
        let id = request.id;
        let charge_point = request.charge_point.clone();
        self.insert(request, deadline, call);
        let claimed = self.claim_lanes(&charge_point, false, call);
        let status = self
            .commands
            .get(&id)
            .map_or(Status::Pending, |c| c.progress.status);
        Ok(AcceptReply::Accepted { status, claimed })
    }

    fn known(&self, request: &Request) -> Option<AcceptReply> {
        let wanted = request.idempotency.as_ref()?;
        let entry = self
            .keys
            .get(&(request.charge_point.clone(), wanted.key.clone()))?;
        if entry.content_hash != wanted.content_hash {
            return Some(AcceptReply::Refused(AcceptRefusal::OtherContent));
        }
        let status = self.commands.get(&entry.id).map(|c| c.progress.status);
        Some(AcceptReply::Known { id: entry.id, status })
    }

    fn admit(&self, request: &Request, now: Micros) -> Result<Micros, AcceptRefusal> {
        let deadline = match request.deadline {
            Deadline::After(us) => now.plus(us),
            Deadline::At { at, .. } if at <= now => return Err(AcceptRefusal::DeadlinePassed),
            Deadline::At { at, max_us } if at > now.plus(max_us) => {
                return Err(AcceptRefusal::DeadlineTooFar);
            }
            Deadline::At { at, .. } => at,
        };
        let s = &self.settings;
        if self
            .devices
            .get(&request.charge_point)
            .is_some_and(|d| d.open >= s.max_open_per_charger)
        {
            return Err(AcceptRefusal::QueueFull(s.max_open_per_charger));
        }
        if self.outbox.len() >= s.max_outbox as usize {
            return Err(AcceptRefusal::OutboxFull(s.max_outbox));
        }
        Ok(deadline)
    }

    fn insert(&mut self, mut request: Request, deadline: Micros, call: &Call) {
        self.arrivals += 1;
        let score = u64::from(3 - request.priority.number()) * ARRIVALS + self.arrivals;
        request.deadline = Deadline::At {
            at: deadline,
            max_us: 0,
        };
        if let Some(wanted) = &mut request.idempotency {
            let entry = KeyEntry {
                id: request.id,
                content_hash: std::mem::take(&mut wanted.content_hash),
            };
            self.keys
                .insert((request.charge_point.clone(), wanted.key.clone()), entry);
        }
        self.device(&request.charge_point).open += 1;
        self.queues
            .entry(request.charge_point.clone())
            .or_default()
            .insert(score, request.id);
        if self.due.is_empty() {
            // Nobody looked after timers while there were none; that is no stall.
            self.last_round = call.now;
        }
        self.due.insert(request.id, deadline);
        let command = Command {
            created: call.now,
            deadline,
            score,
            epoch: call.epoch.to_owned(),
            progress: Progress::accepted(),
            request,
        };
        self.commands.insert(command.request.id, command);
    }
}
