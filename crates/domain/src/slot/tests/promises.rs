//! What the slot promises, one promise a test.

use super::super::{NoteKind, OutboxKind, RegisterRefusal};
use super::*;
use crate::command::FailureReason;

use Priority::{Low, Normal, Urgent};
use RedeliveryClass::{Safe, Unsafe};

#[test]
fn a_command_waits_without_a_route_and_is_claimed_by_the_registration() {
    let mut b = Bench::new();
    let id = b.accept(Safe, Normal);
    assert_eq!(b.status(id), Status::Pending);
    b.connect("a", 1);
    assert_eq!(b.status(id), Status::Sent);
}

#[test]
fn an_urgent_command_overtakes_and_a_lane_holds_one() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let (first, low, second) = (
        b.accept(Safe, Normal),
        b.accept(Safe, Low),
        b.accept(Safe, Normal),
    );
    let urgent = b.accept(Safe, Urgent);
    let out = [first, low, second, urgent].map(|id| b.status(id));
    assert_eq!(
        out,
        [Status::Sent, Status::Pending, Status::Pending, Status::Sent]
    );
    b.happens(first, EventKind::Answer);
    assert_eq!(
        [low, second].map(|id| b.status(id)),
        [Status::Pending, Status::Sent]
    );
}

#[test]
fn a_retry_keeps_its_place_and_holds_back_what_came_later() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let (first, second) = (b.accept(Safe, Normal), b.accept(Safe, Normal));
    b.happens(first, EventKind::NotReady);
    assert_eq!(
        [first, second].map(|id| b.status(id)),
        [Status::Pending, Status::Pending]
    );
    b.pass(20 * SECOND);
    b.run_due();
    assert_eq!(
        [first, second].map(|id| b.status(id)),
        [Status::Sent, Status::Pending]
    );
}

#[test]
fn there_is_one_outcome_and_a_late_answer_is_only_recorded() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Safe, Normal);
    assert_eq!(b.happens(id, EventKind::Cancel), Some(Verdict::Applied));
    let ended = b.command(id).clone();
    assert!(ended.progress.possibly_written, "it had been claimed");
    for kind in EventKind::ALL {
        assert_eq!(b.happens(id, kind), Some(Verdict::Ended));
    }
    assert_eq!(*b.command(id), ended);
    let kinds: Vec<_> = b.slot.outbox.values().map(|e| e.kind.clone()).collect();
    let late = OutboxKind::LateAnswer(Answer::Result("{}".into()));
    assert_eq!(kinds, [OutboxKind::Ended { dead_letter: false }, late]);
}

#[test]
fn versions_strictly_grow_over_unregister_expiry_and_a_clock_that_stands() {
    let mut b = Bench::new();
    let mut last = Version(0);
    for sequence in 1..10 {
        let version = b.connect(if sequence % 3 == 0 { "b" } else { "a" }, sequence);
        assert!(version > last);
        last = version;
        if sequence % 2 == 0 {
            assert!(
                b.slot
                    .unregister(&charger(0), Incarnation(7), version, &b.call())
                    .unwrap()
            );
        }
        if sequence == 5 {
            b.pass(1_000 * SECOND);
        }
    }
    let floor = Registration {
        floor: Version(last.0 + 9 * SECOND),
        ..registration("a", 99)
    };
    let reply = b.slot.register(&floor, &b.call()).unwrap();
    assert!(matches!(reply, RegisterReply::Registered { version, .. } if version > floor.floor));
}

#[test]
fn the_same_sequence_is_answered_as_before_and_a_lower_one_refused() {
    let mut b = Bench::new();
    let version = b.connect("a", 4);
    b.pass(SECOND);
    assert_eq!(b.connect("a", 4), version);
    let refused = b.slot.register(&registration("a", 3), &b.call()).unwrap();
    assert_eq!(refused, RegisterReply::Refused(RegisterRefusal::OldSequence));
}

