//! The judge at the events: what is stale changes nothing, what has ended stays, an answer ends what is open.

use domain::command::{Command, Status};
use domain::delivery::{Event, EventKind};
use domain::ids::{ChargePointId, CommandId, Version};
use domain::slot::{Device, EventInput};

use super::{Judge, is_end};
use crate::world::Data;

/// An event, and what it found.
pub(crate) struct Applied {
    pub(super) id: CommandId,
    pub(super) event: Event,
    /// The charger that it speaks of, where it says so.
    speaks_of: Option<ChargePointId>,
    command: Option<Box<Command>>,
    device: Option<Device>,
}

impl Applied {
    pub(super) fn of(input: &EventInput, data: &Data) -> Self {
        let command = data.command(input.id).cloned().map(Box::new);
        Self {
            id: input.id,
            event: input.event,
            speaks_of: input.charge_point.clone(),
            device: command
                .as_ref()
                .and_then(|c| data.device(&c.request.charge_point))
                .cloned(),
            command,
        }
    }
}

impl Judge {
    pub(super) fn judge_events(&mut self, events: &[Applied], data: &Data) {
        for one in events {
            let Some(before) = &one.command else { continue };
            let (id, kind) = (one.id, one.event.kind);
            let alone = events.iter().filter(|other| other.id == id).count() == 1;
            let Some(after) = data.command(id) else {
                return self.fail(1, || format!("{id} is gone"));
            };
            if is_end(before.progress.status) {
                self.check(4, after.progress == before.progress || self.relaxed, || {
                    format!("{id} had ended, and {kind:?} changed it to {:?}", after.progress)
                });
            } else if alone {
                self.judge_event(one, before, after);
            }
            if kind == EventKind::StaleRoute && events.len() == 1 {
                let named = (one.event.version, one.event.incarnation.0);
                self.judge_old_socket(&before.request.charge_point, named, one.device.as_ref(), data);
            }
        }
    }

    fn judge_event(&mut self, one: &Applied, before: &Command, after: &Command) {
        let (id, kind) = (one.id, one.event.kind);
        let (was, is) = (&before.progress, &after.progress);
        // A claim may follow in the same script, of what waited and of nothing else.
        let claimed = was.status == Status::Pending && is.dispatch > was.dispatch;
        if kind == EventKind::Answer {
            let own = one.speaks_of.as_ref() == Some(&before.request.charge_point);
            let right = if own {
                is.status == Status::Acknowledged
            } else {
                is == was || claimed
            };
            return self.check(8, right, || {
                format!(
                    "{id} was answered, by its own charger: {own}, and is {:?}",
                    is.status
                )
            });
        }
        if is_stale(&one.event, before) {
            self.check(8, is == was || claimed, || {
                format!(
                    "a stale {kind:?} changed {id} from {:?} to {:?}",
                    was.status, is.status
                )
            });
        }
    }
}

/// Whether an event names another dispatch, version or grant than the command has.
fn is_stale(event: &Event, before: &Command) -> bool {
    let was = &before.progress;
    let granted = was.status == Status::Delivered;
    let other_nonce = granted && was.nonce != event.nonce;
    let other = || {
        let version = was.route.as_ref().map_or(Version(0), |r| r.version);
        was.dispatch != event.dispatch || version != event.version
    };
    match event.kind {
        EventKind::Intent | EventKind::NonWrite => other() || other_nonce,
        EventKind::Written | EventKind::StaleRoute | EventKind::NotReady | EventKind::Undelivered => other(),
        EventKind::Claim
        | EventKind::Timer
        | EventKind::Deadline
        | EventKind::Cancel
        | EventKind::Displaced
        | EventKind::Answer => false,
    }
}
