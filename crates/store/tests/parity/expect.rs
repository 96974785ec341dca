//! What Redis should hold, derived from the model.

use domain::command::Status;
use domain::slot::{OutboxKind, SlotModel};

/// The model without what Redis need not keep: payloads of ended commands that are no dead letters, and of
/// outbox entries other than dead letters; empty queues.
pub(crate) fn as_stored(model: &SlotModel) -> SlotModel {
    let mut model = model.clone();
    model.queues.retain(|_, q| !q.is_empty());
    for command in model.commands.values_mut() {
        if matches!(command.progress.status, Status::Acknowledged | Status::Cancelled) {
            command.request.payload.clear();
        }
    }
    for entry in model.outbox.values_mut() {
        if entry.kind != (OutboxKind::Ended { dead_letter: true }) {
            entry.command.request.payload.clear();
        }
    }
    model
}

/// Only what ended has a time to live.
pub(crate) fn expiring(model: &SlotModel) -> Vec<String> {
    let mut keys = Vec::new();
    for (id, command) in &model.commands {
        let status = command.progress.status;
        if !status.is_terminal() {
            continue;
        }
        keys.push(format!("c:{id}"));
        if matches!(status, Status::Failed | Status::Expired) {
            keys.push(format!("p:{id}"));
        }
        if let Some(wanted) = &command.request.idempotency {
            keys.push(format!("k:{}:{}", command.request.charge_point, wanted.key));
        }
    }
    keys.sort();
    keys
}
