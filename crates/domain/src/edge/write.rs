//! From a taken record to the charger's answer: intent and grant, the write itself, and giving up. Leaves out which
//! command comes next (`order`).

use super::machine::{Cx, EdgeMachine};
use super::memory::{Conn, Content, Grant, Remembered, Stage, Writing};
use super::{Item, Output, RefusalReason, Socket, Terms, Write};
use crate::command::{Answer, RedeliveryClass};
use crate::ids::{ChargePointId, CommandId, Micros, Nonce};

impl EdgeMachine {
    /// The store permits a write. A grant that nobody waits for any more is given back.
    pub(super) fn granted(&mut self, id: CommandId, nonce: Nonce, write_before: Micros, cx: &mut Cx) {
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        match std::mem::replace(&mut command.stage, Stage::Gone) {
            Stage::Asking(content, asked) if asked == nonce => {
                // What else is unconfirmed, a non-write of an older intent, goes on being repeated.
                command.stage = Stage::Granted(content, Grant { nonce, write_before });
            }
            other => {
                command.stage = other;
                return;
            }
        }
        let charge_point = command.charge_point.clone();
        self.settle_alarm(id, cx);
        self.pump(&charge_point, cx);
    }

    /// The dispatch is no longer current: what is, comes as a record.
    pub(super) fn intent_refused(&mut self, id: CommandId, nonce: Nonce, cx: &mut Cx) {
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        if !matches!(&command.stage, Stage::Asking(_, asked) if *asked == nonce) {
            return;
        }
        command.stage = Stage::Gone;
        let charge_point = command.charge_point.clone();
        if let Some(conn) = self.conns.get_mut(&charge_point) {
            conn.unqueue(id);
            conn.trim();
        }
        self.settle_alarm(id, cx);
        self.pump(&charge_point, cx);
    }

    /// The store took note that nothing was written under an intent.
    pub(super) fn non_write_confirmed(&mut self, id: CommandId, nonce: Nonce, cx: &mut Cx) {
        if let Some(command) = self.commands.get_mut(&id) {
            command.non_writes.retain(|(other, _)| *other != nonce);
            self.settle_alarm(id, cx);
        }
    }

    /// The CALL left by the socket.
    pub(super) fn wrote(&mut self, charge_point: &ChargePointId, socket: Socket, id: CommandId, cx: &mut Cx) {
        let Some(command) = self
            .commands
            .get_mut(&id)
            .filter(|c| c.charge_point == *charge_point)
        else {
            return;
        };
        if !matches!(&command.stage, Stage::Writing(writing) if writing.socket == socket) {
            return;
        }
        // A replaced socket holds the CALL slot of nobody, so no CALL timeout will come.
        let timed_out = self.replaced.remove(&socket).is_some();
        command.stage = Stage::Written { timed_out };
        let dispatch = command.dispatch_ref(id);
        self.send(Item::Written { dispatch }, cx);
        self.plan(id, cx);
    }

    /// No byte of the CALL was written: the dispatch is given back.
    pub(super) fn not_written(
        &mut self,
        charge_point: &ChargePointId,
        socket: Socket,
        id: CommandId,
        cx: &mut Cx,
    ) {
        let Some(command) = self
            .commands
            .get_mut(&id)
            .filter(|c| c.charge_point == *charge_point)
        else {
            return;
        };
        let Stage::Writing(writing) = &command.stage else {
            return;
        };
        if writing.socket != socket {
            return;
        }
        let writing = writing.clone();
        self.replaced.remove(&socket);
        command.written_attempt = writing.attempt_before;
        command.stage = if writing.attempt_before > 0 {
            Stage::Written { timed_out: true }
        } else {
            Stage::Gone
        };
        let (newest, cancelled) = (command.dispatch_ref(id), command.cancelled);
        let refuse = !cancelled && (writing.grant.is_none() || newest != writing.dispatch);
        if let Some(grant) = writing.grant {
            self.give_back(id, grant.nonce, writing.dispatch, cx);
        }
        if refuse {
            self.refuse(newest, RefusalReason::NotReady, cx);
        }
        self.plan(id, cx);
        self.free_slot(charge_point, id, cx);
    }

