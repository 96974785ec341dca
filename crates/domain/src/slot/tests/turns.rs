//! Whose turn it is: timers after a stall, and the lanes of the window.

use super::*;
use crate::command::FailureReason;

use Priority::{High, Low, Normal, Urgent};
use RedeliveryClass::{Safe, Unsafe};

/// The hole: after a stall every timer is overdue while the answers wait in the edges, and everything that was
/// delivered ended as unanswered although its answer was there.
#[test]
fn after_a_stall_answers_that_wait_in_the_edges_still_count() {
    for class in [Safe, Unsafe] {
        let mut b = Bench::new();
        b.connect("a", 1);
        let request = Request {
            max_attempts: 1,
            ..b.request(class, Normal)
        };
        let id = request.id;
        b.slot.accept(request, &b.call()).unwrap();
        b.live(1);
        b.happens(
            id,
            if class == Safe {
                EventKind::Written
            } else {
                EventKind::Intent
            },
        );
        b.live(1);
        // Redis, or every router, stands still for longer than any timer; meanwhile the charger answers.
        b.pass(60 * SECOND);
        b.run_due();
        assert_eq!(
            b.status(id),
            Status::Delivered,
            "its timer fired before its answer could come"
        );
        b.live(9);
        assert_eq!(b.happens(id, EventKind::Answer), Some(Verdict::Applied));
        assert_eq!(b.status(id), Status::Acknowledged);
    }
}

#[test]
fn a_stall_holds_timers_back_for_one_lease_and_no_longer() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Unsafe, Normal);
    b.happens(id, EventKind::Intent);
    b.pass(60 * SECOND);
    b.run_due();
    let held = b.command(id).progress.timer;
    assert_eq!(held, b.now.plus(b.slot.settings.pod_lease_us));
    b.live(9);
    assert_eq!(
        (b.status(id), b.command(id).progress.timer),
        (Status::Delivered, held)
    );
    b.live(1);
    assert_eq!(b.command(id).progress.reason, Some(FailureReason::OutcomeUnknown));
}

/// The hole in the rule above: rounds that always come late, as those of an overloaded router do, moved the hold
/// forward each time, and no timer of a written command ever fired.
#[test]
fn timers_fire_although_every_round_comes_late() {
    for apart in [2_100_000, 3 * SECOND, 9 * SECOND, 11 * SECOND, 25 * SECOND] {
        let mut b = Bench::new();
        b.connect("a", 1);
        let request = Request {
            deadline: Deadline::After(3_600 * SECOND),
            ..b.request(Unsafe, Normal)
        };
        let id = request.id;
        b.slot.accept(request, &b.call()).unwrap();
        b.happens(id, EventKind::Intent);
        b.pass(b.command(id).progress.timer.0 - b.now.0);
        // Late rounds use up a lease of ten seconds in five; where one begins before the timer is due, so much later.
        let rounds = (0..12).find(|_| {
            b.pass(apart);
            b.run_due();
            b.status(id) != Status::Delivered
        });
        assert!(rounds.is_some(), "rounds {apart} us apart fire no timer");
        assert_eq!(b.command(id).progress.reason, Some(FailureReason::OutcomeUnknown));
    }
}

#[test]
fn a_second_stall_leaves_what_was_left_of_the_hold() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let id = b.accept(Unsafe, Normal);
    b.happens(id, EventKind::Intent);
    b.pass(60 * SECOND);
    b.run_due();
    b.live(1);
    // Of the ten seconds nine are left; of the second stall two of them count.
    b.pass(60 * SECOND);
    b.run_due();
    assert_eq!(b.command(id).progress.timer, b.now.plus(7 * SECOND));
    b.live(6);
    assert_eq!(b.status(id), Status::Delivered, "its timer fired within the hold");
    b.live(1);
    assert_eq!(b.status(id), Status::Failed);
    // The hold is over: a further stall is a stall of its own.
    let next = b.accept(Unsafe, Normal);
    b.happens(next, EventKind::Intent);
    b.live(1);
    b.pass(60 * SECOND);
    b.run_due();
    assert_eq!(b.command(next).progress.timer, b.now.plus(10 * SECOND));
}

