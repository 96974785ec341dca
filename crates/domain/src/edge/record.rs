//! Records from Kafka: ignored, dropped, held, refused, answered from memory, or taken. None blocks its
//! partition. Cancels are here too, because they decide what is not taken.

use super::item::cancel_note;
use super::machine::{Cx, EdgeMachine};
use super::memory::{Conn, Content, Remembered, Stage, Waiting};
use super::{DispatchRef, Item, RefusalReason, RoutedCommand};
use crate::command::RedeliveryClass;
use crate::ids::{ChargePointId, CommandId, Incarnation, Micros};

/// Records held for a registration; what is beyond comes again when the lease of its claim ends.
const HELD_MAX: usize = 4;

/// What a charger's connection says to a record.
enum Route {
    /// The record is for it.
    Current,
    /// The registration in flight may be what the record is for.
    Held,
    /// The record is for another connection.
    Stale,
}

/// What the memory of a command says to a record of a higher dispatch.
enum Known {
    /// Take it, if the rest allows.
    Take,
    /// Say what happened.
    Tell(Item),
    /// Nothing.
    Drop,
}

impl RoutedCommand {
    pub(super) fn into_dispatch_ref(self) -> DispatchRef {
        DispatchRef {
            id: self.id,
            charge_point: self.charge_point,
            dispatch: self.dispatch,
            version: self.version,
        }
    }
}

impl EdgeMachine {
    /// Takes a record, in the order of checks that the protocol gives.
    pub(super) fn record(&mut self, incarnation: Incarnation, command: RoutedCommand, cx: &mut Cx) {
        if incarnation.0 == 0 || incarnation != self.incarnation {
            return;
        }
        self.forget_impostor(command.id, &command.charge_point);
        if self
            .commands
            .get(&command.id)
            .is_some_and(|known| command.dispatch <= known.dispatch)
        {
            return;
        }
        match self.known(&command) {
            Known::Drop => return self.adopt_dispatch(&command, cx),
            Known::Tell(item) => {
                self.adopt_dispatch(&command, cx);
                return self.tell(command.id, item, cx);
            }
            Known::Take => {}
        }
        match self.route(&command) {
            Route::Held => return self.hold(command),
            Route::Stale => return self.refuse_record(command, RefusalReason::StaleRoute, cx),
            Route::Current => {}
        }
        if !cx.time.lease_is_held() {
            return self.refuse_record(command, RefusalReason::NotReady, cx);
        }
        self.take(command, cx);
    }

    /// Remembers not to write a command. One that is granted says so, and the store ends it in the same step.
    pub(super) fn cancel(
        &mut self,
        incarnation: Incarnation,
        charge_point: &ChargePointId,
        id: CommandId,
        deadline: Micros,
        cx: &mut Cx,
    ) {
        if incarnation != self.incarnation {
            return;
        }
        self.forget_impostor(id, charge_point);
        let fresh = || Remembered::new(charge_point.clone(), RedeliveryClass::Safe, deadline);
        let command = self.commands.entry(id).or_insert_with(fresh);
        command.cancelled = true;
        self.drop_unwritten(id, None, cx);
        self.plan(id, cx);
        let note = cancel_note(id);
        self.send(
            Item::NoteDone {
                charge_point: charge_point.clone(),
                note,
            },
            cx,
        );
        self.pump(charge_point, cx);
    }

    /// Refuses a held record, whose registration came to nothing, and remembers it as seen. One that is not above the
    /// last seen is dropped, as ever.
    pub(super) fn refuse_held(&mut self, command: RoutedCommand, cx: &mut Cx) {
        let known = self.commands.get(&command.id);
        if known.is_none_or(|known| command.dispatch > known.dispatch) {
            self.refuse_record(command, RefusalReason::StaleRoute, cx);
        }
    }

    /// Says that a dispatch was not taken; it costs no attempt.
    pub(super) fn refuse(&self, dispatch: DispatchRef, reason: RefusalReason, cx: &mut Cx) {
        self.send(
            Item::Refusal {
                dispatch,
                incarnation: self.incarnation,
                reason,
            },
            cx,
        );
    }

    /// What another charger said to this command before it was seen here says nothing about it.
    pub(super) fn forget_impostor(&mut self, id: CommandId, charge_point: &ChargePointId) {
        let impostor = |known: &Remembered| known.stranger && known.charge_point != *charge_point;
        let Some(known) = self.commands.get_mut(&id).filter(|known| impostor(known)) else {
            return;
        };
        if let Some(rival) = known.rival.take_if(|rival| rival.0 == *charge_point) {
            // The true charger answered as well.
            let (charge_point, answer) = *rival;
            (known.charge_point, known.stage) = (charge_point, Stage::Answered(answer));
        } else {
            self.commands.remove(&id);
            self.strangers -= 1;
        }
    }

