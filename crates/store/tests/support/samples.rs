//! Commands, chargers and events for the tests.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::command::{Answer, Command, Deadline, IdempotencyKey, Priority, RedeliveryClass, Request};
use domain::delivery::{Event, EventKind};
use domain::ids::{ChargePointId, CommandId, Incarnation, Nonce, PodId, Sequence, Slot, Version};
use domain::slot::{EventInput, Registration};

/// Chargers of a slot.
pub(crate) fn charge_points(slot: Slot, slots: u16, count: usize) -> Vec<ChargePointId> {
    (0..)
        .map(|n| ChargePointId::parse(&format!("CP-{n}")).unwrap())
        .filter(|id| id.slot(slots) == slot)
        .take(count)
        .collect()
}

/// A charger.
pub(crate) fn charge_point(name: &str) -> ChargePointId {
    ChargePointId::parse(name).unwrap()
}

/// A pod.
pub(crate) fn pod(name: &str) -> PodId {
    PodId::parse(name).unwrap()
}

/// An id in a slot that no other command of this process has.
pub(crate) fn fresh_id(slot: Slot) -> CommandId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    random[8] = 7;
    CommandId::new(1_700_000_000_000, random, slot)
}

/// A request for a charger of a store of so many slots: normal, safe, three attempts, five minutes.
pub(crate) fn request(charge_point: &ChargePointId, slots: u16) -> Request {
    Request {
        id: fresh_id(charge_point.slot(slots)),
        charge_point: charge_point.clone(),
        action: "ChangeConfiguration".into(),
        payload: r#"{"key":"ä","value":"1"}"#.into(),
        priority: Priority::Normal,
        class: RedeliveryClass::Safe,
        max_attempts: 3,
        answer_timeout_us: 30_000_000,
        deadline: Deadline::After(300_000_000),
        idempotency: None,
        replay_of: None,
    }
}

/// An idempotency key.
pub(crate) fn key(key: &str, hash: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        key: key.into(),
        content_hash: hash.into(),
    })
}

/// A registration of a new socket.
pub(crate) fn registration(
    charge_point: &ChargePointId,
    pod: &PodId,
    incarnation: u64,
    sequence: u64,
) -> Registration {
    Registration {
        charge_point: charge_point.clone(),
        pod: pod.clone(),
        incarnation: Incarnation(incarnation),
        sequence: Sequence(sequence),
        first_version: Version(0),
        floor: Version(0),
        ocpp_version: "ocpp1.6".into(),
    }
}

/// An event that speaks of the command's present dispatch.
pub(crate) fn event(command: &Command, kind: EventKind) -> EventInput {
    let p = &command.progress;
    let (version, incarnation) = p
        .route
        .as_ref()
        .map_or((Version(0), Incarnation(0)), |r| (r.version, r.incarnation));
    let event = Event {
        kind,
        dispatch: p.dispatch,
        version,
        nonce: Nonce(u64::MAX - 1),
        incarnation,
    };
    let answer = (kind == EventKind::Answer).then(|| Answer::Result(r#"{"status":"Accepted"}"#.into()));
    EventInput {
        id: command.request.id,
        event,
        answer,
        charge_point: None,
    }
}
