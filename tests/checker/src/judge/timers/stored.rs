//! What the dump itself says about timers, queues, lanes and counts: each is derived again here from the commands that
//! lie there. A dump is no snapshot: where services went on while it was made, what moved shortly before its end says
//! nothing.

use std::collections::{HashMap, HashSet};

use super::super::{Judgement, Violation};
use crate::dump::{Device, Open};
use crate::event::{At, State};
use crate::symbols::Sym;
use crate::world::World;

/// How long making the dump may take.
const DUMPING_US: u64 = 15_000_000;

/// Judges the dump.
pub(super) fn judge(world: &World, judgement: &mut Judgement) {
    let stored = Stored::of(world);
    for command in world.dump.open.iter().filter(|c| !stored.moves(c.id)) {
        for what in stored.wrong(command) {
            let violation = Violation::new(format!("in the dump: {what}"));
            judgement.broken(violation.command(command.id).charger(command.cp));
        }
    }
    for (id, what) in stored.strays() {
        judgement.broken(Violation::new(format!("in the dump: {what}")).command(id));
    }
    for (&cp, device) in &world.dump.devices {
        for what in stored.wrong_device(cp, device) {
            judgement.broken(Violation::new(format!("in the dump: {what}")).charger(cp));
        }
    }
    judgement.exercised += world.dump.open.len() as u64;
}

/// The dump, by what is looked up.
struct Stored<'a> {
    world: &'a World,
    open: HashMap<Sym, &'a Open>,
    due: HashMap<(Sym, Sym), Option<u64>>,
    queued: HashSet<(Sym, Sym, Sym)>,
    moving: HashSet<Sym>,
}

impl<'a> Stored<'a> {
    fn of(world: &'a World) -> Self {
        let dump = &world.dump;
        let timers = dump.timers.iter();
        let queues = dump.queues.iter();
        Self {
            world,
            open: dump.open.iter().map(|c| (c.id, c)).collect(),
            due: timers
                .flat_map(|(&slot, timers)| timers.iter().map(move |&(id, score)| ((slot, id), score)))
                .collect(),
            queued: queues
                .flat_map(|(&(slot, cp), ids)| ids.iter().map(move |&id| (slot, cp, id)))
                .collect(),
            moving: moving(world),
        }
    }

    /// Something happened to it while the dump may have been under way.
    fn moves(&self, id: Sym) -> bool {
        self.moving.contains(&id)
    }

    /// What is wrong with an open command.
    fn wrong(&self, command: &Open) -> Vec<&'static str> {
        let due = self.due.get(&(command.slot, command.id));
        let queued = self.queued.contains(&(command.slot, command.cp, command.id));
        let device = self.world.dump.devices.get(&command.cp);
        let lane = device.map(|d| d.lanes[usize::from(command.is_urgent)]);
        let aside = command.is_unsafe && command.state == State::Delivered;
        let at_another_time = due.is_some_and(|score| score.is_some_and(|us| us != command.due_us()));
        let out_of_lane = command.is_on_its_way() && lane.is_some_and(|lane| lane.is_none());
        let checks = [
            (due.is_none(), "open, and without a timer"),
            (at_another_time, "open, and its timer is not when it is due"),
            (
                !command.is_on_its_way() && !queued,
                "pending, and not in its queue",
            ),
            (command.is_on_its_way() && queued, "on its way, and in the queue"),
            (out_of_lane && !aside, "on its way, and nothing holds its lane"),
            (
                self.world.dump.ended.contains_key(&command.id),
                "both open and ended",
            ),
        ];
        let wrong = checks.iter().filter(|(wrong, _)| *wrong);
        wrong.map(|(_, what)| *what).collect()
    }

    /// What stands for no open command, and what would stay for ever.
    fn strays(&self) -> Vec<(Sym, &'static str)> {
        let timers = self.due.keys().filter(|(_, id)| !self.open.contains_key(id));
        let timers = timers.map(|&(_, id)| (id, "a timer for what is not open"));
        let queued = self
            .queued
            .iter()
            .filter(|(_, _, id)| !self.open.contains_key(id));
        let queued = queued.map(|&(_, _, id)| (id, "queued, and not open"));
        let kept = self
            .world
            .dump
            .ended
            .iter()
            .filter(|(_, (_, ttl_ms))| *ttl_ms == -1);
        let kept = kept.map(|(&id, _)| (id, "ended, and kept for ever"));
        let mut strays: Vec<_> = timers
            .chain(queued)
            .chain(kept)
            .filter(|(id, _)| !self.moves(*id))
            .collect();
        strays.sort_by_key(|&(id, what)| (self.world.name(id), what));
        strays
    }

    /// What is wrong with a charger's lanes and count.
    fn wrong_device(&self, cp: Sym, device: &Device) -> Vec<String> {
        let own: Vec<&Open> = self.world.dump.open.iter().filter(|c| c.cp == cp).collect();
        let lanes = device.lanes.iter().filter(|id| !id.is_none());
        let moves = own.iter().any(|c| self.moves(c.id)) || lanes.clone().any(|&id| self.moves(id));
        if moves || self.moves(cp) {
            return Vec::new();
        }
        let held_by = |id: &&Sym| self.open.get(id).is_some_and(|c| c.is_on_its_way());
        let stale = lanes.filter(|id| !held_by(id));
        let mut wrong: Vec<String> = stale
            .map(|&id| {
                format!(
                    "a lane is held by {}, which is not on its way",
                    self.world.name(id)
                )
            })
            .collect();
        let count = own.len() as u64;
        if let Some(told) = device.open.filter(|&told| told != count) {
            wrong.push(format!(
                "{told} open commands are counted, and {count} are stored"
            ));
        }
        wrong
    }
}

/// The commands, and their chargers, of which something is told while the dump may have been under way. Without a word
/// about when it was made, it was made behind everything.
fn moving(world: &World) -> HashSet<Sym> {
    let Some(dumped) = world.dumped else {
        return HashSet::new();
    };
    let from_m_us = dumped.m_us.saturating_sub(DUMPING_US);
    let late = |at: &At| at.m_us >= from_m_us;
    let log = &world.log;
    let ended = log.ended.iter().filter(|l| late(&l.at)).map(|l| l.id);
    let applied = log.applied.iter().filter(|l| late(&l.at)).map(|l| l.id);
    let claimed = log.dispatches.iter().filter(|l| late(&l.at)).map(|l| l.id);
    let swept = log.swept.iter().filter(|l| late(&l.at)).map(|l| l.id);
    let accepted = log.replies.iter().filter(|l| late(&l.at)).map(|l| l.id);
    let ids: HashSet<Sym> = ended
        .chain(applied)
        .chain(claimed)
        .chain(swept)
        .chain(accepted)
        .collect();
    let chargers: Vec<Sym> = ids
        .iter()
        .filter_map(|&id| world.command(id).map(|c| c.charger(world)))
        .collect();
    ids.into_iter()
        .chain(chargers)
        .filter(|sym| !sym.is_none())
        .collect()
}
