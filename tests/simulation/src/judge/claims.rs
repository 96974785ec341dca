//! The judge at the claims: which of a charger's waiting commands goes first. By priority, then arrival; a retry
//! keeps its place; the urgent lane waits for nothing else; what waits longest is overtaken so often at most.

use std::cmp::Reverse;

use domain::command::{Command, Lane, Priority, Request, Status};
use domain::ids::{ChargePointId, CommandId, Micros};
use domain::slot::{AcceptReply, RegisterReply};

use super::store::Before;
use super::{Book, Judge};
use crate::world::{Data, Said};

/// What a claim passed by.
struct Others {
    /// The first of them by priority, then arrival.
    first: Option<CommandId>,
    /// One of them came before the claimed one.
    older: bool,
}

/// The order of a lane.
fn order(book: &Book) -> (Reverse<Priority>, u64) {
    (Reverse(book.priority), book.arrival)
}

impl Judge {
    /// An urgent command for a charger that nothing urgent is under way to goes at once, whatever else is.
    pub(super) fn judge_urgent(&mut self, request: &Request, free: bool, reply: &AcceptReply) {
        let AcceptReply::Accepted { claimed, .. } = reply else {
            return;
        };
        if free && request.priority == Priority::Urgent {
            let goes = claimed.iter().any(|c| c.command.request.id == request.id);
            self.rule("urgent goes at once", 13, goes, || {
                format!("urgent {} waits, and its lane is free", request.id)
            });
        }
    }

    /// Every claim of a script.
    pub(super) fn judge_claims(&mut self, before: &Before, said: &Said, data: &Data, now: Micros) {
        for claimed in claims_of(said) {
            let charge_point = &claimed.request.charge_point;
            // Between two events about one charger nobody looks: what waited at each claim is not known then.
            if touches(before, said, charge_point, data) > 1 {
                self.resume(charge_point, data);
            } else {
                self.judge_claim(before, claimed, data, now);
            }
            if let Some(book) = self.commands.get_mut(&claimed.request.id) {
                book.claims += 1;
            }
        }
    }

    fn judge_claim(&mut self, before: &Before, claimed: &Command, data: &Data, now: Micros) {
        let (id, charge_point) = (claimed.request.id, &claimed.request.charge_point);
        let lane = claimed.request.priority.lane();
        let Some(others) = self.others(id, lane, data, now) else {
            return;
        };
        let is_first = others.first.is_none_or(|o| self.order_of(id) < self.order_of(o));
        let first = if is_first { Some(id) } else { others.first };
        let retry = first
            .and_then(|f| self.commands.get(&f))
            .is_some_and(|b| b.claims > 0);
        let most = self.settings.max_overtakes;
        let overtakes = self.overtakes.entry(charge_point.clone()).or_default();
        let count = *overtakes;
        if lane == Lane::Normal && !(retry && is_first) {
            *overtakes = if is_first && others.older { count + 1 } else { 0 };
        }
        let name = match before {
            Before::Register(..) => "order at a reconnect",
            _ => "order of a claim",
        };
        if others.first.is_some() {
            let turn = lane == Lane::Normal && !retry && !others.older && count >= most;
            self.rule(name, 13, is_first || turn, || {
                format!("{id} was claimed before {first:?}, which is first; overtaken {count} times")
            });
        }
        if lane == Lane::Normal && !retry && others.older {
            self.rule("overtaken while waiting", 13, count < most, || {
                format!("{id} overtakes what was overtaken {count} times already")
            });
        } else if !is_first {
            self.rule("turn of what waited longest", 13, true, String::new);
        }
    }

    /// What waited in the lane beside a claimed command; none if that is not known.
    fn others(&self, id: CommandId, lane: Lane, data: &Data, now: Micros) -> Option<Others> {
        let own = self.commands.get(&id)?;
        let mut others = Others {
            first: None,
            older: false,
        };
        let waiting = |c: &&Command| c.progress.status == Status::Pending && c.deadline > now;
        for other in lane_of(data, &own.charge_point, lane).filter(waiting) {
            let Some(book) = self.commands.get(&other.request.id) else {
                continue;
            };
            others.older |= book.arrival < own.arrival;
            if others.first.is_none_or(|f| Some(order(book)) < self.order_of(f)) {
                others.first = Some(other.request.id);
            }
        }
        Some(others)
    }

    fn order_of(&self, id: CommandId) -> Option<(Reverse<Priority>, u64)> {
        self.commands.get(&id).map(order)
    }

    /// Goes on from what the store says: after a roll-back, or where nobody looked.
    fn resume(&mut self, charge_point: &ChargePointId, data: &Data) {
        let overtakes = data.device(charge_point).map_or(0, |d| d.overtakes);
        self.overtakes.insert(charge_point.clone(), overtakes);
    }

    /// The store was rolled back: so are the books of what it forgot.
    pub(super) fn resume_all(&mut self, data: &Data) {
        for charge_point in self.overtakes.keys().cloned().collect::<Vec<_>>() {
            self.resume(&charge_point, data);
        }
        for (id, book) in &mut self.commands {
            let claimed = data.command(*id).is_some_and(|c| c.progress.dispatch.0 > 0);
            book.claims = u32::from(claimed);
        }
    }
}

/// Whether the charger has a route and no urgent command is open.
pub(super) fn urgent_is_free(data: &Data, charge_point: &ChargePointId, now: Micros) -> bool {
    let route = data.device(charge_point).is_some_and(|d| d.has_route(now));
    route && !lane_of(data, charge_point, Lane::Urgent).any(|c| !c.progress.status.is_terminal())
}

/// A charger's commands of one lane.
fn lane_of<'a>(
    data: &'a Data,
    charge_point: &'a ChargePointId,
    lane: Lane,
) -> impl Iterator<Item = &'a Command> + use<'a> {
    let commands = data.slots[data.slot_of(charge_point)].commands.values();
    commands.filter(move |c| c.request.charge_point == *charge_point && c.request.priority.lane() == lane)
}

/// What a script claimed.
fn claims_of(said: &Said) -> Vec<&Command> {
    match said {
        Said::Accepted(AcceptReply::Accepted { claimed, .. })
        | Said::Registered(RegisterReply::Registered { claimed, .. })
        | Said::Renewed(_, claimed)
        | Said::Due { claimed, .. } => claimed.iter().map(|c| &c.command).collect(),
        Said::Applied(applied) => {
            let claimed = applied.iter().flat_map(|a| &a.claimed);
            claimed.map(|c| &c.command).collect()
        }
        _ => Vec::new(),
    }
}

/// How many events of a script were about a charger.
fn touches(before: &Before, said: &Said, charge_point: &ChargePointId, data: &Data) -> usize {
    let about = |id: &CommandId| {
        data.command(*id)
            .is_some_and(|c| c.request.charge_point == *charge_point)
    };
    match (before, said) {
        (Before::Apply(events), _) => events.iter().filter(|e| about(&e.id)).count(),
        (Before::RunDue { .. }, Said::Due { handled, .. }) => handled.iter().filter(|id| about(id)).count(),
        _ => 1,
    }
}
