//! The judge at the edges: what was consumed, written, heard.

use domain::command::{Priority, RedeliveryClass, Status};
use domain::edge::RoutedCommand;
use domain::ids::{ChargePointId, CommandId, Incarnation, Micros, PodId};
use domain::slot::Claimed;

use super::{Judge, is_end};
use crate::world::Data;

/// A CALL that left an edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteSeen {
    pub(crate) id: CommandId,
    pub(crate) edge: usize,
    pub(crate) pod: usize,
    /// The edge's process.
    pub(crate) life: u32,
    pub(crate) incarnation: Incarnation,
    pub(crate) socket: u64,
    /// Redis time, the true one.
    pub(crate) at: Micros,
    /// The moment, by a clock that no failover sets back.
    pub(crate) moment: u64,
    /// The number of the write, from 1.
    pub(crate) attempt: u32,
    /// How long the charger may take.
    pub(crate) timeout_us: u64,
}

/// A CALL that is out on a socket.
pub(super) struct Out {
    id: CommandId,
    until: u64,
}

/// A record that reached an edge.
pub(super) struct Waiting {
    id: CommandId,
    priority: Priority,
    /// Writes of a lower priority since it came.
    overtaken: u32,
}

impl Judge {
    /// A router sends a dispatch to Kafka.
    pub(crate) fn dispatched(&mut self, claimed: &Claimed, now: Micros) {
        let ends = claimed.command.progress.timer;
        let id = claimed.command.request.id;
        self.expect(17, now < ends, || {
            format!(
                "{id} was sent {} ms after its claim ended",
                (now.0 - ends.0) / 1_000
            )
        });
    }

    /// A record for its present life reached an edge.
    pub(crate) fn consumed(&mut self, edge: usize, command: &RoutedCommand) {
        // An unsafe one waits for its grant, and what is lower may be written meanwhile.
        if command.class == RedeliveryClass::Unsafe {
            return;
        }
        let (id, priority) = (command.id, command.priority);
        let waiting = self
            .waiting
            .entry((edge, command.charge_point.clone()))
            .or_default();
        waiting.retain(|w| w.id != id);
        waiting.push(Waiting {
            id,
            priority,
            overtaken: 0,
        });
    }

    /// A connection got its version: what was held for it counts from now on.
    pub(crate) fn registered(&mut self, edge: usize, charge_point: &ChargePointId) {
        for waiting in self.waiting.entry((edge, charge_point.clone())).or_default() {
            waiting.overtaken = 0;
        }
    }

    /// An edge wrote a CALL.
    pub(crate) fn wrote(&mut self, seen: &WriteSeen, data: &Data) {
        let (id, relaxed) = (seen.id, self.relaxed);
        let Some(book) = self.commands.get_mut(&id) else {
            return self.expect(1, relaxed, || format!("{id} was written and never accepted"));
        };
        book.writes.push(*seen);
        let (deadline, class) = (book.deadline, book.class);
        self.check(14, seen.at < deadline, || {
            format!(
                "{id} was written {} ms after its deadline",
                (seen.at.0 - deadline.0) / 1_000
            )
        });
        let lease = self
            .leases
            .get(&(seen.pod, seen.incarnation.0))
            .copied()
            .unwrap_or_default();
        self.check(10, seen.at < lease, || {
            format!(
                "{id} was written by edge {} {} ms after its lease",
                seen.edge,
                (seen.at.0 - lease.0) / 1_000
            )
        });
        let heard = self.heard.contains(&(seen.edge, seen.life, id));
        self.expect(7, !heard, || {
            format!("{id} was written by edge {} that had its answer", seen.edge)
        });
        self.judge_again((seen.edge, seen.life), id, seen.attempt);
        self.judge_ended(seen, data);
        self.judge_order(seen);
        self.judge_slot(seen);
        match class {
            RedeliveryClass::Unsafe => self.judge_unsafe(seen, data),
            RedeliveryClass::Safe => self.judge_attempts(id),
        }
    }

    /// What is surely unwritten is never written; what was answered is written by an old edge at most, and once.
    fn judge_ended(&mut self, seen: &WriteSeen, data: &Data) {
        let id = seen.id;
        let Some(book) = self.commands.get(&id).filter(|_| !self.relaxed) else {
            return;
        };
        let Some(progress) = data.command(id).map(|c| &c.progress).filter(|p| is_end(p.status)) else {
            return;
        };
        let (ended, status, unwritten) = (progress.ended, progress.status, !progress.possibly_written);
        let late = |w: &&WriteSeen| w.edge == seen.edge && w.life == seen.life && w.at > ended;
        let writes = book.writes.iter().filter(late).count();
        if status == Status::Acknowledged {
            self.check(15, writes <= 1, || {
                format!("edge {} wrote {id} {writes} times after its end", seen.edge)
            });
        }
        let may = !unwritten || !matches!(status, Status::Expired | Status::Cancelled);
        self.check(15, may, || {
            format!("{id} ended as {status:?}, surely unwritten, and was written after that")
        });
    }