#[test]
fn a_dead_socket_does_not_displace_the_living_one() {
    let mut b = Bench::new();
    let old = b.connect("a", 1);
    b.pass(SECOND);
    b.connect("b", 1);
    let again = Registration {
        incarnation: Incarnation(8),
        first_version: old,
        ..registration("a", 1)
    };
    let refused = b.slot.register(&again, &b.call()).unwrap();
    assert_eq!(refused, RegisterReply::Refused(RegisterRefusal::NewerSocket));
}

#[test]
fn another_edge_is_kicked_and_the_same_edge_is_not() {
    let mut b = Bench::new();
    let old = b.connect("a", 1);
    b.connect("a", 2);
    assert!(b.slot.notes.is_empty());
    let second = b.slot.devices[&charger(0)].version;
    let newer = b.connect("b", 1);
    let notes: Vec<_> = b.slot.notes.values().map(|n| n.kind.clone()).collect();
    assert_eq!(
        notes,
        [NoteKind::Kick {
            version: second,
            newer
        }]
    );
    assert!(old < second);
}

#[test]
fn a_note_is_sent_until_it_is_confirmed_and_none_is_starved() {
    let mut b = Bench::new();
    for (n, pod) in ["a", "b", "c", "d"].iter().enumerate() {
        b.connect(pod, n as u64 + 1);
    }
    assert_eq!(b.slot.notes.len(), 3);
    let mut sent = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let again: Vec<_> = b
            .slot
            .notes_to_send(b.now, 1)
            .into_iter()
            .map(|(_, n)| n.name())
            .collect();
        sent.extend(again);
        b.pass(2 * SECOND);
    }
    assert_eq!(sent.len(), 3, "one unconfirmed note kept another from being sent");
    assert!(sent.iter().all(|name| b.slot.note_done(&charger(0), name)));
    assert!(b.slot.notes_to_send(b.now, 9).is_empty());
}

#[test]
fn an_unsafe_command_is_granted_once() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Unsafe, Normal);
    let intent = b.event(id, EventKind::Intent);
    let granted = b.apply(&intent);
    assert_eq!(
        (granted.verdict, granted.status),
        (Some(Verdict::Applied), Some(Status::Delivered))
    );
    b.pass(SECOND);
    let repeated = b.apply(&intent);
    assert_eq!(
        (repeated.verdict, repeated.write_before),
        (Some(Verdict::Repeated), granted.write_before)
    );
    let mut other = intent;
    other.event.nonce = Nonce(6);
    assert_eq!(
        b.apply(&other).verdict,
        Some(Verdict::Stale),
        "another record of it was granted too"
    );
}

#[test]
fn a_displaced_unsafe_command_stands_aside_and_its_outcome_is_given_up() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let (id, next) = (b.accept(Unsafe, Normal), b.accept(Safe, Normal));
    b.happens(id, EventKind::Intent);
    b.connect("b", 1);
    assert_eq!(
        [id, next].map(|id| b.status(id)),
        [Status::Delivered, Status::Sent]
    );
    assert_eq!(b.slot.devices[&charger(0)].normal, Some(next));
    b.live(24);
    assert_eq!(
        b.status(id),
        Status::Delivered,
        "grant, answer timeout and a lease are not over"
    );
    b.live(2);
    let progress = &b.command(id).progress;
    assert_eq!(
        (progress.status, progress.reason),
        (Status::Failed, Some(FailureReason::OutcomeUnknown))
    );
}

#[test]
fn a_displaced_safe_command_is_due_at_once_its_attempt_spent() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Safe, Normal);
    b.happens(id, EventKind::Written);
    b.connect("b", 1);
    assert_eq!((b.status(id), b.command(id).progress.attempts), (Status::Sent, 1));
    b.happens(id, EventKind::Written);
    b.connect("a", 2);
    assert_eq!(
        b.status(id),
        Status::Delivered,
        "with no attempt left it stays until its timer"
    );
    b.live(11);
    assert_eq!(b.command(id).progress.reason, Some(FailureReason::NoAnswer));
}

