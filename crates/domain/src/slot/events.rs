//! Events on commands: decided by `delivery`, applied here; and the claims that follow wherever a lane
//! became free or work became due.

use super::{Call, Claimed, Note, NoteKind, OutboxEntry, OutboxKind, SlotModel, TooLate, in_time};
use crate::command::{Answer, Command, Lane, RedeliveryClass, Route, Status};
use crate::delivery::{self, Also, Attempts, Change, Event, EventKind, Place, Timer, Verdict};
use crate::ids::{ChargePointId, CommandId, DispatchNumber, Micros, Nonce, grown};

/// An event from outside, with the answer if it brings one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventInput {
    /// The command.
    pub id: CommandId,
    /// What happened.
    pub event: Event,
    /// The charger's answer, of an `Answer` event.
    pub answer: Option<Answer>,
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

/// What a timer round did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReply {
    /// Timers that were handled.
    pub handled: Vec<CommandId>,
    /// Dispatches that the round claimed.
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

    /// Handles up to `limit` timers that are due, the earliest first.
    pub fn run_due(&mut self, limit: usize, call: &Call) -> Result<DueReply, TooLate> {
        in_time(call)?;
        let mut due: Vec<(Micros, CommandId)> = self
            .due
            .iter()
            .filter(|(_, at)| **at <= call.now)
            .map(|(id, at)| (*at, *id))
            .collect();
        due.sort_by_key(|(at, id)| (*at, id.to_string()));
        due.truncate(limit);
        let mut reply = DueReply {
            handled: vec![],
            claimed: vec![],
        };
        for (_, id) in due {
            let Some(command) = self.commands.get(&id) else {
                continue;
            };
            let charge_point = command.request.charge_point.clone();
            let Some(kind) = delivery::due(command, call.now) else {
                continue;
            };
            self.decide_and_change(id, &Event::open(kind), None, call);
            reply.handled.push(id);
            reply.claimed.extend(self.claim_lanes(&charge_point, false, call));
        }
        Ok(reply)
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

    /// Claims the head of each lane that is free, if the charger has a route. With `force`, a backoff does
    /// not hold the head back.
    pub(super) fn claim_lanes(&mut self, id: &ChargePointId, force: bool, call: &Call) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        for lane in Lane::ALL {
            let free = self
                .devices
                .get(id)
                .is_some_and(|d| d.has_route(call.now) && d.lane(lane).is_none());
            if let Some(head) = self.head(id, lane, call.now).filter(|_| free)
                && (force
                    || self
                        .commands
                        .get(&head)
                        .is_some_and(|c| c.progress.timer <= call.now))
            {
                self.claim(head, call);
                claimed.extend(self.commands.get(&head).map(|c| Claimed { command: c.clone() }));
            }
        }
        claimed
    }

    /// The first command of a lane whose deadline is ahead.
    fn head(&self, id: &ChargePointId, lane: Lane, now: Micros) -> Option<CommandId> {
        self.queues.get(id)?.values().copied().find(|c| {
            self.commands
                .get(c)
                .is_some_and(|c| c.request.priority.lane() == lane && c.deadline > now)
        })
    }

    fn claim(&mut self, id: CommandId, call: &Call) {
        let event = Event::open(EventKind::Claim);
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let device = self.devices.get(&command.request.charge_point);
        command.progress.route = device.and_then(|d| {
            Some(Route {
                pod: d.pod.clone()?,
                incarnation: d.incarnation,
                version: d.version,
            })
        });
        command.progress.dispatch = DispatchNumber(grown(command.progress.dispatch.0, 0, call.now));
        command.progress.nonce = Nonce(0);
        command.progress.write_before = Micros(0);
        self.decide_and_change(id, &event, None, call);
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
        set_progress(command, change, event, call, &settings);
        if change.to == Status::Acknowledged {
            command.progress.answer = answer.cloned();
        }
        let next = delivery::next_due(command);
        let charge_point = command.request.charge_point.clone();
        self.due.insert(id, next);
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
        let sequence = device.results;
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        command.progress.ended = call.now;
        command.progress.result_sequence = sequence;
        let entry = OutboxEntry {
            kind: OutboxKind::Ended { dead_letter },
            command: command.clone(),
        };
        self.push_outbox(entry);
    }

    fn late_answer(&mut self, id: CommandId, answer: Option<&Answer>) {
        if let (Some(command), Some(answer)) = (self.commands.get(&id), answer) {
            let kind = OutboxKind::LateAnswer(answer.clone());
            let entry = OutboxEntry {
                kind,
                command: command.clone(),
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