    /// An unsafe command is written once, under a grant that is in force, before its end.
    fn judge_unsafe(&mut self, seen: &WriteSeen, data: &Data) {
        let id = seen.id;
        if self.relaxed {
            return;
        }
        let writes = self.commands.get(&id).map_or(0, |b| b.writes.len());
        self.check(15, writes == 1, || {
            format!("unsafe {id} was written {writes} times")
        });
        let progress = data.command(id).map(|c| &c.progress);
        let pod = PodId::parse(&format!("edge-{}", seen.pod)).ok();
        let granted = progress.is_some_and(|p| {
            let route = p.route.as_ref();
            p.status == Status::Delivered
                && seen.at < p.write_before
                && route.is_some_and(|r| Some(&r.pod) == pod.as_ref() && r.incarnation == seen.incarnation)
        });
        let status = progress.map(|p| p.status);
        self.check(15, granted, || {
            format!("unsafe {id} was written without a grant in force, it is {status:?}")
        });
    }

    /// The declared bound of a safe command's writes.
    fn judge_attempts(&mut self, id: CommandId) {
        let Some(book) = self.commands.get(&id) else {
            return;
        };
        let (writes, attempts) = (book.writes.len(), book.max_attempts as usize);
        let registrations = self
            .versions
            .get(&book.charge_point)
            .map_or(0, |v| v.registrations);
        let changes = (registrations - book.registrations_before) as usize;
        let most = attempts + changes + 1 + attempts * self.rollbacks as usize;
        self.check(15, writes <= most || self.relaxed, || {
            format!("{id} was written {writes} times, {attempts} attempts and {changes} changes of version")
        });
    }

    /// What is higher waits for one lower write at most.
    fn judge_order(&mut self, seen: &WriteSeen) {
        let Some(book) = self.commands.get(&seen.id) else {
            return;
        };
        let (priority, key) = (book.priority, (seen.edge, book.charge_point.clone()));
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return;
        };
        let contested = waiting.iter().any(|w| w.id != seen.id && w.priority != priority);
        let own = waiting
            .iter()
            .position(|w| w.id == seen.id)
            .map(|at| waiting.remove(at));
        for other in waiting.iter_mut().filter(|w| w.priority > priority) {
            other.overtaken += 1;
        }
        if let Some(own) = own {
            let id = seen.id;
            if contested || own.overtaken > 0 {
                self.exercise(13);
            }
            self.expect(13, own.overtaken <= 1, || {
                format!(
                    "{id} of priority {priority:?} waited for {} lower writes",
                    own.overtaken
                )
            });
        }
    }

    /// One CALL at a time.
    fn judge_slot(&mut self, seen: &WriteSeen) {
        let until = seen.moment + seen.timeout_us;
        let before = self.sockets.insert(seen.socket, Out { id: seen.id, until });
        let free = before.as_ref().is_none_or(|out| out.until <= seen.moment);
        let id = seen.id;
        self.check(12, free, || {
            format!(
                "{id} was written while {} was out",
                before.map_or_else(String::new, |out| out.id.to_string())
            )
        });
    }

    /// An edge heard an answer.
    pub(crate) fn heard(
        &mut self,
        (edge, life): (usize, u32),
        (socket, charge_point): (u64, &ChargePointId),
        id: CommandId,
        data: &Data,
    ) {
        if self
            .commands
            .get(&id)
            .is_some_and(|book| book.charge_point != *charge_point)
        {
            return;
        }
        if self.sockets.get(&socket).is_some_and(|out| out.id == id) {
            self.sockets.remove(&socket);
        }
        self.heard.insert((edge, life, id));
        let next = data.command(id).is_some_and(|c| {
            matches!(c.progress.status, Status::Pending | Status::Sent) && c.progress.attempts > 0
        });
        if next {
            self.exercise(7);
        }
    }

    /// A socket is over.
    pub(crate) fn socket_gone(&mut self, socket: u64) {
        self.sockets.remove(&socket);
    }

    /// The store lost what was not durable: nothing that anybody was told may be among it.
    pub(crate) fn rolled_back(&mut self, data: &Data, relaxed: bool) {
        self.rollbacks += 1;
        for (pod, link) in &mut self.links {
            *link = data.newest_link(*pod);
        }
        for (charge_point, versions) in &mut self.versions {
            let kept = data.device(charge_point);
            versions.highest = versions.told.max(kept.map(|d| d.version).unwrap_or_default());
            versions.first = kept.map(|d| d.first_version).unwrap_or_default();
        }
        let mut lost = Vec::new();
        let mut wrong = Vec::new();
        for (id, book) in &self.commands {
            let Some(command) = data.command(*id) else {
                lost.push((*id, book.promised || !book.writes.is_empty()));
                continue;
            };
            if book.end.is_some() && !is_end(command.progress.status) {
                wrong.push(*id);
            }
        }
        for (id, promised) in lost {
            self.check(1, !promised || relaxed, || {
                format!("{id} was promised or written, and is lost")
            });
            self.commands.remove(&id);
        }
        self.resume_all(data);
        for id in wrong {
            self.check(4, relaxed, || format!("the end of {id} was seen, and is lost"));
        }
    }
}
