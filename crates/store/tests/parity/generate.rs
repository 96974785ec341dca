//! Random operations: plausible ones, stale ones and senseless ones.

use domain::command::{Answer, Command, Deadline, Priority, RedeliveryClass, Request};
use domain::delivery::{Event, EventKind};
use domain::ids::{ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, Nonce, PodId, Version};
use domain::slot::{EventInput, Registration, Replay};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::support::samples;
use crate::world::World;

/// One operation on a slot.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Accept(Box<Request>),
    Register(Registration),
    Renew(ChargePointId, PodId, Incarnation, Version, bool),
    Unregister(ChargePointId, Incarnation, Version),
    Apply(Vec<EventInput>),
    /// So many timers that have been due for so long.
    RunDue(usize, u64),
    Drain(usize),
    Trim(usize),
    NoteDone(ChargePointId, String),
    Replay(Box<Replay>),
    Purge(Vec<CommandId>),
    DeadLetter(CommandId),
}

const SECOND: u64 = 1_000_000;

/// Draws the next operation. In every other sequence a timer loop runs as it should; in the others it stalls often.
pub(crate) fn operation(w: &mut World) -> Op {
    let is_late = w.model.last_round.plus(SECOND) < w.now && !w.model.due.is_empty();
    if w.is_calm() && is_late {
        return Op::RunDue(5, 0);
    }
    match w.rng.random_range(0..100) {
        0..24 => Op::Accept(Box::new(request(w))),
        24..36 => Op::Register(registration(w)),
        36..40 => renew(w),
        40..43 => unregister(w),
        43..73 => Op::Apply(events(w)),
        73..83 => Op::RunDue(w.rng.random_range(1..6), 0),
        83..85 => Op::RunDue(w.rng.random_range(1..6), w.rng.random_range(0..4 * SECOND)),
        85..90 => replay(w),
        90..91 => purge(w),
        91..92 => any_ended(w).map_or(Op::Drain(1), Op::DeadLetter),
        92..94 => Op::Drain(w.rng.random_range(1..8)),
        94..96 => Op::Trim(w.rng.random_range(0..4)),
        _ => note_done(w),
    }
}

/// How far the clock jumps: mostly little, at times over leases, deadlines or registrations.
pub(crate) fn jump(rng: &mut StdRng, calm: bool) -> u64 {
    match rng.random_range(0..100) {
        0..30 => rng.random_range(0..50_000),
        30.. if calm => rng.random_range(0..19 * SECOND / 10),
        30..80 => rng.random_range(0..2 * SECOND),
        80..95 => rng.random_range(0..15 * SECOND),
        95..99 => rng.random_range(0..70 * SECOND),
        _ => rng.random_range(0..1_000 * SECOND),
    }
}

fn request(w: &mut World) -> Request {
    let charge_point = w.any_charge_point();
    let rng = &mut w.rng;
    let deadline = match rng.random_range(0..10) {
        0 => Deadline::At {
            at: Micros(w.now.0.saturating_sub(rng.random_range(0..SECOND))),
            max_us: SECOND,
        },
        1 => Deadline::At {
            at: w.now.plus(2 * SECOND),
            max_us: SECOND,
        },
        2..4 => Deadline::At {
            at: w.now.plus(rng.random_range(1..60) * SECOND),
            max_us: 60 * SECOND,
        },
        4 => Deadline::After(rng.random_range(0..2)),
        _ => Deadline::After(rng.random_range(1..90) * SECOND),
    };
    let keyed = rng.random_bool(0.4);
    let (key, hash) = (["a", "b c", "a:b|c"].choose(rng), ["h1", "h2"].choose(rng));
    Request {
        priority: *Priority::ALL.choose(rng).unwrap(),
        class: *RedeliveryClass::ALL.choose(rng).unwrap(),
        max_attempts: rng.random_range(1..4),
        answer_timeout_us: rng.random_range(1..10) * SECOND,
        deadline,
        idempotency: keyed.then(|| samples::key(key.unwrap(), hash.unwrap()).unwrap()),
        ..samples::request(&charge_point, w.slots)
    }
}

