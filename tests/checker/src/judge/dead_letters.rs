//! Invariant 18: every dead letter is published at least once and carries a unique id; so is every other end.
//!
//! Evidence: what readers of the results and dead letter topics found. Judged: no two commands share a record id on a
//! topic, and no two records of a charger a number; a record that is seen for the first time never has a number below
//! one seen before in its partition (a reader drops it: a result would be lost); and once a run is drained, every
//! end has a result, and every `Failed` or `Expired` one a dead letter. Exercised: each dead letter that was
//! published, and where the run drained each other one. Allowed: under `relaxed`, ends shortly before Redis was lost. That one command has one record is invariant 4's.

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::Record;
use crate::symbols::Sym;
use crate::world::World;
use crate::world::commands::Command;

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    shared_ids(world, &mut judgement);
    order(world, &mut judgement);
    for command in &world.commands {
        let Some(end) = command.end() else {
            continue;
        };
        let is_dead = end.state.is_dead_letter();
        if is_dead && (world.drained.is_some() || command.records(world).any(|r| r.dead)) {
            judgement.seen();
        }
        if world.drained.is_none_or(|drained| end.at.m_us > drained.m_us)
            || world.may_be_forgotten(end.at.m_us)
        {
            continue;
        }
        if let Some(what) = missing(world, command, is_dead) {
            judgement.broken(
                Violation::new(what)
                    .command(command.id)
                    .charger(command.charger(world))
                    .line(end.at),
            );
        }
    }
    judgement
}

fn missing(world: &World, command: &Command, is_dead: bool) -> Option<&'static str> {
    if !command.records(world).any(|r| !r.dead) {
        return Some("ended, and its result was never published");
    }
    if is_dead && !command.records(world).any(|r| r.dead) {
        return Some("a dead letter that was never published");
    }
    None
}

/// A record id that stands for two commands.
fn shared_ids(world: &World, judgement: &mut Judgement) {
    let mut owners: HashMap<(bool, Sym), &Record> = HashMap::new();
    let mut numbers: HashMap<(bool, Sym, u64), &Record> = HashMap::new();
    for record in &world.log.records {
        let by_id = *owners.entry((record.dead, record.record_id)).or_insert(record);
        let number = (record.dead, record.cp, record.seq);
        let by_number = *numbers.entry(number).or_insert(record);
        let found = [
            (by_id, "two commands share a record id"),
            (by_number, "two commands share a number"),
        ];
        // A number that the store may have forgotten is given again.
        let shared = |owner: &Record| owner.id != record.id && !world.may_be_forgotten(owner.at.m_us);
        for (owner, what) in found.into_iter().filter(|(owner, _)| shared(owner)) {
            judgement.broken(
                Violation::new(what)
                    .command(record.id)
                    .charger(record.cp)
                    .line(owner.at)
                    .line(record.at),
            );
        }
    }
}

/// A record that a reader who drops old numbers would never see.
fn order(world: &World, judgement: &mut Judgement) {
    let mut records: Vec<&Record> = world.log.records.iter().collect();
    records.sort_by_key(|r| (r.partition, r.offset, r.at.m_us));
    let mut highest: HashMap<(Sym, i64, Sym), &Record> = HashMap::new();
    let mut seen: HashMap<(Sym, Sym), ()> = HashMap::new();
    for record in records {
        let is_first = seen.insert((record.topic, record.record_id), ()).is_none();
        let place = (record.topic, record.partition, record.cp);
        let before = *highest.entry(place).or_insert(record);
        if is_first && record.seq < before.seq && !world.may_be_forgotten(before.at.m_us) {
            judgement.broken(
                Violation::new("a result came behind a later one of its charger")
                    .command(record.id)
                    .charger(record.cp)
                    .line(before.at)
                    .line(record.at),
            );
        }
        if record.seq > before.seq {
            highest.insert(place, record);
        }
    }
}
