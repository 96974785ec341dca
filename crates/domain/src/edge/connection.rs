//! Connections: opened, registered, displaced, closed.

use super::item::kick_note;
use super::machine::{Alarm, Cx, EdgeMachine, Unregistered};
use super::memory::{Conn, Stage};
use super::{CloseReason, Item, Output, RefusalReason, RoutedCommand, Socket};
use crate::ids::{ChargePointId, CommandId, Incarnation, Sequence, Version, stable_hash};

/// Parts of a renewal round.
pub(super) const BUCKETS: u8 = 64;
/// Ended connections that are kept for repetition.
const UNREGISTERED_MAX: usize = 100_000;

impl EdgeMachine {
    /// A newer socket of a charger replaces an older one here; its registration then displaces the older route,
    /// so the older one is not unregistered.
    pub(super) fn opened(
        &mut self,
        charge_point: &ChargePointId,
        socket: Socket,
        ocpp_version: &'static str,
        cx: &mut Cx,
    ) {
        if let Some(old) = self.conns.remove(charge_point) {
            let (old_socket, why) = (old.socket, CloseReason::Replaced);
            cx.out.push(Output::Close {
                charge_point: charge_point.clone(),
                socket: old_socket,
                why,
            });
            self.keep_replaced(&old);
            self.end_work(charge_point, old, cx);
        }
        let bucket = u8::try_from(stable_hash(charge_point.as_str().as_bytes()) % u64::from(BUCKETS));
        let conn = Conn {
            socket,
            sequence: self.next_sequence(),
            version: Version(0),
            first_version: Version(0),
            incarnation: self.incarnation,
            ocpp_version,
            registering: true,
            bucket: bucket.unwrap_or_default(),
            work: None,
        };
        self.conns.insert(charge_point.clone(), conn);
        self.register(charge_point, cx);
    }

    /// A connection ended. One whose registration is in flight is unregistered when the reply comes.
    pub(super) fn closed(&mut self, charge_point: &ChargePointId, socket: Socket, cx: &mut Cx) {
        if self
            .conns
            .get(charge_point)
            .is_none_or(|conn| conn.socket != socket)
        {
            if let Some(id) = self.replaced.remove(&socket) {
                self.ended_while_busy(id, cx);
            }
            return;
        }
        let Some(conn) = self.conns.remove(charge_point) else {
            return;
        };
        let (incarnation, version) = (conn.incarnation, conn.version);
        self.end_work(charge_point, conn, cx);
        if version.0 > 0 {
            self.unregister(charge_point, incarnation, version, cx);
        }
    }

    /// The reply to a registration. One that comes after the close is unregistered, lest a dead route stay.
    pub(super) fn registered(
        &mut self,
        charge_point: &ChargePointId,
        sequence: Sequence,
        version: Version,
        cx: &mut Cx,
    ) {
        self.highest_version = self.highest_version.max(version);
        let incarnation = self.incarnation;
        let Some(conn) = self
            .conns
            .get_mut(charge_point)
            .filter(|c| c.sequence == sequence)
        else {
            if incarnation.0 > 0 {
                self.unregister(charge_point, incarnation, version, cx);
            }
            return;
        };
        if !conn.registering {
            return;
        }
        conn.registering = false;
        conn.version = version;
        conn.incarnation = incarnation;
        if conn.first_version.0 == 0 {
            conn.first_version = version;
        }
        let (held, kick) = self.end_registration(charge_point);
        if let Some(kicked) = kick {
            let note = kick_note(incarnation, kicked);
            self.send(
                Item::NoteDone {
                    charge_point: charge_point.clone(),
                    note,
                },
                cx,
            );
            if version <= kicked {
                self.close(charge_point, CloseReason::Displaced, cx);
            }
        }
        for command in held {
            self.record(incarnation, command, cx);
        }
        self.pump(charge_point, cx);
        self.trim(charge_point);
    }

    /// A newer socket of the charger is registered elsewhere: this one is dead or about to be.
    pub(super) fn register_refused(&mut self, charge_point: &ChargePointId, sequence: Sequence, cx: &mut Cx) {
        let Some(conn) = self.conns.get_mut(charge_point) else {
            return;
        };
        if conn.sequence != sequence || !conn.registering {
            return;
        }
        let (held, kick) = self.end_registration(charge_point);
        for command in held {
            self.refuse_held(command, cx);
        }
        if let Some(kicked) = kick {
            let note = kick_note(self.incarnation, kicked);
            self.send(
                Item::NoteDone {
                    charge_point: charge_point.clone(),
                    note,
                },
                cx,
            );
        }
        self.close(charge_point, CloseReason::Displaced, cx);
    }

    /// Closes the connection of a displaced version. A kick that overtook the reply to a registration is held.
    pub(super) fn kick(
        &mut self,
        incarnation: Incarnation,
        charge_point: &ChargePointId,
        version: Version,
        cx: &mut Cx,
    ) {
        if incarnation != self.incarnation {
            return;
        }
        if let Some(conn) = self.conns.get_mut(charge_point) {
            if conn.registering && version > conn.version {
                let held = &mut conn.work().held_kick;
                *held = (*held).max(Some(version));
                return;
            }
            if conn.version == version {
                self.close(charge_point, CloseReason::Displaced, cx);
            }
        }
        let note = kick_note(incarnation, version);
        self.send(
            Item::NoteDone {
                charge_point: charge_point.clone(),
                note,
            },
            cx,
        );
    }