    /// The charger answered. Commands are settled by id, whatever the connection and whether it is remembered;
    /// a charger cannot answer for another.
    pub(super) fn answered(
        &mut self,
        charge_point: &ChargePointId,
        id: CommandId,
        answer: Answer,
        cx: &mut Cx,
    ) {
        if self.is_contradicted(charge_point, id) {
            return self.contradict(charge_point, id, answer, cx);
        }
        if !self.commands.contains_key(&id) && !self.meet_stranger(charge_point, id, &answer, cx) {
            return;
        }
        if self
            .commands
            .get(&id)
            .is_none_or(|c| c.charge_point != *charge_point)
        {
            return;
        }
        self.drop_unwritten(id, None, cx);
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        if !matches!(command.stage, Stage::Answered(_) | Stage::Settled) {
            command.stage = Stage::Answered(answer.clone());
            self.forward(charge_point, id, answer, cx);
            self.expect_confirmation(id, cx);
        }
        self.free_slot(charge_point, id, cx);
    }

    /// An answer is durable; that the command was answered stays remembered. Routers confirm whatever a charger said,
    /// so the confirmation of another charger's answer says nothing of this one's.
    pub(super) fn answer_confirmed(&mut self, id: CommandId, by: Option<&ChargePointId>, cx: &mut Cx) {
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let its_own = by.is_none_or(|by| *by == command.charge_point);
        if its_own && matches!(command.stage, Stage::Answered(_)) {
            command.stage = Stage::Settled;
            self.settle_alarm(id, cx);
        }
    }

    /// The CALL slot is given up; the answer may still come.
    pub(super) fn timed_out(
        &mut self,
        charge_point: &ChargePointId,
        socket: Socket,
        id: CommandId,
        cx: &mut Cx,
    ) {
        if self
            .conns
            .get(charge_point)
            .is_none_or(|conn| conn.socket != socket || conn.busy() != Some(id))
        {
            return;
        }
        if let Some(command) = self.commands.get_mut(&id)
            && matches!(command.stage, Stage::Written { .. } | Stage::Writing(_))
        {
            command.stage = Stage::Written { timed_out: true };
        }
        self.free_slot(charge_point, id, cx);
    }

    /// Takes an unwritten command off the connection: an intent is given back by a non-write, one without is
    /// refused where a reason is given, and otherwise forgotten as taken.
    pub(super) fn drop_unwritten(&mut self, id: CommandId, refuse: Option<RefusalReason>, cx: &mut Cx) {
        let Some(command) = self.commands.get_mut(&id).filter(|c| c.is_unwritten()) else {
            return;
        };
        let dispatch = command.dispatch_ref(id);
        // A safe command may be here for its second attempt: that the first was written stays remembered.
        let left = if command.written_attempt > 0 {
            Stage::Written { timed_out: true }
        } else {
            Stage::Gone
        };
        let stage = std::mem::replace(&mut command.stage, left);
        if let Some(conn) = self.conns.get_mut(&dispatch.charge_point) {
            conn.unqueue(id);
            conn.trim();
        }
        match (stage, refuse) {
            (Stage::Asking(_, nonce), _) | (Stage::Granted(_, Grant { nonce, .. }), _) => {
                self.give_back(id, nonce, dispatch, cx);
            }
            (_, Some(reason)) => self.refuse(dispatch, reason, cx),
            (_, None) => {}
        }
        self.plan(id, cx);
    }

    /// Says that nothing is written under an intent, until that is durable.
    fn give_back(&mut self, id: CommandId, nonce: Nonce, dispatch: super::DispatchRef, cx: &mut Cx) {
        if let Some(command) = self.commands.get_mut(&id) {
            command.non_writes.push((nonce, dispatch.clone()));
        }
        self.send(Item::NonWrite { dispatch, nonce }, cx);
        self.expect_confirmation(id, cx);
    }

    pub(super) fn ask(&mut self, id: CommandId, cx: &mut Cx) {
        let nonce = (cx.nonces)();
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let dispatch = command.dispatch_ref(id);
        match std::mem::replace(&mut command.stage, Stage::Gone) {
            Stage::Waiting(content) => command.stage = Stage::Asking(content, nonce),
            other => {
                command.stage = other;
                return;
            }
        }
        self.send(Item::Intent { dispatch, nonce }, cx);
        self.expect_confirmation(id, cx);
    }

