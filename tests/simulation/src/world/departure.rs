//! The last scene, when everything is quiet: every charger reconnects, hangs up at once, before its registration is
//! answered or just after, and never comes back. What routes are left then, the judge says.

use domain::ids::ChargePointId;
use domain::slot::Device;

use super::World;
use super::event::Event;
use crate::plan::{MS, SECOND};

/// A registration takes about so long, so that its reply comes before the end or after it.
const REGISTRATION_US: u64 = 6 * MS;
/// How long the edges and routers have to note that nobody is there any more.
const NOTED_US: u64 = 15 * SECOND;
/// A charger that found no edge in this time stays away.
const PATIENCE_US: u64 = 60 * SECOND;

impl World {
    /// The scene begins.
    pub(super) fn leave_for_good(&mut self) {
        self.leaving_since = Some(self.schedule.now());
        for n in 0..self.plan.chargers {
            self.drop_charger(n, false, 0);
        }
    }

    /// A charger that leaves is connected: it hangs up soon.
    pub(super) fn plan_hang_up(&mut self, charger: usize) {
        if self.leaving_since.is_some() {
            let us = self.dice.below(REGISTRATION_US);
            self.schedule.after(us, Event::HangUp(charger));
        }
    }

    /// A charger hangs up for good.
    pub(super) fn hang_up(&mut self, charger: usize) {
        self.chargers[charger].awake = false;
        self.drop_charger(charger, false, 0);
        self.leaving_since = Some(self.schedule.now());
    }

    /// When all have left for long, no route may be left. One of an edge's life that is over ends by itself.
    pub(super) fn judge_departure(&mut self, since: u64) {
        let waited = self.schedule.now() - since;
        let there = (0..self.plan.chargers).any(|n| self.chargers[n].awake);
        if waited < if there { PATIENCE_US } else { NOTED_US } {
            return;
        }
        let (now, edges) = (self.redis_now(), &self.edges);
        // A half-open socket is held until its edge notices.
        let holder = |charge_point: &ChargePointId, device: &Device| {
            let n = edges
                .iter()
                .position(|e| e.process.up && e.incarnation() == device.incarnation)?;
            let gone = !edges[n].holds(charge_point, device.version);
            gone.then_some((n, edges[n].process.life))
        };
        self.judge.deserted(&self.redis.data, now, holder);
        self.over = true;
    }
}
