//! What lies on Kafka: shard records from claims, notes and canaries and back at the edge; results and dead
//! letters from the outbox.

use domain::command::{Answer, Attempt, Command, Lane, Priority, RedeliveryClass, Route};
use domain::edge;
use domain::ids::{
    ChargePointId, CommandId, DispatchNumber, Incarnation, LinkNumber, Micros, PodId, Version,
};
use domain::slot::{Note, NoteKind};
use prost::Message;

use super::{WireError, id};
use crate::gateway::record::v1::{
    self as proto, Canary, Cancel, CommandResult, DeadLetter, Kick, RoutedCommand, ShardRecord, shard_record,
};

/// What a shard record tells one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardMessage {
    /// For the command machine of this life of the pod.
    Input(edge::Input),
    /// A canary: whose, of which link, and its number.
    Canary {
        /// The link that asked for it.
        link: LinkNumber,
        /// Its number.
        number: u64,
    },
}

/// The record of a claimed dispatch, with the lane that carries it; none if the command has no route.
#[must_use]
pub fn claimed(command: &Command) -> Option<(Route, Lane, ShardRecord)> {
    let route = command.progress.route.clone()?;
    let request = &command.request;
    let body = shard_record::Body::Command(RoutedCommand {
        command_id: request.id.to_string(),
        charge_point_id: request.charge_point.to_string(),
        action: request.action.clone(),
        payload_json: request.payload.clone(),
        priority: request.priority.number().into(),
        unsafe_to_repeat: request.class == RedeliveryClass::Unsafe,
        deadline_us: command.deadline.0,
        dispatch: command.progress.dispatch.0,
        version: route.version.0,
        attempt: command.progress.attempts.saturating_add(1),
        answer_timeout_ms: u32::try_from(request.answer_timeout_us / 1_000).unwrap_or(u32::MAX),
    });
    let record = shard_record(&route.pod, route.incarnation, body);
    Some((route, request.priority.lane(), record))
}

/// The record of a kick or a cancel.
#[must_use]
pub fn note(charge_point: &ChargePointId, note: &Note) -> ShardRecord {
    let charge_point_id = charge_point.to_string();
    let body = match &note.kind {
        NoteKind::Kick { version, newer } => shard_record::Body::Kick(Kick {
            charge_point_id,
            version: version.0,
            newer_version: newer.0,
        }),
        NoteKind::Cancel { id, deadline } => shard_record::Body::Cancel(Cancel {
            charge_point_id,
            command_id: id.to_string(),
            deadline_us: deadline.0,
        }),
    };
    shard_record(&note.pod, note.incarnation, body)
}

/// The record of a canary. It is for whatever life the pod has, so it names none.
#[must_use]
pub fn canary(pod: &PodId, link: LinkNumber, number: u64) -> ShardRecord {
    let body = shard_record::Body::Canary(Canary {
        link_number: link.0,
        number,
    });
    shard_record(pod, Incarnation(0), body)
}

/// Reads a shard record: the pod that it is for, and what it says.
pub fn read_shard_record(bytes: &[u8]) -> Result<(PodId, ShardMessage), WireError> {
    let record = ShardRecord::decode(bytes)?;
    let pod = id("pod_id", PodId::parse(&record.pod_id))?;
    let incarnation = Incarnation(record.incarnation);
    let message = match record.body.ok_or(WireError::Missing("body"))? {
        shard_record::Body::Command(command) => ShardMessage::Input(edge::Input::Record {
            incarnation,
            command: routed(command)?,
        }),
        shard_record::Body::Canary(c) => ShardMessage::Canary {
            link: LinkNumber(c.link_number),
            number: c.number,
        },
        shard_record::Body::Kick(kick) => ShardMessage::Input(edge::Input::Kick {
            incarnation,
            charge_point: id("charge_point_id", ChargePointId::parse(&kick.charge_point_id))?,
            version: Version(kick.version),
        }),
        shard_record::Body::Cancel(cancel) => ShardMessage::Input(edge::Input::Cancel {
            incarnation,
            charge_point: id("charge_point_id", ChargePointId::parse(&cancel.charge_point_id))?,
            id: id("command_id", CommandId::parse(&cancel.command_id))?,
            deadline: Micros(cancel.deadline_us),
        }),
    };
    Ok((pod, message))
}