fn registration(w: &mut World) -> Registration {
    let charge_point = w.any_charge_point();
    let (pod, incarnation) = w.any_pod();
    let known = w.model.devices.get(&charge_point).cloned();
    let rng = &mut w.rng;
    let next = known.as_ref().map_or(1, |d| d.sequence.0 + 1);
    let sequence = if rng.random_bool(0.6) {
        next
    } else {
        rng.random_range(0..next + 2)
    };
    let version = known.map_or(0, |d| d.first_version.0);
    let first = match rng.random_range(0..10) {
        0 => version,
        1 => version.saturating_sub(1),
        2 => w.now.0.saturating_sub(rng.random_range(0..5 * SECOND)),
        _ => 0,
    };
    let floor = if rng.random_bool(0.05) {
        w.now.0 + rng.random_range(0..SECOND)
    } else {
        0
    };
    Registration {
        first_version: Version(first),
        floor: Version(floor),
        ..samples::registration(&charge_point, &pod, incarnation.0, sequence)
    }
}

fn renew(w: &mut World) -> Op {
    let (id, incarnation, version) = connection(w);
    let pod = w.model.devices.get(&id).and_then(|d| d.pod.clone());
    let pod = pod
        .filter(|_| w.rng.random_bool(0.9))
        .unwrap_or_else(|| w.any_pod().0);
    Op::Renew(id, pod, incarnation, version, w.rng.random_bool(0.3))
}

fn unregister(w: &mut World) -> Op {
    let (id, incarnation, version) = connection(w);
    Op::Unregister(id, incarnation, version)
}

/// A charger with its present connection, or a stale one.
fn connection(w: &mut World) -> (ChargePointId, Incarnation, Version) {
    let id = w.any_charge_point();
    let device = w.model.devices.get(&id);
    let (incarnation, version) = device.map_or((0, 0), |d| (d.incarnation.0, d.version.0));
    let rng = &mut w.rng;
    let stale = |rng: &mut StdRng, n: u64| {
        if rng.random_bool(0.15) {
            n.saturating_sub(1)
        } else {
            n
        }
    };
    (
        id,
        Incarnation(stale(rng, incarnation)),
        Version(stale(rng, version)),
    )
}

fn events(w: &mut World) -> Vec<EventInput> {
    let count = if w.rng.random_bool(0.15) {
        w.rng.random_range(2..5)
    } else {
        1
    };
    (0..count).map(|_| event(w)).collect()
}

fn event(w: &mut World) -> EventInput {
    const KINDS: &[EventKind] = &[
        EventKind::Intent,
        EventKind::Intent,
        EventKind::Written,
        EventKind::Written,
        EventKind::NonWrite,
        EventKind::StaleRoute,
        EventKind::NotReady,
        EventKind::Undelivered,
        EventKind::Answer,
        EventKind::Cancel,
        EventKind::Timer,
        EventKind::Deadline,
    ];
    let kind = *KINDS.choose(&mut w.rng).unwrap();
    let Some(command) = any_command(w) else {
        return EventInput {
            id: samples::fresh_id(w.slot),
            event: Event::open(kind),
            answer: None,
            charge_point: None,
        };
    };
    let answer = (kind == EventKind::Answer).then(|| answer(&mut w.rng));
    let charge_point = match w.rng.random_range(0..12) {
        0 => Some(w.any_charge_point()),
        1..6 => Some(command.request.charge_point.clone()),
        _ => None,
    };
    EventInput {
        id: command.request.id,
        event: fenced(&mut w.rng, &command, kind),
        answer,
        charge_point,
    }
}

