//! What a consumer tells the history: each record that came to something, and what must be told before it is acted on.
//! Left out: what a record means.

use bus::Record;
use chassis::history;
use domain::edge::Input;
use serde_json::json;

use crate::failpoint;

/// Tells the history that a command's record has arrived, whatever becomes of it.
pub(super) fn arrived(input: &Input) {
    if let Input::Record { incarnation, command } = input {
        history::note("taken", || {
            json!({
                "id": command.id.to_string(), "cp": command.charge_point.as_str(), "version": command.version.0,
                "dispatch": command.dispatch.0, "inc": incarnation.0, "attempt": command.attempt,
                "priority": command.priority.number(),
            })
        });
        failpoint::hit(failpoint::AFTER_CONSUME);
    }
}

/// Tells that a canary came round, and at which place: a record between two of them has been consumed as well.
pub(super) fn canary(record: &Record, lane: &str, number: u64) {
    history::note("canary", || {
        let (topic, partition, offset) = (&*record.topic, record.partition, record.offset);
        json!({ "lane": lane, "number": number, "topic": topic, "partition": partition, "offset": offset })
    });
}

/// Tells that a record cannot be read, and where it lies.
pub(super) fn quarantined(record: &Record) {
    history::note(
        "quarantine",
        || json!({ "topic": &*record.topic, "partition": record.partition, "offset": record.offset }),
    );
}
