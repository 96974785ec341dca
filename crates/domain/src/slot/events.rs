//! Events on commands: decided by `delivery`, applied here.

use super::{Call, Claimed, Note, NoteKind, OutboxEntry, OutboxKind, SlotModel, TooLate, in_time};
use crate::command::{Answer, Attempt, Command, RedeliveryClass, Status, remember};
use crate::delivery::{self, Also, Attempts, Change, Event, EventKind, Place, Timer, Verdict};
use crate::ids::{ChargePointId, CommandId, Micros};
use crate::mutant::{self, Mutant};

/// An event from outside, with the answer if it brings one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInput {
    /// The command.
    pub id: CommandId,
    /// What happened.
    pub event: Event,
    /// The charger's answer, of an `Answer` event.
    pub answer: Option<Answer>,
    /// The charger that the sender speaks of, where it says so; an event of another charger's command is stale.
    pub charge_point: Option<ChargePointId>,
}

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// None if the command is not known.
    pub verdict: Option<Verdict>,
    /// The command's status afterwards.
    pub status: Option<Status>,
    /// The end of the grant, where one is current.
    pub write_before: Micros,
    /// Dispatches that the operation claimed.
    pub claimed: Vec<Claimed>,
}

impl SlotModel {
    /// Applies an event, and claims what it made due.
    pub fn apply(&mut self, input: &EventInput, call: &Call) -> Result<Applied, TooLate> {
        in_time(call)?;
        let Some(command) = self.commands.get(&input.id) else {
            return Ok(Applied {
                verdict: None,
                status: None,
                write_before: Micros(0),
                claimed: vec![],
            });
        };
        let charge_point = command.request.charge_point.clone();
        if input.charge_point.as_ref().is_some_and(|c| *c != charge_point) {
            return Ok(Applied {
                verdict: Some(Verdict::Stale),
                status: Some(command.progress.status),
                write_before: Micros(0),
                claimed: vec![],
            });
        }
        let verdict = self.decide_and_change(input.id, &input.event, input.answer.as_ref(), call);
        let claimed = self.claim_lanes(&charge_point, false, call);
        let progress = self.commands.get(&input.id).map(|c| &c.progress);
        Ok(Applied {
            verdict: Some(verdict),
            status: progress.map(|p| p.status),
            write_before: progress.map_or(Micros(0), |p| p.write_before),
            claimed,
        })
    }

    pub(super) fn decide_and_change(
        &mut self,
        id: CommandId,
        event: &Event,
        answer: Option<&Answer>,
        call: &Call,
    ) -> Verdict {
        let Some(command) = self.commands.get(&id) else {
            return Verdict::Stale;
        };
        let transition = delivery::step(command, event, call.epoch);
        if let Some(change) = transition.change {
            self.change(id, &change, event, answer, call);
        } else if event.kind == EventKind::Answer && command.progress.status != Status::Acknowledged {
            self.late_answer(id, answer);
        }
        transition.verdict
    }

    fn change(
        &mut self,
        id: CommandId,
        change: &Change,
        event: &Event,
        answer: Option<&Answer>,
        call: &Call,
    ) {
        let settings = self.settings.clone();
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        if let Some(attempt) = over(command, change) {
            remember(self.attempts.entry(id).or_default(), attempt);
        }
        set_progress(command, change, event, call, &settings);
        if change.to == Status::Acknowledged {
            command.progress.answer = answer.cloned();
        }
        let next = delivery::next_due(command);
        let charge_point = command.request.charge_point.clone();
        self.due.insert(id, next);
        if change.timer == Timer::DispatchLease && mutant::active(Mutant::DropTimer) {
            self.due.remove(&id);
        }
        self.place(id, change.place);
        match change.also {
            Also::TombstoneRoute => {
                self.tombstone(&charge_point, event.incarnation, event.version);
            }
            Also::CancelNote => self.cancel_note(id),
            Also::Nothing | Also::Grant => {}
        }
        if change.to.is_terminal() {
            self.end(id, change.is_dead_letter(), call);
        }
    }

