//! The judge at the store: what a script was asked, what was there before, and what is there after it.

use domain::command::{Deadline, Request, Status};
use domain::dispatch::Lease;
use domain::ids::{ChargePointId, CommandId, Micros, Version};
use domain::slot::{AcceptRefusal, AcceptReply, Device, RegisterReply, Registration, SlotModel};

use super::events::Applied;
use super::{Book, Judge, claims, is_end, leases};
use crate::world::{Data, Op, Said, short};

/// What a script was asked, and what it found.
pub(crate) enum Before {
    Accept {
        request: Box<Request>,
        open: usize,
        /// An urgent command would be claimed at once.
        urgent_free: bool,
    },
    Register(Box<Registration>, Option<Device>),
    Unregister {
        charge_point: ChargePointId,
        version: Version,
        incarnation: u64,
        device: Option<Device>,
    },
    Apply(Vec<Applied>),
    RunDue {
        /// Who should leave timers to others takes those only that have been due for so long.
        late_us: u64,
        due: Vec<(CommandId, Micros, Status)>,
    },
    Lease(Op, Option<Lease>),
    Other(&'static str),
}

impl Before {
    /// What the trace says of it.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Accept { request, .. } => format!(
                "accept {} {:?} {:?} for {}",
                short(request.id),
                request.class,
                request.priority,
                request.charge_point
            ),
            Self::Register(r, _) => format!("register {} by {} seq {}", r.charge_point, r.pod, r.sequence),
            Self::Unregister {
                charge_point,
                version,
                ..
            } => {
                format!("unregister {charge_point} v{}", version.0 % 100_000_000)
            }
            Self::Apply(events) => {
                let one = |a: &Applied| {
                    let dispatch = a.event.dispatch.0 % 100_000_000;
                    format!("{:?} {}@{dispatch}", a.event.kind, short(a.id))
                };
                events.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Self::RunDue { .. } => "run due".to_owned(),
            Self::Lease(op, _) => leases::brief(op),
            Self::Other(name) => (*name).to_owned(),
        }
    }
}

impl Judge {
    /// Looks before a script runs.
    pub(crate) fn before(&self, op: &Op, data: &Data, now: Micros) -> Before {
        match op {
            Op::Accept(request) => Before::Accept {
                open: open_of(data, &request.charge_point),
                urgent_free: claims::urgent_is_free(data, &request.charge_point, now),
                request: request.clone(),
            },
            Op::Register(registration) => {
                let device = data.device(&registration.charge_point).cloned();
                Before::Register(registration.clone(), device)
            }
            Op::Unregister(charge_point, incarnation, version) => Before::Unregister {
                charge_point: charge_point.clone(),
                version: *version,
                incarnation: incarnation.0,
                device: data.device(charge_point).cloned(),
            },
            Op::Apply(_, inputs) => Before::Apply(inputs.iter().map(|i| Applied::of(i, data)).collect()),
            Op::RunDue(slot, _, late_us) => Before::RunDue {
                late_us: *late_us,
                due: due_of(&data.slots[*slot]),
            },
            Op::Link(pod, _) | Op::Suspect(pod, ..) | Op::Take { pod, .. } | Op::RenewLease { pod, .. } => {
                Before::Lease(op.clone(), data.lease(*pod))
            }
            other => Before::Other(name(other)),
        }
    }

    /// Looks after it ran.
    pub(crate) fn after(&mut self, before: &Before, said: &Said, data: &Data, now: Micros) {
        match (before, said) {
            (
                Before::Accept {
                    request,
                    open,
                    urgent_free,
                },
                Said::Accepted(reply),
            ) => {
                self.judge_accept(request, *open, reply, data, now);
                self.judge_urgent(request, *urgent_free, reply);
            }
            (Before::Register(r, device), Said::Registered(reply)) => {
                self.judge_dead_socket(r, device.as_ref(), reply, now);
                if let RegisterReply::Registered { version, .. } = reply {
                    self.judge_version(r, *version, now);
                }
            }
            (
                Before::Unregister {
                    charge_point,
                    version,
                    incarnation,
                    device,
                },
                _,
            ) => {
                let named = (*version, *incarnation);
                self.judge_old_socket(charge_point, named, device.as_ref(), data);
            }
            (Before::Apply(events), Said::Applied(_)) => self.judge_events(events, data),
            (Before::RunDue { late_us, due }, Said::Due { handled, .. }) => {
                self.judge_timers((due, *late_us), handled, now);
            }
            (Before::Lease(op, lease), said) => self.judge_lease(op, lease.as_ref(), said, data, now),
            _ => {}
        }
        self.judge_claims(before, said, data, now);
    }

