//! The leases as Redis gave them, told by the routers before the edges heard of them. A run that tells of none is an
//! older one, and the edges' word must do.

use std::collections::HashMap;

use super::super::Violation;
use crate::event::{Leased, Write};
use crate::symbols::Sym;
use crate::world::World;

/// Two readings of one clock.
const ROUNDING_US: u64 = 1_000;

/// What Redis gave each pod, in the order of the machine's clock.
pub(super) struct Given<'a>(HashMap<Sym, Vec<&'a Leased>>);

impl<'a> Given<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut given: HashMap<Sym, Vec<&Leased>> = HashMap::new();
        for leased in &world.log.leased {
            given.entry(leased.pod).or_default().push(leased);
        }
        Self(given)
    }

    /// What a write contradicts.
    pub(super) fn breach(&self, world: &World, write: &Write) -> Option<Violation> {
        if self.0.is_empty() {
            return None;
        }
        let all = self.0.get(&write.at.process).map_or(&[][..], |all| all);
        let by = write.at.m_us.saturating_add(ROUNDING_US);
        let told = &all[..all.partition_point(|l| l.at.m_us <= by)];
        let own = told.iter().filter(|l| l.inc == write.inc);
        let Some(longest) = own.max_by_key(|l| l.expires_us) else {
            return Some(Violation::new("written under a lease that the store never gave"));
        };
        let until = world.clock.machine_at_most(longest.expires_us)?;
        let allowed = world.allowance(&write.at, until);
        if write.at.m_us > until.saturating_add(allowed) {
            let late = (write.at.m_us - until) / 1_000;
            let what = format!("written {late} ms after the lease that the store had given");
            return Some(Violation::new(what).line(longest.at));
        }
        let newer = told.iter().find(|l| {
            let since = l.at.m_us;
            l.inc > write.inc && write.at.m_us > since.saturating_add(world.allowance(&write.at, since))
        })?;
        Some(Violation::new("written by a life that a newer one of its pod had replaced").line(newer.at))
    }
}
