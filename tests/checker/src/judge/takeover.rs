//! Invariant 17: a paused or killed router's work is taken over within the lease; what it does on waking loses.
//!
//! Evidence: the faults that kill a router, or pause it for longer than the lease; the claims it had made last; ends
//! told of while it was away, and the results topic. Exercised: a command was in its hands, claimed by it and not yet
//! written, or ended while it was away; or it spoke of an older dispatch on waking. Judged: what it had claimed goes
//! on (claimed, written, decided about or ended) and what ended is on the results topic within `takeover_ms` of quiet
//! times, its own absence not counted; a stale event of its first lease after waking is not applied. Allowed: a
//! command whose charger did not stay connected waits; nothing is judged for which the run ended too soon.

use super::{Judgement, Violation, stale};
use crate::event::{At, Dispatch, Seen, Verdict};
use crate::world::World;
use crate::world::commands::Command;
use crate::world::faults::{Class, Fault};

/// Judges it.
pub(super) fn judge(world: &World) -> Judgement {
    let mut judgement = Judgement::default();
    for outage in world.faults.all.iter().filter(|f| is_outage(world, f)) {
        for command in &world.commands {
            if let Some(claim) = left_behind(world, command, outage) {
                judgement.seen();
                if let Some(violation) = stuck(world, command, outage, claim) {
                    judgement.broken(violation);
                }
            }
            if let Some(at) = ended_meanwhile(world, command, outage) {
                judgement.seen();
                if let Some(violation) = unpublished(world, command, outage, at) {
                    judgement.broken(violation);
                }
            }
        }
    }
    for command in &world.commands {
        for applied in command.applied(world).filter(|a| is_woken(world, &a.at)) {
            if let Some(newer) = stale::outdated_by(world, command, applied) {
                judgement.seen();
                if applied.verdict == Verdict::Applied {
                    judgement.broken(stale::wrongly_applied(applied, newer));
                }
            }
        }
    }
    judgement
}

/// A router wrote this within a lease after it was woken.
pub(super) fn is_woken(world: &World, at: &At) -> bool {
    let name = world.name(at.process).to_lowercase();
    world.faults.all.iter().any(|f| {
        f.stops_router()
            && f.class == Class::Pause
            && f.target == name
            && f.to_m_us
                .is_some_and(|woken| woken <= at.m_us && at.m_us <= woken.saturating_add(world.run.lease_us))
    })
}

fn is_outage(world: &World, fault: &Fault) -> bool {
    let lasted = fault.to_m_us.unwrap_or(u64::MAX).saturating_sub(fault.at.m_us);
    fault.stops_router() && (fault.class == Class::Kill || lasted > world.run.lease_us)
}

/// The router's last claim of a command that nobody had written yet.
fn left_behind<'a>(world: &'a World, command: &'a Command, outage: &Fault) -> Option<&'a Dispatch> {
    let begun = outage.at.m_us;
    let claim = command.dispatches(world).rfind(|d| d.at.m_us <= begun)?;
    let recent = begun - claim.at.m_us <= world.run.dispatch_lease_us;
    let its_own = world.name(claim.at.process).to_lowercase() == outage.target;
    let written = command
        .writes(world)
        .any(|w| w.dispatch == claim.dispatch && w.at.m_us <= begun);
    let open = command.end().is_none_or(|end| end.at.m_us > begun);
    let decided = command
        .applied(world)
        .any(|a| a.at.m_us > claim.at.m_us && a.at.m_us <= begun);
    (recent && its_own && open && !written && !decided).then_some(claim)
}

fn stuck(world: &World, command: &Command, outage: &Fault, claim: &Dispatch) -> Option<Violation> {
    let from = outage.at.m_us;
    let limit = limit_m_us(world, outage, from)?;
    let later = |at: At| at.m_us > from && at.m_us <= limit;
    let goes_on = command.dispatches(world).any(|d| later(d.at))
        || command.writes(world).any(|w| later(w.at))
        || command.applied(world).any(|a| later(a.at))
        || command.end().is_some_and(|e| e.at.m_us <= limit);
    let kept = world.charger(claim.cp).is_some_and(|charger| {
        let mut own = charger.own(world);
        !own.any(|line| line.seen == Seen::Disconnected && later(line.at))
            && charger
                .own(world)
                .any(|line| line.seen == Seen::Connected && line.at.m_us <= from)
    });
    (!goes_on && kept).then(|| {
        Violation::new("a dead or paused router's claim was left lying")
            .command(command.id)
            .charger(claim.cp)
            .line(claim.at)
            .line(outage.at)
    })
}

/// Where the command's end was told while the router was away.
fn ended_meanwhile(world: &World, command: &Command, outage: &Fault) -> Option<At> {
    let end = command.end()?;
    let until = outage.to_m_us.unwrap_or(world.last_m_us);
    (end.at.m_us >= outage.at.m_us && end.at.m_us <= until).then_some(end.at)
}

fn unpublished(world: &World, command: &Command, outage: &Fault, ended: At) -> Option<Violation> {
    let limit = limit_m_us(world, outage, ended.m_us)?;
    if command.records(world).any(|r| !r.dead && r.at.m_us <= limit) {
        return None;
    }
    Some(
        Violation::new("ended while a router was away, and its result was not taken over")
            .command(command.id)
            .charger(command.charger(world))
            .line(outage.at)
            .line(ended),
    )
}

/// Until when the work must have been taken over; none if the run says nothing about it.
fn limit_m_us(world: &World, outage: &Fault, from_m_us: u64) -> Option<u64> {
    let quiet = world
        .faults
        .quiet_but_for(outage, from_m_us, world.run.takeover_us)?;
    let limit = quiet
        .saturating_add(world.run.takeover_us)
        .saturating_add(world.run.epsilon_us);
    (limit < world.last_m_us).then_some(limit)
}