/// Mostly of a dead letter, else of anything that ended; at times of what is open or not known.
fn replay(w: &mut World) -> Op {
    let Some(of) = any_ended(w) else {
        return Op::RunDue(3, 0);
    };
    let charge_point = w.any_charge_point();
    let known = w
        .model
        .dead_letter(of)
        .map(|d| d.command.request.charge_point)
        .filter(|_| w.rng.random_bool(0.95));
    let request = Request {
        idempotency: samples::key(&of.to_string(), "h1"),
        replay_of: Some(of),
        ..request(w)
    };
    let charge_point = known.unwrap_or(charge_point);
    Op::Replay(Box::new(Replay {
        request: Request {
            charge_point,
            ..request
        },
        allow_unsafe: w.rng.random_bool(0.6),
    }))
}

fn purge(w: &mut World) -> Op {
    let count = w.rng.random_range(1..3);
    Op::Purge((0..count).filter_map(|_| any_ended(w)).collect())
}

fn any_ended(w: &mut World) -> Option<CommandId> {
    if w.rng.random_bool(0.05) {
        return Some(samples::fresh_id(w.slot));
    }
    let dead: Vec<CommandId> = w.model.dead_letters.keys().copied().collect();
    let all: Vec<CommandId> = w.model.commands.keys().copied().collect();
    let from = if w.rng.random_bool(0.8) { dead } else { all };
    from.choose(&mut w.rng).copied()
}

/// Mostly one that is out, else any; at times none.
fn any_command(w: &mut World) -> Option<Command> {
    if w.rng.random_bool(0.03) {
        return None;
    }
    let out: Vec<CommandId> = w
        .model
        .devices
        .values()
        .flat_map(|d| [d.normal, d.urgent])
        .flatten()
        .collect();
    let all: Vec<CommandId> = w.model.commands.keys().copied().collect();
    let from = if w.rng.random_bool(0.75) && !out.is_empty() {
        out
    } else {
        all
    };
    from.choose(&mut w.rng)
        .and_then(|id| w.model.commands.get(id))
        .cloned()
}

fn fenced(rng: &mut StdRng, command: &Command, kind: EventKind) -> Event {
    let p = &command.progress;
    let route = p.route.as_ref();
    let mut event = Event {
        kind,
        dispatch: p.dispatch,
        version: route.map_or(Version(0), |r| r.version),
        nonce: if p.nonce.0 > 0 {
            p.nonce
        } else {
            Nonce(u64::MAX - rng.random_range(0..3))
        },
        incarnation: route.map_or(Incarnation(0), |r| r.incarnation),
    };
    match rng.random_range(0..12) {
        0 => event.dispatch = DispatchNumber(event.dispatch.0.saturating_sub(1)),
        1 => event.version = Version(event.version.0 + 1),
        2 => event.nonce = Nonce(u64::MAX - 9),
        3 => event.incarnation = Incarnation(event.incarnation.0 + 1),
        4 => event.dispatch = DispatchNumber(event.dispatch.0 + 1),
        _ => {}
    }
    event
}

fn answer(rng: &mut StdRng) -> Answer {
    if rng.random_bool(0.7) {
        Answer::Result(r#"{"status":"Rejected"}"#.into())
    } else {
        Answer::Error(r#"["InternalError","|ä\n",{}]"#.into())
    }
}

fn note_done(w: &mut World) -> Op {
    let notes: Vec<(ChargePointId, String)> = w.model.notes.keys().cloned().collect();
    match notes.choose(&mut w.rng) {
        Some((id, name)) if w.rng.random_bool(0.8) => Op::NoteDone(id.clone(), name.clone()),
        _ => Op::NoteDone(w.any_charge_point(), "kick:1:2".into()),
    }
}

/// The sequence numbers of the edges start anew with each life.
pub(crate) fn lives(rng: &mut StdRng) -> Vec<(PodId, Incarnation)> {
    ["edge-1", "edge-2", "edge.3"]
        .iter()
        .flat_map(|name| {
            [rng.random_range(1..9), 1_800_000_000_000_000].map(|i| (samples::pod(name), Incarnation(i)))
        })
        .take(4)
        .collect()
}
