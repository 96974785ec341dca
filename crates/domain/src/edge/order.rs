//! Which of a connection's commands comes next, and what may be done about it now. Leaves out the doing.

use super::RefusalReason;
use super::machine::{Alarm, Cx, EdgeMachine};
use super::memory::{Conn, Remembered, Stage};
use crate::command::RedeliveryClass;
use crate::ids::{ChargePointId, CommandId, Micros};
use crate::mutant::{self, Mutant};

/// How soon a connection is looked at again whose lease is in doubt.
const LEASE_PAUSE_US: u64 = 200_000;

/// The next thing to do for a connection whose CALL slot is free.
enum Step {
    /// It may not be written any more.
    Drop(CommandId),
    /// It is for an older version of the connection.
    Refuse(CommandId),
    /// Ask for a grant.
    Ask(CommandId),
    /// Write it.
    Write(CommandId),
}

impl EdgeMachine {
    /// Moves a connection's commands on as far as its CALL slot, the grants and the clock allow.
    pub(super) fn pump(&mut self, charge_point: &ChargePointId, cx: &mut Cx) {
        while let Some(step) = self.next_step(charge_point, cx) {
            match step {
                Step::Drop(id) => self.drop_unwritten(id, None, cx),
                Step::Refuse(id) => self.drop_unwritten(id, Some(RefusalReason::StaleRoute), cx),
                Step::Ask(id) => self.ask(id, cx),
                Step::Write(id) => self.write(charge_point, id, cx),
            }
        }
    }

    fn next_step(&mut self, charge_point: &ChargePointId, cx: &Cx) -> Option<Step> {
        let conn = self.conns.get(charge_point)?;
        let work = conn
            .work
            .as_ref()
            .filter(|w| w.busy.is_none() && !w.waiting.is_empty())?;
        if !cx.time.lease_is_held() {
            let at = cx.time.mono_us.saturating_add(LEASE_PAUSE_US);
            self.alarms.insert((at, Alarm::Pump(charge_point.clone())));
            return None;
        }
        // One intent at a time: a second grant would only run out behind the first write.
        let mut asking = false;
        for waiting in &work.waiting {
            let Some(command) = self.commands.get(&waiting.id) else {
                continue;
            };
            let step = step_of(command, conn, waiting.id, cx.time.redis_upper, &mut asking);
            if step.is_some() {
                return step;
            }
        }
        None
    }
}

/// What to do about one waiting command, if anything now.
fn step_of(command: &Remembered, conn: &Conn, id: CommandId, now: Micros, asking: &mut bool) -> Option<Step> {
    if !command.is_unwritten() {
        return None;
    }
    let late = now >= command.deadline && !mutant::active(Mutant::IgnoreDeadline);
    if late || command.cancelled {
        return Some(Step::Drop(id));
    }
    if command.version != conn.version {
        return Some(Step::Refuse(id));
    }
    match (&command.stage, command.class) {
        (Stage::Waiting(_), RedeliveryClass::Safe) => Some(Step::Write(id)),
        (Stage::Waiting(_), _) if mutant::active(Mutant::ForgetIntent) => Some(Step::Write(id)),
        (Stage::Waiting(_), RedeliveryClass::Unsafe) if *asking => None,
        (Stage::Waiting(_), RedeliveryClass::Unsafe) => Some(Step::Ask(id)),
        (Stage::Granted(_, grant), _) if now >= grant.write_before => Some(Step::Drop(id)),
        (Stage::Granted(..), _) => Some(Step::Write(id)),
        (Stage::Asking(..), _) => {
            *asking = true;
            None
        }
        (
            Stage::Gone | Stage::Writing(_) | Stage::Written { .. } | Stage::Answered(_) | Stage::Settled,
            _,
        ) => None,
    }
}
