//! What is repeated and when: links, leases, store epochs, the tick, and forgetting.

use super::connection::BUCKETS;
use super::machine::{Alarm, Cx, EdgeMachine};
use super::memory::Stage;
use super::{Failed, Item};
use crate::ids::{ChargePointId, CommandId, Incarnation, Sequence};
use crate::mutant::{self, Mutant};

/// Connections in one renewal.
const RENEWAL_BATCH: usize = 100;
/// How long the end of a connection is repeated on a new link.
const UNREGISTERED_KEPT_US: u64 = 10_000_000;
/// No pause is longer than 2^4 times the first.
const DOUBLINGS: u32 = 4;

impl EdgeMachine {
    /// A new link: whatever the old one may have swallowed is said again, and all connections are renewed, which
    /// wakes what was parked while the pod was suspect.
    pub(super) fn link_came_up(&mut self, cx: &mut Cx) {
        self.link_up = true;
        let ids: Vec<CommandId> = self.commands.keys().copied().collect();
        for id in ids {
            self.resend(id, cx);
        }
        for end in std::mem::take(&mut self.unregistered) {
            let (charge_point, incarnation, version) =
                (end.charge_point.clone(), end.incarnation, end.version);
            self.send(
                Item::Unregister {
                    charge_point,
                    incarnation,
                    version,
                },
                cx,
            );
            self.unregistered.push_back(end);
        }
        self.renew_after = 0;
        self.verify_all();
        let registering = self.sorted(|conn| conn.registering);
        self.register_queue = registering.into();
        self.run_queues(cx);
    }

    /// A new life: every connection registers again, paced, with the version that it first got.
    pub(super) fn incarnation_taken(&mut self, incarnation: Incarnation, cx: &mut Cx) {
        self.incarnation = incarnation;
        self.renew_queue.clear();
        self.renewals.clear();
        self.register_queue.clear();
        for charge_point in self.sorted(|_| true) {
            self.register_again(&charge_point);
        }
        self.run_queues(cx);
    }

    /// The life is over. What was not written is dropped, since its claims end by themselves; what was written and
    /// the answers stay remembered.
    pub(super) fn lease_lapsed(&mut self, cx: &mut Cx) {
        self.incarnation = Incarnation(0);
        self.renew_queue.clear();
        self.renewals.clear();
        let unwritten = self
            .commands
            .iter()
            .filter(|(_, c)| c.is_unwritten())
            .map(|(id, _)| *id);
        for id in unwritten.collect::<Vec<_>>() {
            self.drop_unwritten(id, None, cx);
        }
        for conn in self.conns.values_mut() {
            conn.registering = true;
            // A reply to the dead life's registration fits no sequence.
            conn.sequence = Sequence(0);
            if let Some(work) = &mut conn.work {
                (work.held, work.held_kick) = (Vec::new(), None);
            }
        }
    }

    /// The store may have forgotten routes: all are verified, and none is made before it knows every version.
    pub(super) fn epoch_changed(&mut self) {
        self.registers_wait = true;
        self.verify_all();
    }

    /// The store's view of renewed connections. What it lost is registered again, unless that happened already.
    pub(super) fn renewed(&mut self, request: u64, lost: &[ChargePointId], cx: &mut Cx) {
        let Some(asked) = self.renewals.remove(&request) else {
            return;
        };
        self.renew_tries = 0;
        for (charge_point, version) in asked {
            let held = self
                .conns
                .get(&charge_point)
                .is_some_and(|c| !c.registering && c.version == version);
            if held && lost.contains(&charge_point) {
                self.register_again(&charge_point);
            }
        }
        self.run_queues(cx);
    }

    /// The router could not apply something: it is said again after a pause that grows.
    pub(super) fn failed(&mut self, failed: Failed, cx: &mut Cx) {
        match failed {
            Failed::Register(charge_point) => self.register_failed(charge_point, cx),
            Failed::Renewal(request) => self.renewal_failed(request, cx.time.mono_us),
            Failed::Command(id) => {
                let pause = |tries| self.settings.retry_us << u32::min(tries, DOUBLINGS);
                let Some(command) = self.commands.get_mut(&id) else {
                    return;
                };
                if command.is_unconfirmed() || matches!(command.stage, Stage::Written { .. }) {
                    command.again_at = cx.time.mono_us.saturating_add(pause(command.tries));
                    command.tries += 1;
                    self.plan(id, cx);
                }
            }
        }
    }

