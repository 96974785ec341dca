//! What the router tells the history (`chassis::history`): one function an event, with the fields that the checker
//! reads. Each costs nothing while there is no history. Left out: everything that the store's own state says.

use chassis::history::note;
use domain::command::Command;
use domain::delivery::Verdict;
use domain::ids::{CommandId, Incarnation, Micros, PodId, Version};
use domain::slot::{Applied, EventInput, Registration};
use serde_json::json;
use store::Reply;
use wire::map::record::state_name;

/// The store gave a connection its version.
pub(crate) fn registered(registration: &Registration, version: Version, now: Micros) {
    note("registered", || {
        json!({
            "cp": registration.charge_point.as_str(), "pod": registration.pod.as_str(),
            "inc": registration.incarnation.0, "seq": registration.sequence.0, "version": version.0,
            "now_us": now.0,
        })
    });
}

/// The store was told that a connection is over; `applied` if that connection was the present one.
pub(crate) fn unregistered(
    charge_point: &str,
    incarnation: Incarnation,
    version: Version,
    reply: &Reply<bool>,
) {
    note("unregistered", || {
        json!({
            "cp": charge_point, "inc": incarnation.0, "version": version.0, "applied": reply.value,
            "now_us": reply.redis_now.0,
        })
    });
}

/// A round over the due timers handled these commands, or held them back.
pub(crate) fn swept(handled: &[CommandId], now: Micros) {
    for id in handled {
        note("swept", || json!({ "id": id.to_string(), "now_us": now.0 }));
    }
}

/// The store gave a life its lease, or renewed it, until then. Told before its edge hears of it.
pub(crate) fn leased(pod: &PodId, incarnation: Incarnation, expires: Micros, now: Micros) {
    note(
        "leased",
        || json!({ "pod": pod.as_str(), "inc": incarnation.0, "expires_us": expires.0, "now_us": now.0 }),
    );
}

/// A claim is about to be produced for its edge.
pub(crate) fn dispatch(command: &Command) {
    note("dispatch", || {
        let (request, progress) = (&command.request, &command.progress);
        let route = progress.route.as_ref();
        json!({
            "id": request.id.to_string(), "cp": request.charge_point.as_str(), "dispatch": progress.dispatch.0,
            "version": route.map_or(0, |route| route.version.0), "pod": route.map(|route| route.pod.as_str()),
            "inc": route.map_or(0, |route| route.incarnation.0), "attempt": progress.attempts + 1,
        })
    });
}

/// What the store made of events; those that ended their command are noted a second time as ends.
pub(crate) fn applied(events: &[EventInput], reply: &Reply<Vec<Applied>>) {
    if !chassis::history::is_on() {
        return;
    }
    let now_us = reply.redis_now.0;
    for (input, applied) in events.iter().zip(&reply.value) {
        // A command that the store does not know has no verdict: nothing was decided.
        let Some(verdict) = applied.verdict else { continue };
        let (id, status) = (input.id.to_string(), applied.status.map(state_name));
        let event = &input.event;
        note("applied", || {
            json!({
                "id": &id, "kind": event.kind.name(), "dispatch": event.dispatch.0,
                "version": event.version.0, "verdict": verdict.name(), "status": status, "now_us": now_us,
            })
        });
        let ended = applied.status.is_some_and(|status| status.is_terminal());
        if ended && verdict == Verdict::Applied {
            note(
                "ended",
                || json!({ "id": &id, "state": status, "now_us": now_us }),
            );
        }
    }
}

/// Kafka has a result or a dead letter.
pub(crate) fn published(command: &Command, dead: bool) {
    note("published", || {
        let (id, sequence) = (command.request.id.to_string(), command.progress.result_sequence);
        json!({ "id": &id, "record_id": format!("{id}:{sequence}"), "seq": sequence, "dead": dead })
    });
}