    /// What became of this command here. What was or may have been written is never refused.
    fn known(&self, command: &RoutedCommand) -> Known {
        let Some(known) = self.commands.get(&command.id) else {
            return Known::Take;
        };
        let written = || {
            Known::Tell(Item::Written {
                dispatch: command.clone().into_dispatch_ref(),
            })
        };
        match &known.stage {
            Stage::Answered(answer) => Known::Tell(Item::Answer {
                id: command.id,
                charge_point: known.charge_point.clone(),
                answer: answer.clone(),
            }),
            Stage::Settled => Known::Drop,
            _ if known.cancelled => Known::Drop,
            // Its notice will carry the new dispatch.
            Stage::Writing(_) => Known::Drop,
            Stage::Written { timed_out } => {
                let again = *timed_out
                    && command.class == RedeliveryClass::Safe
                    && command.attempt > known.written_attempt;
                if again { Known::Take } else { written() }
            }
            Stage::Gone if known.written_attempt > 0 && command.class == RedeliveryClass::Unsafe => written(),
            Stage::Gone | Stage::Waiting(_) | Stage::Asking(..) | Stage::Granted(..) => Known::Take,
        }
    }

    fn route(&self, command: &RoutedCommand) -> Route {
        match self.conns.get(&command.charge_point) {
            None => Route::Stale,
            Some(conn) if conn.version == command.version && conn.version.0 > 0 => Route::Current,
            Some(conn) if conn.registering && command.version > conn.version => Route::Held,
            Some(_) => Route::Stale,
        }
    }

    fn hold(&mut self, command: RoutedCommand) {
        let Some(conn) = self.conns.get_mut(&command.charge_point) else {
            return;
        };
        let held = &mut conn.work().held;
        held.retain(|other| other.id != command.id || other.dispatch > command.dispatch);
        if held.len() < HELD_MAX {
            held.push(command);
        }
    }

    /// Refuses, and drops what was waiting for an older dispatch of the same command.
    fn refuse_record(&mut self, command: RoutedCommand, reason: RefusalReason, cx: &mut Cx) {
        self.drop_unwritten(command.id, None, cx);
        self.adopt_dispatch(&command, cx);
        self.refuse(command.into_dispatch_ref(), reason, cx);
    }

    /// Records a dispatch as the highest seen.
    fn adopt_dispatch(&mut self, command: &RoutedCommand, cx: &mut Cx) {
        let fresh = || Remembered::new(command.charge_point.clone(), command.class, command.deadline);
        let known = self.commands.entry(command.id).or_insert_with(fresh);
        (known.dispatch, known.version) = (command.dispatch, command.version);
        (known.class, known.priority, known.deadline) = (command.class, command.priority, command.deadline);
        self.plan(command.id, cx);
    }

    /// Tells what happened; an answer then waits for its confirmation anew.
    fn tell(&mut self, id: CommandId, item: Item, cx: &mut Cx) {
        self.send(item, cx);
        self.expect_confirmation(id, cx);
    }

    /// Takes a record. One that was asked for or granted under an older dispatch starts over with a new nonce:
    /// the older intent is given back, whatever becomes of it.
    fn take(&mut self, command: RoutedCommand, cx: &mut Cx) {
        self.drop_unwritten(command.id, None, cx);
        self.adopt_dispatch(&command, cx);
        if cx.time.redis_upper >= command.deadline {
            return;
        }
        let Some(conn) = self.conns.get_mut(&command.charge_point) else {
            return;
        };
        if conn
            .work
            .as_ref()
            .is_some_and(|w| w.waiting.len() >= self.settings.max_waiting)
        {
            return self.refuse(command.into_dispatch_ref(), RefusalReason::NotReady, cx);
        }
        self.arrivals += 1;
        let (id, charge_point) = (command.id, command.charge_point.clone());
        enqueue(conn, &command, self.arrivals);
        if let Some(known) = self.commands.get_mut(&id) {
            known.stage = Stage::Waiting(Box::new(Content {
                action: command.action,
                payload: command.payload,
                attempt: command.attempt,
                answer_timeout_us: command.answer_timeout_us,
            }));
        }
        self.plan(id, cx);
        self.pump(&charge_point, cx);
    }
}

/// Puts a command into the order of writing of its connection.
fn enqueue(conn: &mut Conn, command: &RoutedCommand, arrival: u64) {
    conn.queue(Waiting {
        priority: command.priority,
        arrival,
        id: command.id,
    });
}
