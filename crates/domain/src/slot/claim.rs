//! Claims: wherever a lane became free or work became due, the next command of the lane is on its way.
//!
//! The next one is the first by priority, then arrival. In the normal lane a command that waits is overtaken so
//! often at most by ones that came later; then its turn comes, so that no backlog of high ones starves a low one.

use super::{ARRIVALS, Call, Claimed, SlotModel};
use crate::command::{Command, Lane, Route};
use crate::delivery::{Event, EventKind};
use crate::ids::{ChargePointId, CommandId, DispatchNumber, Micros, Nonce, grown};

impl SlotModel {
    /// Claims the next of each lane that is free, if the charger has a route. With `force`, a backoff does
    /// not hold it back.
    pub(super) fn claim_lanes(&mut self, id: &ChargePointId, force: bool, call: &Call) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        for lane in Lane::ALL {
            let free = self
                .devices
                .get(id)
                .is_some_and(|d| d.has_route(call.now) && d.lane(lane).is_none());
            if let Some((next, overtakes)) = self.next(id, lane, call.now).filter(|_| free)
                && (force
                    || self
                        .commands
                        .get(&next)
                        .is_some_and(|c| c.progress.timer <= call.now))
            {
                self.device(id).overtakes = overtakes;
                self.claim(next, call);
                claimed.extend(self.commands.get(&next).map(|c| Claimed { command: c.clone() }));
            }
        }
        claimed
    }

    /// The next command of a lane, and how often the longest waiting one is then overtaken.
    fn next(&self, id: &ChargePointId, lane: Lane, now: Micros) -> Option<(CommandId, u32)> {
        let head = self.waiting(id, lane, now).next()?;
        let overtakes = self.devices.get(id).map_or(0, |d| d.overtakes);
        // What was claimed before keeps its place: what came later must not overwrite it, nor it what came later.
        if lane == Lane::Urgent || head.progress.dispatch.0 > 0 {
            return Some((head.request.id, overtakes));
        }
        let oldest = self.waiting(id, lane, now).min_by_key(|c| c.score % ARRIVALS)?;
        Some(if oldest.request.id == head.request.id {
            (head.request.id, 0)
        } else if overtakes >= self.settings.max_overtakes {
            (oldest.request.id, 0)
        } else {
            (head.request.id, overtakes + 1)
        })
    }

    /// What waits in a lane with its deadline ahead, in order.
    fn waiting<'a>(
        &'a self,
        id: &ChargePointId,
        lane: Lane,
        now: Micros,
    ) -> impl Iterator<Item = &'a Command> + use<'a> {
        let queue = self.queues.get(id).into_iter().flat_map(|q| q.values());
        queue
            .filter_map(|c| self.commands.get(c))
            .filter(move |c| c.request.priority.lane() == lane && c.deadline > now)
    }

    fn claim(&mut self, id: CommandId, call: &Call) {
        let event = Event::open(EventKind::Claim);
        let Some(command) = self.commands.get_mut(&id) else {
            return;
        };
        let device = self.devices.get(&command.request.charge_point);
        command.progress.route = device.and_then(|d| {
            Some(Route {
                pod: d.pod.clone()?,
                incarnation: d.incarnation,
                version: d.version,
            })
        });
        command.progress.dispatch = DispatchNumber(grown(command.progress.dispatch.0, 0, call.now));
        command.progress.nonce = Nonce(0);
        command.progress.write_before = Micros(0);
        self.decide_and_change(id, &event, None, call);
    }
}
