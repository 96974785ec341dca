//! What can have no effect any more is taken away: messages, and fields of the slot that no decision reads. States that
//! differ by such things alone are one.

use domain::command::Status;
use domain::delivery::{self, Verdict};
use domain::edge::{Input, Item};
use domain::ids::{DispatchNumber, Incarnation, Micros, Nonce};
use domain::slot::{Call, SlotModel};

use super::items::event_of;
use crate::scale::JITTER;
use crate::state::{Message, State};

impl State {
    /// Takes away what is spent. Lives, links, versions, dispatches and sockets only grow, so it stays so.
    pub(crate) fn drop_what_is_spent(&mut self) {
        let mut net = std::mem::take(&mut self.net);
        net.retain(|envelope| !self.is_spent(&envelope.message));
        self.net = net;
    }

    fn is_spent(&self, message: &Message) -> bool {
        match message {
            Message::Suspect {
                edge,
                incarnation,
                link,
                ..
            } => {
                let pod = self.store.pods[usize::from(*edge)];
                pod.incarnation != *incarnation || pod.link != *link
            }
            Message::Record { edge, input } => self.is_of_a_former_life(*edge, input),
            Message::SocketEnd { edge, socket } => {
                let edge = &self.edges[usize::from(*edge)];
                let known = edge.machine.socket_of(&crate::state::charge_point()) == Some(*socket);
                let mail = edge.mail.iter().any(|(s, _)| s == socket);
                !known && !mail && edge.call.is_none_or(|call| call.socket != *socket)
            }
            Message::Up { item, .. } => self.is_stale(item),
            Message::Down { .. } | Message::Claim { .. } => false,
        }
    }

    /// An edge ignores what is for another life than its own.
    fn is_of_a_former_life(&self, edge: u8, input: &Input) -> bool {
        let place = usize::from(edge);
        let (Input::Record {
            incarnation: life, ..
        }
        | Input::Kick {
            incarnation: life, ..
        }
        | Input::Cancel {
            incarnation: life, ..
        }) = input
        else {
            return false;
        };
        !self.edges[place].alive || *life < self.store.pods[place].incarnation || *life == Incarnation(0)
    }

    /// A notice or a refusal that the slot refuses now, or the end of a connection that is not the registered one:
    /// nobody is answered. The slot itself is asked, lest a bug in it be hidden here, and where it may roll back, also
    /// what it would roll back to.
    fn is_stale(&self, item: &Item) -> bool {
        let now = self.time();
        let call = Call {
            now,
            not_after: now,
            epoch: "",
            jitter: JITTER,
        };
        let durable = self.durable.as_deref();
        is_stale(&self.store.slot, item, &call) && durable.is_none_or(|slot| is_stale(slot, item, &call))
    }
}

fn is_stale(slot: &SlotModel, item: &Item, call: &Call) -> bool {
    match item {
        Item::Written { .. } | Item::Refusal { .. } => {
            let Some(input) = event_of(item) else { return false };
            slot.commands.get(&input.id).is_some_and(|command| {
                let former = command.progress.dispatch > input.event.dispatch;
                let verdict = delivery::step(command, &input.event, call.epoch).verdict;
                (former || command.progress.status.is_terminal())
                    && matches!(verdict, Verdict::Stale | Verdict::Ended)
            })
        }
        Item::Unregister {
            charge_point,
            incarnation,
            version,
        } => {
            let former = slot.devices.values().next().is_some_and(|d| d.version > *version);
            former
                && slot
                    .clone()
                    .unregister(charge_point, *incarnation, *version, call)
                    == Ok(false)
        }
        _ => false,
    }
}

/// Takes out of the slot what no decision reads, so that states which behave alike are equal.
pub(super) fn forget_what_decides_nothing(slot: &mut SlotModel, now: Micros) {
    slot.outbox_numbers = 0;
    slot.attempts.clear();
    for entry in slot.dead_letters.values_mut() {
        entry.forget = Micros(u64::MAX);
    }
    if slot.hold <= now {
        slot.hold = Micros(0);
    }
    if slot.due.is_empty() {
        slot.last_round = Micros(0);
    }
    for device in slot.devices.values_mut() {
        device.registered = Micros(0);
        if device.connected {
            device.expires = Micros(u64::MAX);
        }
    }
    for command in slot.commands.values_mut() {
        let p = &mut command.progress;
        (p.revision, p.result_sequence, p.misses) = (0, 0, p.misses.min(1));
        p.attempt_at = Micros(0);
        if p.status == Status::Pending {
            (p.nonce, p.write_before) = (Nonce(0), Micros(0));
        }
        if p.status.is_terminal() {
            (p.dispatch, p.route, p.nonce) = (DispatchNumber(0), None, Nonce(0));
            (p.write_before, p.timer, p.ended) = (Micros(0), Micros(0), Micros(0));
            (p.attempts, p.misses) = (0, 0);
        }
    }
}