    /// Whoever handles timers handles due ones only, be it for another router.
    fn judge_timers(
        &mut self,
        (due, late_us): (&[(CommandId, Micros, Status)], u64),
        handled: &[CommandId],
        now: Micros,
    ) {
        for id in handled {
            let found = due.iter().find(|(other, ..)| other == id);
            let was_due = found.is_some_and(|(_, at, _)| at.plus(late_us) <= now);
            let text = || format!("a timer of {id} was handled that was not due, or not for {late_us} us");
            if late_us > 0 {
                self.rule("a timer that no peer took", 24, was_due, text);
            } else {
                self.check(24, was_due, text);
            }
            if found.is_some_and(|(.., status)| *status == Status::Sent) {
                self.exercise(17);
            }
        }
    }

    fn judge_accept(
        &mut self,
        request: &Request,
        open: usize,
        reply: &AcceptReply,
        data: &Data,
        now: Micros,
    ) {
        let id = request.id;
        let most = self.settings.max_open_per_charger as usize;
        match reply {
            AcceptReply::Accepted { .. } => {
                self.check(19, open < most, || {
                    format!("{id} was accepted as number {} of {most}", open + 1)
                });
                self.open_book(request, data, now);
            }
            AcceptReply::Refused(AcceptRefusal::QueueFull(_)) => {
                let kept = data.command(id).is_some();
                self.check(19, open >= most && !kept, || {
                    format!("{id} was refused as number {}", open + 1)
                });
            }
            _ => {}
        }
    }

    fn open_book(&mut self, request: &Request, data: &Data, now: Micros) {
        let deadline = match request.deadline {
            Deadline::After(us) => now.plus(us),
            Deadline::At { at, .. } => at,
        };
        self.arrivals += 1;
        debug_assert!(data.command(request.id).is_some(), "an accepted command is there");
        self.last_deadline = self.last_deadline.max(deadline);
        let registrations = self
            .versions
            .get(&request.charge_point)
            .map_or(0, |v| v.registrations);
        let book = Book {
            charge_point: request.charge_point.clone(),
            class: request.class,
            priority: request.priority,
            max_attempts: request.max_attempts,
            deadline,
            arrival: self.arrivals,
            claims: 0,
            registrations_before: registrations,
            promised: false,
            writes: Vec::new(),
            received: 0,
            replies: Vec::new(),
            end: None,
            results: 0,
            dead_letters: 0,
        };
        self.commands.insert(request.id, book);
    }

    /// What speaks of one connection changes no other.
    pub(super) fn judge_old_socket(
        &mut self,
        charge_point: &ChargePointId,
        (version, incarnation): (Version, u64),
        before: Option<&Device>,
        data: &Data,
    ) {
        let after = data.device(charge_point);
        let Some(before) = before.filter(|d| d.connected) else {
            return;
        };
        if before.version == version && before.incarnation.0 == incarnation {
            return;
        }
        let untouched = after.is_some_and(|d| d.connected && d.version == before.version);
        self.check(11, untouched, || {
            format!(
                "the end of version {version} removed version {} of {charge_point}",
                before.version
            )
        });
    }
}

/// How many commands of a charger are open, counted one by one.
fn open_of(data: &Data, charge_point: &ChargePointId) -> usize {
    let commands = data.slots[data.slot_of(charge_point)].commands.values();
    commands
        .filter(|c| c.request.charge_point == *charge_point && !is_end(c.progress.status))
        .count()
}

/// The timers of a slot, with what they are for.
fn due_of(slot: &SlotModel) -> Vec<(CommandId, Micros, Status)> {
    let status = |id| slot.commands.get(id).map(|c| c.progress.status);
    let due = slot
        .due
        .iter()
        .filter_map(|(id, at)| Some((*id, *at, status(id)?)));
    due.collect()
}

/// What the trace calls the scripts of which the judge keeps no book.
fn name(op: &Op) -> &'static str {
    match op {
        Op::Renew(..) => "renew connections",
        Op::Drain(..) => "drain",
        Op::Trim(..) => "trim",
        Op::NoteDone(..) => "note done",
        Op::Get(_) => "get",
        Op::Draining(..) => "draining",
        Op::Lease(_) | Op::Leases => "leases",
        _ => "another",
    }
}
