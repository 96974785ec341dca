//! What Redis should hold, derived from the model.

use std::collections::BTreeSet;

use domain::command::Command;
use domain::ids::CommandId;
use domain::slot::{OutboxKind, SlotModel};
use store::testing::Dump;

/// The model without what Redis need not keep: payloads of outbox entries other than dead letters; empty queues.
pub(crate) fn as_stored(model: &SlotModel) -> SlotModel {
    let mut model = model.clone();
    model.queues.retain(|_, q| !q.is_empty());
    for entry in model.outbox.values_mut() {
        if entry.kind != (OutboxKind::Ended { dead_letter: true }) {
            entry.command.request.payload.clear();
        }
    }
    model
}

/// Only what ended has a time to live.
pub(crate) fn expiring(model: &SlotModel) -> Vec<String> {
    let is_open = |id: &CommandId| model.commands.get(id).is_some_and(is_open);
    let ended = model.commands.values().filter(|c| !self::is_open(c));
    let keys = model.keys.iter().filter(|(_, entry)| !is_open(&entry.id));
    let mut all: Vec<String> = ended
        .map(|c| format!("e:{}", c.request.id))
        .chain(keys.map(|((charge_point, key), _)| format!("k:{charge_point}:{key}")))
        .collect();
    all.sort();
    all
}

/// What is wrong with the listings.
pub(crate) fn listing_problem(model: &SlotModel, dump: &Dump) -> Option<String> {
    let listed = |c: &Command| (c.request.charge_point.clone(), c.request.id);
    let expected: BTreeSet<_> = model.commands.values().map(listed).collect();
    if expected != dump.listed {
        return Some(format!(
            "listings differ\n  model {expected:?}\n  redis {:?}",
            dump.listed
        ));
    }
    (dump.dead_listed != model.dead_letters.len()).then(|| "the dead letters are not listed".to_owned())
}

fn is_open(command: &Command) -> bool {
    !command.progress.status.is_terminal()
}
