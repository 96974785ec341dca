//! What a router does of its own accord, and what every operation of the slot has in common. A router remembers nothing
//! but its claims.

use domain::delivery::{Event, EventKind, Verdict};
use domain::edge::Input;
use domain::ids::LinkNumber;
use domain::slot::{AcceptReply, Applied, Call, Claimed, EventInput, NoteKind, SlotModel};

use super::spent::forget_what_decides_nothing;
use crate::cases::{Case, Fault};
use crate::judge::Before;
use crate::part::Part;
use crate::scale::JITTER;
use crate::state::{Message, State, command_id, command_of, edge_of, request};

/// Timers and notes of one round.
const LIMIT: usize = 100;

impl State {
    /// The next command is accepted.
    pub(crate) fn accept(&mut self, case: &Case) {
        let command = usize::from(self.sent);
        let Some(spec) = case.commands.get(command) else {
            return;
        };
        self.sent += 1;
        let request = request(case, command, *spec);
        let accepted = self.on_slot(|slot, call| slot.accept(request, call));
        let claimed = match accepted {
            Ok(AcceptReply::Accepted { claimed, .. }) => claimed,
            _ => vec![],
        };
        self.after(self.router_of(command), claimed, true);
    }

    /// A caller takes a command back.
    pub(crate) fn cancel(&mut self, command: u8) {
        let input = EventInput {
            id: command_id(usize::from(command)),
            event: Event::open(EventKind::Cancel),
            answer: None,
            charge_point: None,
        };
        self.apply(1, &input);
    }

    /// A round of timers.
    pub(crate) fn run_due(&mut self, router: u8) {
        let done = self.on_slot(|slot, call| slot.run_due(LIMIT, call));
        self.after(router, done.map(|d| d.claimed).unwrap_or_default(), false);
    }

    /// Kicks and cancels go out as soon as they are due; those for a life that is over have nobody to tell.
    pub(crate) fn send_notes(&mut self) {
        let now = self.time();
        if self.store.slot.notes.values().all(|n| n.next_send > now) {
            return;
        }
        let notes = self.store.edit().slot.notes_to_send(now, LIMIT);
        for (charge_point, note) in notes {
            let edge = edge_of(&note.pod);
            let lease = self.store.pods[usize::from(edge)];
            if lease.incarnation != note.incarnation || lease.expires <= now {
                self.store.edit().slot.note_done(&charge_point, &note.name());
                continue;
            }
            let incarnation = note.incarnation;
            let input = match note.kind {
                NoteKind::Kick { version, .. } => Input::Kick {
                    incarnation,
                    charge_point,
                    version,
                },
                NoteKind::Cancel { id, deadline } => Input::Cancel {
                    incarnation,
                    charge_point,
                    id,
                    deadline,
                },
            };
            self.post(Message::Record { edge, input });
        }
    }

    pub(super) fn apply(&mut self, router: u8, input: &EventInput) -> Option<Applied> {
        let before = Before::of(&self.store.slot, Some(command_of(input.id)));
        let applied = self.on_slot(|slot, call| slot.apply(input, call)).ok()?;
        let verdict = applied.verdict.unwrap_or(Verdict::Stale);
        self.judge
            .see_event(&before, &self.store.slot, &input.event, verdict);
        let barrier = matches!(
            input.event.kind,
            EventKind::Intent | EventKind::NonWrite | EventKind::Answer | EventKind::Cancel
        );
        self.after(router, applied.claimed.clone(), barrier);
        Some(applied)
    }

    /// One operation of the store.
    pub(super) fn on_slot<R>(&mut self, operation: impl FnOnce(&mut SlotModel, &Call) -> R) -> R {
        let now = self.time();
        let epoch = self.store.epoch.to_string();
        let call = Call {
            now,
            not_after: now,
            epoch: &epoch,
            jitter: JITTER,
        };
        operation(&mut self.store.edit().slot, &call)
    }

    /// What follows every operation: the judge looks, claims go to the router, the barrier is passed.
    pub(super) fn after(&mut self, router: u8, claimed: Vec<Claimed>, barrier: bool) {
        let (now, ends) = (self.time(), self.judge.ends());
        let store = self.store.edit();
        for one in &claimed {
            let id = one.command.request.id;
            if let Some(command) = store.slot.commands.get_mut(&id) {
                command.progress.dispatch = self.judge.next_dispatch(command_of(id));
            }
        }
        self.judge.see_slot(&mut store.slot, self.charger.replied);
        forget_what_decides_nothing(&mut store.slot, now);
        let router = if self.left.has(Fault::RouterCrash) {
            router
        } else {
            0
        };
        for mut claimed in claimed {
            // As the slot has it now, with its number.
            if let Some(command) = self.store.slot.commands.get(&claimed.command.request.id) {
                claimed.command = command.clone();
            }
            self.post(Message::Claim {
                router,
                claimed: Box::new(claimed),
            });
        }
        self.send_notes();
        if self.barrier && (barrier || self.judge.ends() > ends) {
            self.flush();
        }
    }

    /// All that the store holds is durable.
    pub(crate) fn flush(&mut self) {
        if let Some(durable) = &mut self.durable {
            *durable = Part::new(self.store.slot.clone());
        }
    }

    /// Answers by the link that the word came by, if it still is.
    pub(super) fn tell(&mut self, (edge, link): (u8, LinkNumber), input: Input) {
        let now = &self.edges[usize::from(edge)];
        if now.link.is_some() && now.link_number == link {
            self.post(Message::Down { edge, input });
        }
    }

    fn router_of(&self, command: usize) -> u8 {
        u8::from(command > 0)
    }
}
