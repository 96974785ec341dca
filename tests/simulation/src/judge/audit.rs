//! The judge's audits: the whole store once a second, and everything at the end.

use std::collections::BTreeMap;

use domain::command::{Command, Priority, RedeliveryClass, Status};
use domain::ids::{CommandId, Micros};
use domain::slot::SlotModel;

use super::{Judge, is_end};
use crate::plan::SECOND;
use crate::world::Data;

/// How late an end may be, beyond its deadline and the mending: rounds, and a store that was long away.
const LATE_US: u64 = 20 * SECOND;
/// How long after the mending a due timer may be unhandled.
const OVERDUE_US: u64 = 15 * SECOND;

impl Judge {
    /// Every open command has one timer, and one place.
    pub(crate) fn audit(&mut self, data: &Data, now: Micros, healed: bool) {
        let settled = healed && self.healed_at.is_some_and(|at| now.0 > at.0 + OVERDUE_US);
        for slot in &data.slots {
            for (id, command) in &slot.commands {
                self.audit_command(slot, *id, command, now, settled);
            }
            self.audit_window(slot);
            for id in slot.due.keys() {
                let open = slot.commands.get(id).is_some_and(|c| !is_end(c.progress.status));
                self.check(16, open, || format!("{id} has a timer and is not open"));
            }
        }
    }

    /// One command of a lane is on its way to a charger; unsafe ones that were granted may stand aside.
    fn audit_window(&mut self, slot: &SlotModel) {
        let mut window: BTreeMap<_, u32> = BTreeMap::new();
        for command in slot.commands.values() {
            let (status, class) = (command.progress.status, command.request.class);
            let aside = status == Status::Delivered && class == RedeliveryClass::Unsafe;
            if matches!(status, Status::Sent | Status::Delivered) && !aside {
                let urgent = command.request.priority == Priority::Urgent;
                *window.entry((&command.request.charge_point, urgent)).or_default() += 1;
            }
        }
        for ((charge_point, urgent), count) in window {
            self.check(16, count <= 1, || {
                format!("{count} commands of a lane are on their way to {charge_point}, urgent {urgent}")
            });
        }
    }

    fn audit_command(
        &mut self,
        slot: &SlotModel,
        id: CommandId,
        command: &Command,
        now: Micros,
        settled: bool,
    ) {
        let status = command.progress.status;
        let timer = slot.due.get(&id).copied();
        if is_end(status) {
            return;
        }
        let s = &self.settings;
        // No timer is further away than the deadline, or than the longest wait for an outcome.
        let longest = s.grant_us + command.request.answer_timeout_us + 2 * s.pod_lease_us + s.backoff_cap_us;
        let latest = command.deadline.0.max(now.0 + longest);
        let timed = timer.is_some_and(|at| at.0 > 0 && at.0 <= latest);
        self.check(16, timed, || {
            format!("{id} is {status:?} and its timer is {timer:?} at {now}")
        });
        if settled {
            let handled = timer.is_some_and(|at| at.0 + OVERDUE_US > now.0);
            self.check(16, handled, || {
                format!("{id} is {status:?}, its timer {timer:?} is long overdue at {now}")
            });
        }
        let queue = slot.queues.get(&command.request.charge_point);
        let places = queue.map_or(0, |q| q.values().filter(|other| **other == id).count());
        let waits = usize::from(status == Status::Pending);
        self.check(16, places == waits, || {
            format!("{id} is {status:?} and {places} times in the queue")
        });
    }

    /// Everything has drained.
    pub(crate) fn drained(&mut self) {
        self.check(23, true, String::new);
    }

    /// The end of a run.
    pub(crate) fn finish(&mut self, data: &Data, now: Micros) {
        let Some(healed_at) = self.healed_at else { return };
        let ids: Vec<CommandId> = self.commands.keys().copied().collect();
        let mut sequences = BTreeMap::new();
        for id in ids {
            let Some(command) = data.command(id) else {
                self.check(1, self.relaxed, || format!("{id} was accepted and is lost"));
                continue;
            };
            self.see_end(command);
            self.finish_command(id, command, healed_at, now);
            let key = (
                command.request.charge_point.clone(),
                command.progress.result_sequence,
            );
            let other = sequences.insert(key, id);
            self.check(18, other.is_none() || self.relaxed, || {
                format!(
                    "{id} and {} share a number among the results",
                    other.map_or_else(String::new, |o| o.to_string())
                )
            });
        }
    }

    fn finish_command(&mut self, id: CommandId, command: &Command, healed_at: Micros, now: Micros) {
        let Some(book) = self.commands.get(&id) else {
            return;
        };
        let (results, dead_letters) = (book.results, book.dead_letters);
        let (deadline, promised, class) = (book.deadline, book.promised, book.class);
        let p = &command.progress;
        let outcome_us = match class {
            RedeliveryClass::Safe => 0,
            RedeliveryClass::Unsafe => {
                self.settings.grant_us + command.request.answer_timeout_us + 2 * self.settings.pod_lease_us
            }
        };
        let latest = deadline.max(healed_at).0 + outcome_us + LATE_US;
        let in_time = is_end(p.status) && p.ended.0 <= latest;
        let who = if promised { "promised" } else { "accepted" };
        self.check(1, in_time, || {
            format!(
                "{who} {id} is {:?}, ended {} at {now}, deadline {deadline}",
                p.status, p.ended
            )
        });
        if self.relaxed {
            return;
        }
        self.check(1, results > 0, || {
            format!("{id} ended as {:?} and no result was published", p.status)
        });
        let dead = matches!(p.status, Status::Failed | Status::Expired);
        if dead {
            self.check(18, dead_letters > 0, || {
                format!("{id} ended as {:?} and no dead letter was published", p.status)
            });
        } else {
            self.check(18, dead_letters == 0, || {
                format!("{id} ended as {:?} and has a dead letter", p.status)
            });
        }
    }
}

impl Judge {
    /// Adds up what happened to the commands.
    pub(crate) fn count(&self, stats: &mut crate::stats::Stats) {
        for book in self.commands.values() {
            stats.commands += 1;
            stats.writes += book.writes.len() as u64;
            let how = match book.end.as_ref().map(|e| (e.status, e.reason)) {
                Some((Status::Acknowledged, _)) => "acknowledged",
                Some((Status::Failed, Some(domain::command::FailureReason::OutcomeUnknown))) => {
                    "outcome unknown"
                }
                Some((Status::Failed, _)) => "no answer",
                Some((Status::Expired, _)) => "expired",
                Some((Status::Cancelled, _)) => "cancelled",
                _ => "open",
            };
            *stats.ends.entry(how).or_default() += 1;
        }
    }
}
