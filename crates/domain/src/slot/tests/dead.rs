//! What is remembered of attempts, and what becomes of dead letters.

use super::super::{AcceptRefusal, DeadLetter, DeadLetterReason, OutboxKind, Replay, ReplayReply};
use super::*;
use crate::command::{ATTEMPTS_KEPT, AttemptOutcome, IdempotencyKey};

use AttemptOutcome::{Displaced, NoAnswer, NotWritten, Unknown};
use Priority::Normal;
use RedeliveryClass::{Safe, Unsafe};

/// A bench whose charger is connected.
fn connected() -> Bench {
    let mut b = Bench::new();
    b.connect("a", 1);
    b
}

/// An unsafe command that was granted and never heard of again.
fn unknown_outcome(b: &mut Bench) -> CommandId {
    let id = b.accept(Unsafe, Normal);
    b.happens(id, EventKind::Intent);
    b.live(26);
    assert_eq!(b.status(id), Status::Failed);
    id
}

fn outcomes(b: &Bench, id: CommandId) -> Vec<(u32, AttemptOutcome)> {
    let attempts = b.slot.attempts.get(&id).into_iter().flatten();
    attempts.map(|a| (a.number, a.outcome)).collect()
}

fn replay(b: &mut Bench, letter: &DeadLetter, allow_unsafe: bool) -> (CommandId, ReplayReply) {
    b.ids += 1;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&b.ids.to_be_bytes());
    let id = CommandId::new(b.ids, random, Slot(0));
    let request = letter.replay(id, Deadline::After(300 * SECOND), "h".into());
    let replay = Replay {
        request,
        allow_unsafe,
    };
    (id, b.slot.replay(replay, &b.call()).unwrap())
}

#[test]
fn every_attempt_that_is_over_is_remembered_with_its_route_and_outcome() {
    let mut b = connected();
    let id = b.accept(Safe, Normal);
    b.happens(id, EventKind::Written);
    let (written_at, version) = (b.now, b.slot.devices[&charger(0)].version);
    b.pass(SECOND);
    b.connect("b", 1);
    assert_eq!(outcomes(&b, id), [(1, Displaced)]);
    let attempt = b.slot.attempts[&id][0].clone();
    assert_eq!(
        (attempt.at, attempt.route.version, attempt.route.pod.as_str()),
        (written_at, version, "a")
    );
    b.happens(id, EventKind::Written);
    b.live(11);
    assert_eq!(outcomes(&b, id), [(1, Displaced), (2, NoAnswer)]);
    let entry = b.slot.outbox.values().next_back().unwrap();
    assert_eq!(entry.kind, OutboxKind::Ended { dead_letter: true });
    assert_eq!(entry.attempts, b.slot.attempts[&id]);
}

#[test]
fn a_permission_that_was_not_used_keeps_the_number_of_the_next_attempt() {
    let mut b = connected();
    let id = b.accept(Unsafe, Normal);
    b.happens(id, EventKind::Intent);
    b.happens(id, EventKind::NonWrite);
    b.live(20);
    b.happens(id, EventKind::Intent);
    b.live(26);
    assert_eq!(outcomes(&b, id), [(1, NotWritten), (1, Unknown)]);
}

#[test]
fn a_deadline_that_meets_a_written_command_remembers_its_attempt() {
    let mut b = connected();
    let request = Request {
        answer_timeout_us: 60 * SECOND,
        deadline: Deadline::After(5 * SECOND),
        ..b.request(Safe, Normal)
    };
    let id = request.id;
    b.slot.accept(request, &b.call()).unwrap();
    b.happens(id, EventKind::Written);
    b.live(6);
    assert_eq!(
        (b.status(id), outcomes(&b, id)),
        (Status::Expired, vec![(1, Unknown)])
    );
}

#[test]
fn only_the_newest_attempts_are_kept_and_none_of_what_was_answered() {
    let mut b = connected();
    let request = Request {
        max_attempts: 100,
        deadline: Deadline::After(3_000 * SECOND),
        ..b.request(Safe, Normal)
    };
    let id = request.id;
    b.slot.accept(request, &b.call()).unwrap();
    for sequence in 2..15 {
        b.happens(id, EventKind::Written);
        b.connect("a", sequence);
    }
    let kept = outcomes(&b, id);
    assert_eq!((kept.len(), kept[ATTEMPTS_KEPT - 1].0), (ATTEMPTS_KEPT, 13));
    b.happens(id, EventKind::Answer);
    assert!(b.slot.attempts.is_empty());
}