    fn place(&mut self, id: CommandId, place: Place) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let (charge_point, score) = (command.request.charge_point.clone(), command.score);
        let lane = command.request.priority.lane();
        let queue = self.queues.entry(charge_point.clone()).or_default();
        match place {
            Place::Keep => {}
            Place::Queue => drop(queue.insert(score, id)),
            Place::Lane | Place::Aside | Place::Gone => drop(queue.remove(&score)),
        }
        let held = self.device(&charge_point).lane_mut(lane);
        match place {
            Place::Keep => {}
            Place::Lane => *held = Some(id),
            Place::Queue | Place::Aside | Place::Gone => *held = held.filter(|h| *h != id),
        }
    }

    fn end(&mut self, id: CommandId, dead_letter: bool, call: &Call) {
        self.due.remove(&id);
        let Some(charge_point) = self.commands.get(&id).map(|c| c.request.charge_point.clone()) else {
            return;
        };
        let device = self.device(&charge_point);
        device.open = device.open.saturating_sub(1);
        device.results += 1;
        let (sequence, ocpp_version) = (device.results, device.ocpp_version.clone());
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        command.progress.ended = call.now;
        command.progress.result_sequence = sequence;
        command.shed(dead_letter);
        let command = command.clone();
        let attempts = if dead_letter {
            self.attempts.get(&id).cloned()
        } else {
            self.attempts.remove(&id);
            None
        };
        if !mutant::active(Mutant::SilentEnd) {
            self.push_outbox(OutboxEntry {
                kind: OutboxKind::Ended { dead_letter },
                command,
                attempts: attempts.unwrap_or_default(),
                ocpp_version,
            });
        }
        if dead_letter {
            self.bury(id, call.now);
        }
    }

    fn late_answer(&mut self, id: CommandId, answer: Option<&Answer>) {
        if let (Some(command), Some(answer)) = (self.commands.get(&id), answer) {
            let kind = OutboxKind::LateAnswer(answer.clone());
            let device = self.devices.get(&command.request.charge_point);
            let entry = OutboxEntry {
                kind,
                command: command.clone(),
                attempts: vec![],
                ocpp_version: device.map(|d| d.ocpp_version.clone()).unwrap_or_default(),
            };
            self.push_outbox(entry);
        }
    }

    fn cancel_note(&mut self, id: CommandId) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let Some(route) = command.progress.route.clone() else {
            return;
        };
        let note = Note {
            pod: route.pod,
            incarnation: route.incarnation,
            kind: NoteKind::Cancel {
                id,
                deadline: command.deadline,
            },
            next_send: Micros(0),
        };
        self.notes
            .insert((command.request.charge_point.clone(), note.name()), note);
    }
}

/// The attempt that a change brings to its end.
fn over(command: &Command, change: &Change) -> Option<Attempt> {
    let p = &command.progress;
    Some(Attempt {
        number: p.attempts,
        at: p.attempt_at,
        outcome: change.attempt_over?,
        route: p.route.clone()?,
    })
}

fn set_progress(
    command: &mut Command,
    change: &Change,
    event: &Event,
    call: &Call,
    settings: &crate::settings::DeliverySettings,
) {
    let p = &mut command.progress;
    let returned = change.to == Status::Pending && p.status != Status::Pending;
    match change.attempts {
        Attempts::Keep => {}
        Attempts::Spend => (p.attempts, p.misses) = (p.attempts + 1, 0),
        Attempts::Return => p.attempts = p.attempts.saturating_sub(1),
    }
    if returned && p.status == Status::Sent || change.attempts == Attempts::Return {
        p.misses += 1;
    }
    p.attempt_at = match change.attempts {
        Attempts::Spend => call.now,
        _ if change.to == Status::Delivered => p.attempt_at,
        _ => Micros(0),
    };
    p.status = change.to;
    p.reason = change.reason;
    p.possibly_written = change.possibly_written;
    p.mark = change.mark.unwrap_or(p.mark);
    p.revision += 1;
    if change.also == Also::Grant {
        p.nonce = event.nonce;
        p.write_before = call.now.plus(settings.grant_us);
    }
    let answer_us = command.request.answer_timeout_us;
    p.timer = match change.timer {
        Timer::Keep => p.timer,
        Timer::Clear => Micros(0),
        Timer::DispatchLease => call.now.plus(settings.dispatch_lease_us),
        Timer::Answer => call.now.plus(answer_us),
        Timer::Settle => call
            .now
            .plus(settings.grant_us)
            .plus(answer_us)
            .plus(settings.pod_lease_us),
        Timer::Backoff => call
            .now
            .plus(settings.backoff_us((p.attempts + p.misses).max(1), call.jitter)),
    };
    debug_assert!(change.also != Also::Grant || command.request.class == RedeliveryClass::Unsafe);
}