    /// Registers a connection anew: a new sequence, because the store refuses one that it ended.
    pub(super) fn register_again(&mut self, charge_point: &ChargePointId) {
        let sequence = self.next_sequence();
        if let Some(conn) = self.conns.get_mut(charge_point) {
            conn.registering = true;
            conn.sequence = sequence;
            self.register_queue.push_back(charge_point.clone());
        }
    }

    /// Sends the registration, or plans it for later where it cannot be sent now.
    pub(super) fn register(&mut self, charge_point: &ChargePointId, cx: &mut Cx) {
        let (incarnation, wait) = (self.incarnation, self.registers_wait);
        let settings = self.settings;
        let Some(conn) = self.conns.get_mut(charge_point).filter(|c| c.registering) else {
            return;
        };
        let at = cx.time.mono_us.saturating_add(settings.resend_us);
        conn.work().register_at = at;
        let item = Item::Register {
            charge_point: charge_point.clone(),
            incarnation,
            sequence: conn.sequence,
            first_version: conn.first_version,
            ocpp_version: conn.ocpp_version,
        };
        if incarnation.0 > 0 && wait {
            return self.register_queue.push_back(charge_point.clone());
        }
        self.alarms.insert((at, Alarm::Register(charge_point.clone())));
        if incarnation.0 > 0 {
            self.send(item, cx);
        }
    }

    /// Tells the router that a connection is gone, again if a link comes up soon after.
    fn unregister(
        &mut self,
        charge_point: &ChargePointId,
        incarnation: Incarnation,
        version: Version,
        cx: &mut Cx,
    ) {
        if self.unregistered.len() >= UNREGISTERED_MAX {
            self.unregistered.pop_front();
        }
        let (at, charge_point) = (cx.time.mono_us, charge_point.clone());
        self.send(
            Item::Unregister {
                charge_point: charge_point.clone(),
                incarnation,
                version,
            },
            cx,
        );
        self.unregistered.push_back(Unregistered {
            at,
            charge_point,
            incarnation,
            version,
        });
    }

    /// What a connection's end means for what it carried. What was or may have been written counts as timed out:
    /// its answer may still come over another connection.
    fn end_work(&mut self, charge_point: &ChargePointId, conn: Conn, cx: &mut Cx) {
        let Some(work) = conn.work else { return };
        for waiting in work.waiting {
            self.drop_unwritten(waiting.id, Some(RefusalReason::StaleRoute), cx);
        }
        for command in work.held {
            self.refuse_held(command, cx);
        }
        if let Some(kicked) = work.held_kick {
            let note = kick_note(self.incarnation, kicked);
            self.send(
                Item::NoteDone {
                    charge_point: charge_point.clone(),
                    note,
                },
                cx,
            );
        }
        if let Some(id) = work.busy {
            self.ended_while_busy(id, cx);
        }
    }

    /// A CALL that was handed to a replaced socket may lie there unwritten: that is said by `Wrote` or `NotWritten`,
    /// and by the socket's end at the latest.
    fn keep_replaced(&mut self, old: &Conn) {
        let writing =
            |id: &CommandId| matches!(self.commands.get(id), Some(c) if matches!(c.stage, Stage::Writing(_)));
        if let Some(id) = old.busy().filter(writing) {
            self.replaced.insert(old.socket, id);
        }
    }

    /// The command that had the CALL slot of a connection that ended.
    fn ended_while_busy(&mut self, id: CommandId, cx: &mut Cx) {
        if self.replaced.values().any(|kept| *kept == id) {
            return;
        }
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        match &command.stage {
            Stage::Writing(_) => {
                command.stage = Stage::Written { timed_out: true };
                let dispatch = command.dispatch_ref(id);
                self.send(Item::Written { dispatch }, cx);
            }
            Stage::Written { .. } => command.stage = Stage::Written { timed_out: true },
            _ => {}
        }
        self.plan(id, cx);
    }

    /// What was held for a registration that is answered now.
    fn end_registration(&mut self, charge_point: &ChargePointId) -> (Vec<RoutedCommand>, Option<Version>) {
        let Some(work) = self.conns.get_mut(charge_point).and_then(|c| c.work.as_mut()) else {
            return (Vec::new(), None);
        };
        self.alarms
            .remove(&(work.register_at, Alarm::Register(charge_point.clone())));
        (work.register_at, work.register_tries) = (0, 0);
        (std::mem::take(&mut work.held), work.held_kick.take())
    }

    fn close(&self, charge_point: &ChargePointId, why: CloseReason, cx: &mut Cx) {
        if let Some(conn) = self.conns.get(charge_point) {
            let (charge_point, socket) = (charge_point.clone(), conn.socket);
            cx.out.push(Output::Close {
                charge_point,
                socket,
                why,
            });
        }
    }

    /// Sequences never repeat within the process, so a reply names its registration across lives.
    fn next_sequence(&mut self) -> Sequence {
        self.sequences += 1;
        Sequence(self.sequences)
    }

    pub(super) fn trim(&mut self, charge_point: &ChargePointId) {
        if let Some(conn) = self.conns.get_mut(charge_point) {
            conn.trim();
        }
    }
}