    pub(super) fn write(&mut self, charge_point: &ChargePointId, id: CommandId, cx: &mut Cx) {
        let Some(conn) = self.conns.get_mut(charge_point) else {
            return;
        };
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let (content, grant) = match std::mem::replace(&mut command.stage, Stage::Gone) {
            Stage::Waiting(content) => (content, None),
            Stage::Granted(content, grant) => (content, Some(grant)),
            other => return command.stage = other,
        };
        let Content {
            action,
            payload,
            attempt,
            answer_timeout_us,
        } = *content;
        let terms = terms(conn, command, attempt, grant);
        command.stage = Stage::Writing(Writing {
            socket: conn.socket,
            dispatch: command.dispatch_ref(id),
            grant,
            attempt_before: command.written_attempt,
        });
        command.written_attempt = command.written_attempt.max(attempt).max(1);
        conn.unqueue(id);
        conn.work().busy = Some(id);
        let (socket, charge_point) = (conn.socket, charge_point.clone());
        cx.out.push(Output::Write(Box::new(Write {
            charge_point,
            socket,
            id,
            action,
            payload,
            answer_timeout_us,
            terms,
        })));
        self.plan(id, cx);
    }

    fn free_slot(&mut self, charge_point: &ChargePointId, id: CommandId, cx: &mut Cx) {
        if self
            .conns
            .get_mut(charge_point)
            .is_some_and(|conn| conn.free_slot(id))
        {
            self.pump(charge_point, cx);
            self.trim(charge_point);
        }
    }

    /// Whether another charger's answer to this command, known by nothing else, still waits for its confirmation.
    /// One of them is forged, and only the store knows which. A confirmed one is forgotten for the newer.
    fn is_contradicted(&mut self, charge_point: &ChargePointId, id: CommandId) -> bool {
        let of_another = |known: &Remembered| known.is_hearsay() && known.charge_point != *charge_point;
        let Some(known) = self.commands.get(&id).filter(|known| of_another(known)) else {
            return false;
        };
        if known.is_unconfirmed() {
            return true;
        }
        self.forget_impostor(id, charge_point);
        false
    }

    /// Forwards an answer that contradicts another, and keeps the first such: no later one can displace the true one.
    fn contradict(&mut self, charge_point: &ChargePointId, id: CommandId, answer: Answer, cx: &mut Cx) {
        if let Some(known) = self.commands.get_mut(&id).filter(|known| known.rival.is_none()) {
            known.rival = Some(Box::new((charge_point.clone(), answer.clone())));
        }
        self.forward(charge_point, id, answer, cx);
    }

    /// Forwards an answer once: it is repeated only if it is remembered as unconfirmed.
    fn forward(&self, charge_point: &ChargePointId, id: CommandId, answer: Answer, cx: &mut Cx) {
        let charge_point = charge_point.clone();
        self.send(
            Item::Answer {
                id,
                charge_point,
                answer,
            },
            cx,
        );
    }

    /// An answer to a command that is not remembered: an earlier life's or another edge's. Beyond a bound it is
    /// forwarded once and not remembered, so that a charger cannot fill the memory by inventing ids.
    fn meet_stranger(
        &mut self,
        charge_point: &ChargePointId,
        id: CommandId,
        answer: &Answer,
        cx: &mut Cx,
    ) -> bool {
        if self.strangers >= self.settings.max_strangers {
            self.forward(charge_point, id, answer.clone(), cx);
            return false;
        }
        self.strangers += 1;
        let mut command = Remembered::new(charge_point.clone(), RedeliveryClass::Safe, cx.time.redis_upper);
        command.stranger = true;
        self.commands.insert(id, command);
        true
    }
}

/// What a write rests on.
fn terms(conn: &Conn, command: &Remembered, attempt: u32, grant: Option<Grant>) -> Terms {
    Terms {
        dispatch: command.dispatch,
        version: command.version,
        incarnation: conn.incarnation,
        attempt,
        class: command.class,
        nonce: grant.map(|grant| grant.nonce),
        priority: command.priority,
        deadline: command.deadline,
    }
}
