//! Invariant 10: no command is written after its version's lease ended, and outside the declared bounds one version
//! of a charger's connection writes.
//!
//! Evidence: the edges' `write` lines (the write call) with the end of the lease that the edge went by, their `lease`
//! and `lapsed` lines, the routers' `registered` lines, and their `leased` ones: what Redis gave, by Redis time. Judged:
//! no write after that end, nor after the incarnation was given up; no lease that is longer than any that was told; no
//! write after what Redis gave, whatever the edge believes, nor by a life that a newer one of its pod had replaced
//! (`leases/given.rs`); no write by a version that a newer one displaced. Exercised: a lease lapsed while its edge held a charger; a newer version was registered elsewhere while the older
//! socket stood. Allowed: ε and the pauses of the process (declared bound 5); for the older version `kick_ms` in
//! quiet times from the registration of the newer, without limit while something is disturbed (bounds 2 and 4).

mod given;

use std::collections::HashMap;

use super::{Judgement, Violation};
use crate::event::{Lapsed, Lease, Registered, Write};
use crate::symbols::Sym;
use crate::world::World;
use crate::world::chargers::Charger;

/// An incarnation of a process.
type Life = (Sym, u32, u64);

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    lapses(world, &mut judgement);
    let (leases, given) = (Leases::of(world), given::Given::of(world));
    for write in &world.log.writes {
        let found = leases.breach(world, write).or_else(|| given.breach(world, write));
        if let Some(violation) = found {
            judgement.broken(violation.command(write.id).charger(write.cp).line(write.at));
        }
    }
    for charger in &world.chargers {
        displaced(world, charger, &mut judgement);
    }
    judgement
}

/// A lease lapsed under a charger.
fn lapses(world: &World, judgement: &mut Judgement) {
    for lapsed in &world.log.lapsed {
        let at = lapsed.at;
        let held = world.log.opens.iter().any(|open| {
            let closed = |c: &&crate::event::Close| c.socket == open.socket && c.at.same_process(&open.at);
            open.at.same_process(&at)
                && open.at.m_us <= at.m_us
                && world.charger(open.cp).is_some_and(|charger| {
                    charger
                        .closes(world)
                        .find(closed)
                        .is_none_or(|c| c.at.m_us > at.m_us)
                })
        });
        if held {
            judgement.seen();
        }
    }
}

/// What was told of the edges' leases.
struct Leases<'a> {
    told: HashMap<Life, Vec<&'a Lease>>,
    lapsed: HashMap<Life, &'a Lapsed>,
}

impl<'a> Leases<'a> {
    fn of(world: &'a World) -> Self {
        let mut told: HashMap<Life, Vec<&Lease>> = HashMap::new();
        for lease in &world.log.leases {
            let life = (lease.at.process, lease.at.pid, lease.inc);
            told.entry(life).or_default().push(lease);
        }
        let mut lapsed = HashMap::new();
        for line in &world.log.lapsed {
            lapsed
                .entry((line.at.process, line.at.pid, line.inc))
                .or_insert(line);
        }
        Self { told, lapsed }
    }

    fn breach(&self, world: &World, write: &Write) -> Option<Violation> {
        let life = (write.at.process, write.at.pid, write.inc);
        let told = self.told.get(&life).map_or(&[][..], |told| told);
        let before = told.partition_point(|lease| lease.at.m_us <= write.at.m_us);
        let longest = told[..before].iter().map(|lease| lease.until_m_us).max();
        // An edge whose lease ended between its check and this line has no end to tell any more.
        let until = match write.lease_until_m_us {
            0 => longest.unwrap_or(0),
            until => until,
        };
        let allowed = world.allowance(&write.at, until);
        if write.at.m_us > until.saturating_add(allowed) {
            let late = (write.at.m_us - until) / 1_000;
            return Some(Violation::new(format!("written {late} ms after the lease")));
        }
        if let Some(lapsed) = self.lapsed.get(&life) {
            let allowed = world.allowance(&write.at, lapsed.at.m_us);
            if write.at.m_us > lapsed.at.m_us.saturating_add(allowed) {
                return Some(Violation::new("written in a life that had lapsed").line(lapsed.at));
            }
        }
        let invented = longest.is_none_or(|told| until > told.saturating_add(world.run.epsilon_us));
        invented.then(|| Violation::new("written under a lease that nobody gave"))
    }
}

/// Writes by a version that a newer one displaced.
fn displaced(world: &World, charger: &Charger, judgement: &mut Judgement) {
    let registered: Vec<&Registered> = charger.registered(world).collect();
    for (i, newer) in registered.iter().enumerate() {
        let older = registered[..i].iter().rfind(|r| r.version < newer.version);
        let elsewhere = older.is_some_and(|r| r.pod != newer.pod);
        if elsewhere && older_socket_stands(world, charger, newer) {
            judgement.seen();
        }
    }
    for write in charger.writes(world) {
        let by_kick = registered.iter().find(|r| {
            let since = r.at.m_us;
            let until = since.saturating_add(world.run.kick_us);
            r.version > write.version
                && write.at.m_us > until.saturating_add(world.allowance(&write.at, since))
                && !world.faults.disturb(since, write.at.m_us)
        });
        let known = charger.versions(world).find(|v| {
            v.version > write.version
                && v.at.same_process(&write.at)
                && write.at.m_us > v.at.m_us.saturating_add(world.allowance(&write.at, v.at.m_us))
        });
        if let Some(line) = by_kick.map(|r| r.at).or(known.map(|v| v.at)) {
            judgement.broken(
                Violation::new("written by a version that a newer one had displaced")
                    .command(write.id)
                    .charger(write.cp)
                    .line(line)
                    .line(write.at),
            );
        }
    }
}

/// When the newer one was registered, an edge still held an older socket of the charger.
fn older_socket_stands(world: &World, charger: &Charger, newer: &Registered) -> bool {
    charger.versions(world).any(|v| {
        let closed = charger
            .closes(world)
            .find(|c| c.socket == v.socket && c.at.same_process(&v.at));
        v.version < newer.version
            && v.at.m_us < newer.at.m_us
            && closed.is_none_or(|c| c.at.m_us > newer.at.m_us)
    })
}