#[test]
fn a_non_write_ends_a_marked_command_in_the_same_step() {
    for (mark, end) in [
        (EventKind::Cancel, Status::Cancelled),
        (EventKind::Deadline, Status::Expired),
    ] {
        let mut b = Bench::new();
        b.connect("a", 1);
        let id = b.accept(Unsafe, Normal);
        b.happens(id, EventKind::Intent);
        assert_eq!(b.happens(id, mark), Some(Verdict::Noted));
        assert_eq!(b.status(id), Status::Delivered);
        assert_eq!(b.happens(id, EventKind::NonWrite), Some(Verdict::Applied));
        assert_eq!((b.status(id), b.command(id).progress.attempts), (end, 0));
        assert!(!b.command(id).progress.possibly_written);
    }
}

#[test]
fn a_doubled_non_write_matches_no_later_round() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Unsafe, Normal);
    b.happens(id, EventKind::Intent);
    let non_write = b.event(id, EventKind::NonWrite);
    b.apply(&non_write);
    b.pass(20 * SECOND);
    b.run_due();
    b.happens(id, EventKind::Intent);
    assert_eq!(b.status(id), Status::Delivered);
    assert_eq!(b.apply(&non_write).verdict, Some(Verdict::Stale));
}

#[test]
fn a_stale_route_is_tombstoned_only_while_it_is_the_current_one() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Safe, Normal);
    let refusal = b.event(id, EventKind::StaleRoute);
    b.connect("b", 1);
    assert_eq!(b.apply(&refusal).verdict, Some(Verdict::Stale));
    assert!(b.slot.devices[&charger(0)].connected);
    b.happens(id, EventKind::StaleRoute);
    assert!(!b.slot.devices[&charger(0)].connected);
    assert_eq!(b.status(id), Status::Pending);
}

#[test]
fn a_lapsed_claim_returns_and_costs_no_attempt() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Safe, Normal);
    b.pass(7 * SECOND);
    b.run_due();
    let progress = &b.command(id).progress;
    assert_eq!(
        (progress.status, progress.attempts, progress.misses),
        (Status::Pending, 0, 1)
    );
}

#[test]
fn a_claim_skips_what_is_past_its_deadline() {
    let mut b = Bench::new();
    let (first, second) = (b.request(Safe, Normal), b.request(Safe, Normal));
    let ids = [first.id, second.id];
    b.slot
        .accept(
            Request {
                deadline: Deadline::After(SECOND),
                ..first
            },
            &b.call(),
        )
        .unwrap();
    b.slot.accept(second, &b.call()).unwrap();
    b.pass(2 * SECOND);
    b.connect("a", 1);
    assert_eq!(ids.map(|id| b.status(id)), [Status::Pending, Status::Sent]);
    b.run_due();
    assert_eq!(b.status(ids[0]), Status::Expired);
    assert!(!b.command(ids[0]).progress.possibly_written);
}

#[test]
fn what_was_open_across_a_roll_back_may_have_been_written() {
    let mut b = Bench::new();
    let id = b.accept(Safe, Normal);
    let cancel = b.event(id, EventKind::Cancel);
    b.slot
        .apply(
            &cancel,
            &Call {
                epoch: "another",
                ..b.call()
            },
        )
        .unwrap();
    assert!(b.command(id).progress.possibly_written);
}

#[test]
fn nothing_happens_too_late() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Safe, Normal);
    let before = b.slot.clone();
    let late = Call {
        not_after: Micros(b.now.0 - 1),
        ..b.call()
    };
    let request = b.request(Safe, Normal);
    assert!(b.slot.accept(request, &late).is_err());
    assert!(b.slot.register(&registration("b", 1), &late).is_err());
    let answer = b.event(id, EventKind::Answer);
    assert!(b.slot.apply(&answer, &late).is_err());
    assert!(b.slot.run_due(9, &late).is_err());
    assert_eq!(b.slot, before);
}