/// The result of an ended command.
#[must_use]
pub fn result(command: &Command) -> CommandResult {
    let (request, progress) = (&command.request, &command.progress);
    let (result_json, error_json) = match &progress.answer {
        Some(Answer::Result(json)) => (json.clone(), String::new()),
        Some(Answer::Error(json)) => (String::new(), json.clone()),
        None => (String::new(), String::new()),
    };
    CommandResult {
        record_id: format!("{}:{}", request.id, progress.result_sequence),
        command_id: request.id.to_string(),
        charge_point_id: request.charge_point.to_string(),
        sequence: progress.result_sequence,
        action: request.action.clone(),
        state: state_name(progress.status).to_owned(),
        reason: progress.reason.map(|r| r.name().to_owned()).unwrap_or_default(),
        possibly_written: progress.may_have_reached_its_charger(),
        attempts: progress.attempts,
        result_json,
        error_json,
        ended_at_us: progress.ended.0,
    }
}

/// The dead letter of a command that failed or expired, with its latest attempts, oldest first.
#[must_use]
pub fn dead_letter(command: &Command, attempts: &[Attempt]) -> DeadLetter {
    let request = &command.request;
    let route = command.progress.route.as_ref();
    DeadLetter {
        result: Some(result(command)),
        payload_json: request.payload.clone(),
        priority: request.priority.number().into(),
        unsafe_to_repeat: request.class == RedeliveryClass::Unsafe,
        created_at_us: command.created.0,
        deadline_us: command.deadline.0,
        last_pod_id: route.map(|r| r.pod.to_string()).unwrap_or_default(),
        last_incarnation: route.map_or(0, |r| r.incarnation.0),
        last_version: route.map_or(0, |r| r.version.0),
        attempts: attempts.iter().map(attempt).collect(),
        replay_of: request.replay_of.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn attempt(attempt: &Attempt) -> proto::Attempt {
    proto::Attempt {
        number: attempt.number,
        at_us: attempt.at.0,
        pod_id: attempt.route.pod.to_string(),
        incarnation: attempt.route.incarnation.0,
        version: attempt.route.version.0,
        outcome: attempt.outcome.name().to_owned(),
    }
}

/// The name of a status in records.
#[must_use]
pub fn state_name(status: domain::command::Status) -> &'static str {
    use domain::command::Status;
    match status {
        Status::Pending => "PENDING",
        Status::Sent => "SENT",
        Status::Delivered => "DELIVERED",
        Status::Acknowledged => "ACKNOWLEDGED",
        Status::Failed => "FAILED",
        Status::Expired => "EXPIRED",
        Status::Cancelled => "CANCELLED",
    }
}

fn shard_record(pod: &PodId, incarnation: Incarnation, body: shard_record::Body) -> ShardRecord {
    ShardRecord {
        pod_id: pod.to_string(),
        incarnation: incarnation.0,
        body: Some(body),
    }
}

fn routed(r: RoutedCommand) -> Result<edge::RoutedCommand, WireError> {
    let number = u8::try_from(r.priority).ok().and_then(Priority::from_number);
    Ok(edge::RoutedCommand {
        id: id("command_id", CommandId::parse(&r.command_id))?,
        charge_point: id("charge_point_id", ChargePointId::parse(&r.charge_point_id))?,
        action: r.action,
        payload: r.payload_json,
        priority: number.ok_or(WireError::Unknown {
            field: "priority",
            value: r.priority.into(),
        })?,
        class: if r.unsafe_to_repeat {
            RedeliveryClass::Unsafe
        } else {
            RedeliveryClass::Safe
        },
        deadline: Micros(r.deadline_us),
        dispatch: DispatchNumber(r.dispatch),
        version: Version(r.version),
        attempt: r.attempt,
        answer_timeout_us: u64::from(r.answer_timeout_ms) * 1_000,
    })
}

#[cfg(test)]
pub(crate) mod tests;