#[test]
fn what_failed_or_expired_is_a_dead_letter_with_its_payload_and_nothing_else_is() {
    let mut b = connected();
    let failed = unknown_outcome(&mut b);
    let letter = b.slot.dead_letter(failed).unwrap();
    assert_eq!(letter.reason(), Some(DeadLetterReason::OutcomeUnknown));
    assert_eq!(letter.command.request.payload, "{}");
    for event in [EventKind::Answer, EventKind::Cancel] {
        let id = b.accept(Safe, Normal);
        b.happens(id, event);
        assert_eq!(b.slot.dead_letter(id), None);
        assert_eq!(b.command(id).request.payload, "");
    }
}

#[test]
fn a_replay_is_a_new_command_linked_to_the_dead_letter_and_is_made_once() {
    let mut b = connected();
    let of = unknown_outcome(&mut b);
    let letter = b.slot.dead_letter(of).unwrap();
    let (_, refused) = replay(&mut b, &letter, false);
    assert_eq!(refused, ReplayReply::UnsafeToRepeat);
    let (id, made) = replay(&mut b, &letter, true);
    assert!(
        matches!(made, ReplayReply::Tried(AcceptReply::Accepted { .. })),
        "{made:?}"
    );
    assert_eq!(b.command(id).request.replay_of, Some(of));
    assert_eq!(b.slot.dead_letter(of).unwrap().replayed_as, Some(id));
    // The key is gone, as after its retention; the dead letter remembers.
    b.slot.keys.clear();
    let (_, again) = replay(&mut b, &letter, true);
    assert!(matches!(again, ReplayReply::Tried(AcceptReply::Known { id: known, .. }) if known == id));
    assert_eq!(b.slot.commands.len(), 2);
}

#[test]
fn what_is_no_dead_letter_is_not_replayed() {
    let mut b = connected();
    let of = unknown_outcome(&mut b);
    let letter = b.slot.dead_letter(of).unwrap();
    let mut open = letter.clone();
    open.command.request.id = b.accept(Safe, Normal);
    assert_eq!(replay(&mut b, &open, true).1, ReplayReply::NotADeadLetter);
    assert_eq!(b.slot.purge(&[of, of], &b.call()).unwrap(), [of]);
    assert_eq!(replay(&mut b, &letter, true).1, ReplayReply::NotFound);
}

#[test]
fn dead_letters_are_bounded_the_oldest_leave_and_retention_ends() {
    let mut b = connected();
    b.slot.settings.max_dead_letters = 2;
    let letters = [(); 3].map(|()| unknown_outcome(&mut b));
    assert!(!b.slot.commands.contains_key(&letters[0]));
    assert_eq!(b.slot.dead_letters.len(), 2);
    b.pass(b.slot.settings.dead_letter_retention_us);
    b.run_due();
    assert!(b.slot.dead_letters.is_empty() && b.slot.commands.is_empty());
}

/// A key names one command: while it is open, after its success and after its failure.
#[test]
fn the_same_key_gives_the_same_command_in_flight_after_success_and_after_failure() {
    for (last, end) in [
        (None, Status::Sent),
        (Some(EventKind::Answer), Status::Acknowledged),
        (Some(EventKind::Deadline), Status::Expired),
    ] {
        let mut b = connected();
        let keyed = |b: &mut Bench, content: &str| {
            let idempotency = IdempotencyKey {
                key: "k".into(),
                content_hash: content.into(),
            };
            let request = Request {
                idempotency: Some(idempotency),
                ..b.request(Safe, Normal)
            };
            (request.id, b.slot.accept(request, &b.call()).unwrap())
        };
        let (id, _) = keyed(&mut b, "content");
        if let Some(event) = last {
            b.happens(id, event);
        }
        let (_, again) = keyed(&mut b, "content");
        let known = AcceptReply::Known {
            id,
            status: Some(end),
        };
        assert_eq!(again, known);
        let (_, other) = keyed(&mut b, "other content");
        assert_eq!(other, AcceptReply::Refused(AcceptRefusal::OtherContent));
        assert_eq!(b.slot.commands.len(), 1);
    }
}