    /// The chargers of a failed renewal wait for the next, and all renewals for a pause: a store that is away must not
    /// be asked with every tick. Those that fail together count as one failure.
    fn renewal_failed(&mut self, request: u64, now: u64) {
        let Some(asked) = self.renewals.remove(&request) else {
            return;
        };
        let chargers = asked.into_iter().map(|(charge_point, _)| charge_point);
        self.renew_queue.extend(chargers);
        if self.renew_after <= now {
            let pause = self.settings.retry_us << u32::min(self.renew_tries, DOUBLINGS);
            self.renew_after = now.saturating_add(pause);
            self.renew_tries += 1;
        }
    }

    /// Alarms, the paced queues, the renewal round.
    pub(super) fn tick(&mut self, cx: &mut Cx) {
        let now = cx.time.mono_us;
        while let Some((at, alarm)) = self.alarms.first().cloned() {
            if at > now {
                break;
            }
            self.alarms.pop_first();
            match alarm {
                Alarm::Command(id) => self.look_at(id, at, cx),
                Alarm::Register(charge_point) => self.register_overdue(&charge_point, at, cx),
                Alarm::Pump(charge_point) => self.pump(&charge_point, cx),
            }
        }
        let kept = |at: u64| now.saturating_sub(at) < UNREGISTERED_KEPT_US;
        while self.link_up && self.unregistered.front().is_some_and(|end| !kept(end.at)) {
            self.unregistered.pop_front();
        }
        self.renewal_round(now);
        self.run_queues(cx);
    }

    /// Plans the repetition of what was just sent and needs a confirmation.
    pub(super) fn expect_confirmation(&mut self, id: CommandId, cx: &Cx) {
        let resend_us = self.settings.resend_us;
        if let Some(command) = self.commands.get_mut(&id) {
            command.again_at = if command.is_unconfirmed() {
                cx.time.mono_us.saturating_add(resend_us)
            } else {
                0
            };
        }
        self.plan(id, cx);
    }

    /// Something was confirmed: no repetition of what is no longer open.
    pub(super) fn settle_alarm(&mut self, id: CommandId, cx: &Cx) {
        if let Some(command) = self.commands.get_mut(&id)
            && !command.is_unconfirmed()
        {
            (command.again_at, command.tries) = (0, 0);
        }
        self.plan(id, cx);
    }

    /// Says again whatever of a command is not confirmed, or has no confirmation and may have been lost.
    fn resend(&mut self, id: CommandId, cx: &mut Cx) {
        let Some(command) = self.commands.get(&id) else {
            return;
        };
        let dispatch = command.dispatch_ref(id);
        for (nonce, dispatch) in command.non_writes.clone() {
            self.send(Item::NonWrite { dispatch, nonce }, cx);
        }
        match &command.stage {
            Stage::Asking(_, nonce) => self.send(
                Item::Intent {
                    dispatch,
                    nonce: *nonce,
                },
                cx,
            ),
            Stage::Written { .. } => self.send(Item::Written { dispatch }, cx),
            Stage::Answered(answer) => {
                let item = Item::Answer {
                    id,
                    charge_point: dispatch.charge_point,
                    answer: answer.clone(),
                };
                self.send(item, cx);
            }
            _ => {}
        }
        self.expect_confirmation(id, cx);
    }

    /// A command's alarm: its deadline, the end of its grant, a repetition, or the end of its memory.
    fn look_at(&mut self, id: CommandId, at: u64, cx: &mut Cx) {
        let Some(command) = self.commands.get_mut(&id).filter(|c| c.alarm_at == at) else {
            return;
        };
        command.alarm_at = 0;
        let now = cx.time.redis_upper;
        let late = !mutant::active(Mutant::IgnoreDeadline)
            && match &command.stage {
                Stage::Granted(_, grant) => now >= grant.write_before || now >= command.deadline,
                Stage::Waiting(_) | Stage::Asking(..) => now >= command.deadline,
                _ => false,
            };
        let charge_point = command.charge_point.clone();
        if late {
            self.drop_unwritten(id, None, cx);
            return self.pump(&charge_point, cx);
        }
        if now >= command.deadline.plus(self.settings.memory_us) && command.is_forgettable() {
            let stranger = self.commands.remove(&id).is_some_and(|command| command.stranger);
            self.strangers -= usize::from(stranger);
            return;
        }
        if command.again_at > 0 && command.again_at <= cx.time.mono_us {
            return self.resend(id, cx);
        }
        self.plan(id, cx);
    }