#[test]
fn who_leaves_timers_to_others_takes_only_what_they_left() {
    let mut b = Bench::new();
    let request = Request {
        deadline: Deadline::After(30 * SECOND),
        ..b.request(Safe, Normal)
    };
    let id = request.id;
    b.slot.accept(request, &b.call()).unwrap();
    b.pass(31 * SECOND);
    b.slot.run_overdue(100, 2 * SECOND, &b.call()).unwrap();
    assert_eq!(b.status(id), Status::Pending);
    b.pass(SECOND);
    b.slot.run_overdue(100, 2 * SECOND, &b.call()).unwrap();
    assert_eq!(b.status(id), Status::Expired);
}

#[test]
fn a_stall_moves_neither_deadlines_nor_the_leases_of_claims() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let sent = b.accept(Safe, Normal);
    let request = Request {
        deadline: Deadline::After(30 * SECOND),
        ..b.request(Safe, Urgent)
    };
    let delivered = request.id;
    b.slot.accept(request, &b.call()).unwrap();
    b.happens(delivered, EventKind::Written);
    b.pass(60 * SECOND);
    b.run_due();
    assert_eq!(
        [sent, delivered].map(|id| b.status(id)),
        [Status::Pending, Status::Expired]
    );
}

#[test]
fn a_slot_without_timers_is_not_stalled() {
    let mut b = Bench::new();
    b.connect("a", 1);
    b.live(3);
    b.pass(500 * SECOND);
    let id = b.accept(Safe, Normal);
    b.happens(id, EventKind::Written);
    b.live(10);
    assert_eq!(b.slot.hold, Micros(0));
    assert_eq!(b.status(id), Status::Pending, "its timer was held back");
}

/// Answers whatever is on its way, so that the next command of the lane is claimed; says which it was.
fn answer_next(b: &mut Bench) -> CommandId {
    let id = b.slot.devices[&charger(0)].normal.unwrap();
    b.happens(id, EventKind::Answer);
    id
}

#[test]
fn a_low_command_is_overtaken_so_often_at_most_by_later_ones() {
    let mut b = Bench::new();
    b.connect("a", 1);
    let first = b.accept(Safe, Normal);
    let low = b.accept(Safe, Low);
    for _ in 0..20 {
        b.accept(Safe, High);
    }
    let order: Vec<CommandId> = (0..12).map(|_| answer_next(&mut b)).collect();
    assert_eq!(order[0], first);
    assert_eq!(
        order.iter().position(|id| *id == low),
        Some(9),
        "one, then eight that overtake it"
    );
}

#[test]
fn each_that_waits_long_gets_its_turn_and_the_urgent_lane_knows_no_turns() {
    let mut b = Bench::new();
    b.slot.settings.max_overtakes = 1;
    b.connect("a", 1);
    let first = b.accept(Safe, High);
    let lows = [b.accept(Safe, Low), b.accept(Safe, Low)];
    let highs = [(); 3].map(|()| b.accept(Safe, High));
    let urgent = b.accept(Safe, Urgent);
    assert_eq!(b.status(urgent), Status::Sent);
    let order: Vec<CommandId> = (0..6).map(|_| answer_next(&mut b)).collect();
    assert_eq!(order, [first, highs[0], lows[0], highs[1], lows[1], highs[2]]);
}

#[test]
fn a_retry_keeps_its_place_before_one_whose_turn_it_would_be() {
    let mut b = Bench::new();
    b.slot.settings.max_overtakes = 0;
    b.connect("a", 1);
    let high = b.accept(Safe, High);
    let low = b.accept(Safe, Low);
    b.happens(high, EventKind::StaleRoute);
    b.connect("a", 2);
    assert_eq!(
        [high, low].map(|id| b.status(id)),
        [Status::Sent, Status::Pending]
    );
}
