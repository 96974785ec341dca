//! The sending of what a drain found. Left out: when a slot is drained, and what becomes of an entry that
//! could not be sent: it stays in the store.

use std::collections::HashMap;

use bus::{Message, SendError};
use bytes::Bytes;
use domain::command::{Lane, Priority};
use domain::ids::ChargePointId;
use domain::slot::{Note, OutboxEntry, OutboxKind};
use futures_util::future::join_all;
use prost::Message as _;
use wire::map::record;

use super::Outlet;
use super::records::{self, Kind};
use crate::account;
use crate::dispatcher::shard_message;
use crate::metrics::{self, NOTES, OUTBOX, OUTBOX_POISON};

/// Sends entries; returns the numbers of those that Kafka has. Those of one charger go one after the other,
/// and none goes after one that failed: a consumer that drops sequences not above the last seen would
/// otherwise lose the one that failed.
pub(super) async fn entries<O: Outlet>(outlet: &O, entries: Vec<(u64, OutboxEntry)>) -> Vec<u64> {
    let mut chargers: HashMap<ChargePointId, Vec<(u64, OutboxEntry)>> = HashMap::new();
    for entry in entries {
        chargers
            .entry(entry.1.command.request.charge_point.clone())
            .or_default()
            .push(entry);
    }
    let all = chargers
        .into_values()
        .map(|entries| of_one_charger(outlet, entries));
    join_all(all).await.concat()
}

async fn of_one_charger<O: Outlet>(outlet: &O, entries: Vec<(u64, OutboxEntry)>) -> Vec<u64> {
    let mut gone = Vec::new();
    // The next of a charger waits for the report of the one before: what each waits for others would add up.
    let alone = entries.len() == 1;
    for (number, entry) in entries {
        let way = match entry.command.request.priority {
            Priority::Low if !alone => Priority::Normal,
            priority => priority,
        };
        if !send_entry(outlet, &entry, way).await {
            break;
        }
        gone.push(number);
    }
    gone
}

/// Sends all records of an entry, which go to different topics and wait for none of each other; true if it may be removed.
async fn send_entry<O: Outlet>(outlet: &O, entry: &OutboxEntry, way: Priority) -> bool {
    let headers = outlet.headers(entry.command.request.id);
    let records = records::of(entry).into_iter();
    let all = records.map(|(kind, message)| {
        let record = (kind, message.headers(headers.clone()));
        send_record(outlet, entry, way, record)
    });
    let sent = join_all(all).await;
    if sent.contains(&false) {
        return false;
    }
    if let OutboxKind::Ended { dead_letter } = entry.kind {
        metrics::ended(&entry.command);
        account::published(&entry.command, dead_letter);
    }
    true
}

/// Sends one of them; true if it needs not be sent again.
async fn send_record<O: Outlet>(
    outlet: &O,
    entry: &OutboxEntry,
    way: Priority,
    (kind, message): (Kind, Message),
) -> bool {
    let command = entry.command.request.id;
    let headers = message.headers.clone();
    let mut sent = outlet.produce(message, way).await;
    if matches!(sent, Err(SendError::TooLarge { .. })) {
        // The outcome matters more than the texts that it carries: those can be read by the command's id.
        sent = match records::without_texts(entry, kind) {
            Some(short) => outlet.produce(short.headers(headers), way).await,
            None => sent,
        };
    }
    match sent {
        Ok(()) => ::metrics::counter!(OUTBOX, "kind" => kind.name()).increment(1),
        Err(error @ SendError::TooLarge { .. }) => {
            ::metrics::counter!(OUTBOX_POISON).increment(1);
            tracing::error!(%command, %error, "Kafka will never take this record; it is dropped");
        }
        Err(error) => {
            tracing::debug!(%command, %error, "an outbox entry stays");
            return false;
        }
    }
    true
}

/// Sends notes; returns those whose pod lives no more. Those that were sent stay until the edge confirms.
pub(super) async fn notes<O: Outlet>(
    outlet: &O,
    notes: Vec<(ChargePointId, Note)>,
) -> Vec<(ChargePointId, String)> {
    let all = notes
        .into_iter()
        .map(|(charge_point, note)| send_note(outlet, charge_point, note));
    join_all(all).await.into_iter().flatten().collect()
}

async fn send_note<O: Outlet>(
    outlet: &O,
    charge_point: ChargePointId,
    note: Note,
) -> Option<(ChargePointId, String)> {
    // A record that lacks this life is read anew unless it is a few milliseconds old: lives only move on.
    let Ok(view) = outlet.lease(&note.pod, note.incarnation).await else {
        return None;
    };
    // By the time that came with the record, not a later guess: a lease that held then may have been renewed.
    let lives =
        |l: &domain::dispatch::Lease| l.incarnation == note.incarnation && l.expires > view.told.redis_now;
    let Some(lease) = view.lease.as_ref().filter(|l| lives(l)) else {
        // That life writes nothing any more: there is nobody to close a socket or to suppress a command.
        ::metrics::counter!(NOTES, "outcome" => "obsolete").increment(1);
        return Some((charge_point, note.name()));
    };
    let payload = record::note(&charge_point, &note).encode_to_vec();
    let key = Bytes::copy_from_slice(charge_point.as_str().as_bytes());
    // By the urgent lane: no backlog of commands stands before it.
    let message = shard_message(&lease.consumes, Lane::Urgent, key, payload);
    let outcome = if outlet.produce(message, Priority::Urgent).await.is_ok() {
        "sent"
    } else {
        "failed"
    };
    ::metrics::counter!(NOTES, "outcome" => outcome).increment(1);
    None
}