    fn register_overdue(&mut self, charge_point: &ChargePointId, at: u64, cx: &mut Cx) {
        let planned = self
            .conns
            .get(charge_point)
            .and_then(|c| c.work.as_ref())
            .map(|w| w.register_at);
        if planned == Some(at) {
            self.register(charge_point, cx);
        }
    }

    fn register_failed(&mut self, charge_point: ChargePointId, cx: &mut Cx) {
        let retry_us = self.settings.retry_us;
        let Some(conn) = self.conns.get_mut(&charge_point).filter(|c| c.registering) else {
            return;
        };
        let work = conn.work();
        let at = cx
            .time
            .mono_us
            .saturating_add(retry_us << work.register_tries.min(DOUBLINGS));
        (work.register_at, work.register_tries) = (at, work.register_tries + 1);
        self.alarms.insert((at, Alarm::Register(charge_point)));
    }

    fn verify_all(&mut self) {
        self.renewals.clear();
        self.renew_queue = self.sorted(|conn| !conn.registering).into();
    }

    /// The chargers whose connection is so, in a fixed order.
    fn sorted(&self, wanted: impl Fn(&super::memory::Conn) -> bool) -> Vec<ChargePointId> {
        let held = self.conns.iter().filter(|(_, conn)| wanted(conn));
        let mut chargers: Vec<_> = held.map(|(charge_point, _)| charge_point.clone()).collect();
        chargers.sort();
        chargers
    }

    /// Moves the renewal round on, so that each connection is renewed once an interval.
    fn renewal_round(&mut self, now: u64) {
        let part = self.settings.renew_interval_us / u64::from(BUCKETS);
        if self.next_bucket_at == 0 {
            self.next_bucket_at = now.saturating_add(part);
        }
        if now < self.next_bucket_at {
            return;
        }
        // Counted from the plan, not from the tick, lest each round be late; a long stall is not made up for.
        self.next_bucket_at = self
            .next_bucket_at
            .max(now.saturating_sub(part))
            .saturating_add(part);
        self.renew_bucket = (self.renew_bucket + 1) % BUCKETS;
        let bucket = self.renew_bucket;
        let due = self.sorted(|conn| conn.bucket == bucket && !conn.registering);
        self.renew_queue.extend(due);
    }

    /// Sends what the queues hold, as much as a tick may. Without a link they wait; a new one fills them anew.
    fn run_queues(&mut self, cx: &mut Cx) {
        if !self.link_up || self.incarnation.0 == 0 {
            return;
        }
        if !self.registers_wait {
            let some = self.register_queue.len().min(self.settings.registers_per_tick);
            for charge_point in self.register_queue.drain(..some).collect::<Vec<_>>() {
                self.register(&charge_point, cx);
            }
        }
        if cx.time.mono_us < self.renew_after {
            return;
        }
        let some = self.renew_queue.len().min(self.settings.renewals_per_tick);
        let chargers: Vec<ChargePointId> = self.renew_queue.drain(..some).collect();
        for batch in chargers.chunks(RENEWAL_BATCH) {
            self.renew(batch, cx);
        }
    }

    fn renew(&mut self, batch: &[ChargePointId], cx: &mut Cx) {
        let version = |c: &ChargePointId| self.conns.get(c).filter(|c| !c.registering).map(|c| c.version);
        let connections: Vec<_> = batch
            .iter()
            .filter_map(|c| Some((c.clone(), version(c)?)))
            .collect();
        if connections.is_empty() {
            return;
        }
        let request = self.next_request;
        self.next_request += self.request_step;
        self.renewals.insert(request, connections.clone());
        let incarnation = self.incarnation;
        self.send(
            Item::RenewConnections {
                request,
                incarnation,
                connections,
            },
            cx,
        );
    }
}
