//! Taking, writing, granting, answering.

use super::bench::{LIFE, answers, notices, refusals, writes};
use super::{Bench, SECOND, answer, charger, command};
use crate::command::Priority;
use crate::edge::{Input, RefusalReason, Socket};
use crate::ids::Incarnation;

#[test]
fn a_safe_command_is_written_noticed_answered_and_settled() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    assert_eq!(answers(&b.answered(1, 1)), [command(1)]);
    assert!(b.confirmed(1, 1).is_empty());
    assert!(answers(&b.pass(20 * SECOND)).is_empty());
}

#[test]
fn an_unconfirmed_answer_is_sent_again_until_a_router_confirmed_it() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.answered(1, 1);
    assert_eq!(answers(&b.pass(6 * SECOND)), [command(1)]);
    b.input(Input::Failed(crate::edge::Failed::Command(command(1))));
    assert_eq!(answers(&b.pass(SECOND)), [command(1)]);
    b.confirmed(1, 1);
    assert!(answers(&b.pass(30 * SECOND)).is_empty());
}

#[test]
fn records_of_another_life_and_old_dispatches_are_passed_over() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let record = b.routed(1, 1, 1000, 100);
    assert!(
        b.input(Input::Record {
            incarnation: Incarnation(6),
            command: record.clone()
        })
        .is_empty()
    );
    assert_eq!(writes(&b.record(record.clone())).len(), 1);
    assert!(b.record(record).is_empty());
    let older = b.routed(1, 1, 999, 100);
    assert!(b.record(older).is_empty());
}

#[test]
fn unknown_chargers_and_other_versions_are_answered_stale_route() {
    let mut b = Bench::new();
    let record = b.routed(1, 1, 1000, 100);
    assert_eq!(refusals(&b.record(record)), [(1000, RefusalReason::StaleRoute)]);
    b.connect(1, 10, 100);
    let record = b.routed(1, 2, 1001, 101);
    assert_eq!(refusals(&b.record(record)), [(1001, RefusalReason::StaleRoute)]);
}

#[test]
fn without_a_lease_a_record_is_answered_not_ready_and_nothing_is_written() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.time.lease_until_mono_us = b.time.mono_us;
    let record = b.routed(1, 1, 1000, 100);
    let out = b.record(record);
    assert_eq!(refusals(&out), [(1000, RefusalReason::NotReady)]);
    assert!(writes(&out).is_empty());
}

#[test]
fn a_lease_that_ends_between_taking_and_writing_stops_the_write() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let record = b.routed(1, 1, 1000, 100);
    assert_eq!(writes(&b.record(record)), [command(1)]);
    assert!(b.machine.may_write(command(1), b.time));
    b.time.lease_until_mono_us = b.time.mono_us;
    assert!(!b.machine.may_write(command(1), b.time));
    let out = b.input(Input::NotWritten {
        charge_point: charger(1),
        socket: Socket(10),
        id: command(1),
    });
    assert_eq!(refusals(&out), [(1000, RefusalReason::NotReady)]);
}

#[test]
fn nothing_is_written_after_its_deadline() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    let mut record = b.routed(1, 2, 1001, 100);
    record.deadline = b.time.redis_upper.plus(SECOND);
    assert!(writes(&b.record(record)).is_empty());
    let out = b.pass(2 * SECOND);
    assert!(writes(&out).is_empty() && refusals(&out).is_empty());
    assert!(writes(&b.answered(1, 1)).is_empty());
    let mut late = b.routed(1, 3, 1002, 100);
    late.deadline = b.time.redis_upper;
    assert!(writes(&b.record(late)).is_empty());
}

#[test]
fn at_most_one_call_is_out_and_the_urgent_one_goes_next() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    let second = b.routed(1, 2, 1001, 100);
    let mut urgent = b.routed(1, 3, 1002, 100);
    urgent.priority = Priority::Urgent;
    assert!(writes(&b.record(second)).is_empty());
    assert!(writes(&b.record(urgent)).is_empty());
    assert_eq!(writes(&b.answered(1, 1)), [command(3)]);
    b.wrote(1, 10, 3);
    assert_eq!(writes(&b.timeout(1, 10, 3)), [command(2)]);
}

#[test]
fn beyond_the_bound_of_waiting_records_the_next_is_refused() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    for n in 0..8 {
        let record = b.routed(1, 10 + n, 2000 + u64::from(n), 100);
        assert!(b.record(record).is_empty());
    }
    let record = b.routed(1, 20, 3000, 100);
    assert_eq!(refusals(&b.record(record)), [(3000, RefusalReason::NotReady)]);
}

#[test]
fn a_doublet_of_what_was_written_is_answered_by_the_notice_and_never_refused() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    let record = b.routed(1, 1, 1001, 100);
    let out = b.record(record);
    assert_eq!(notices(&out), [1001]);
    assert!(refusals(&out).is_empty() && writes(&out).is_empty());
    let other_version = b.routed(1, 1, 1002, 101);
    let out = b.record(other_version);
    assert_eq!(notices(&out), [1002]);
    assert!(refusals(&out).is_empty());
}

#[test]
fn a_late_record_of_what_was_answered_is_answered_and_after_confirmation_dropped() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.answered(1, 1);
    let mut record = b.routed(1, 1, 1001, 100);
    record.attempt = 2;
    assert_eq!(answers(&b.record(record.clone())), [command(1)]);
    b.confirmed(1, 1);
    record.dispatch.0 = 1002;
    assert!(
        b.record(record).is_empty(),
        "remembered until the deadline, not written again"
    );
}

#[test]
fn a_safe_command_is_written_again_only_for_a_higher_attempt_after_its_call_timed_out() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    let mut record = b.routed(1, 1, 1001, 100);
    record.attempt = 2;
    assert!(
        writes(&b.record(record.clone())).is_empty(),
        "the CALL is still out"
    );
    b.timeout(1, 10, 1);
    (record.dispatch.0, record.attempt) = (1002, 1);
    assert!(writes(&b.record(record.clone())).is_empty(), "the same attempt");
    (record.dispatch.0, record.attempt) = (1003, 2);
    assert_eq!(writes(&b.record(record)), [command(1)]);
}

#[test]
fn a_late_answer_to_the_first_attempt_ends_the_second_before_it_is_written() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.timeout(1, 10, 1);
    b.write(1, 10, 2, 1001, 100);
    let mut retry = b.routed(1, 1, 1002, 100);
    retry.attempt = 2;
    assert!(writes(&b.record(retry)).is_empty());
    assert_eq!(answers(&b.answered(1, 1)), [command(1)]);
    assert!(writes(&b.answered(1, 2)).is_empty());
}

#[test]
fn a_cancelled_command_is_not_written_and_its_tombstone_drops_later_records() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    let waiting = b.routed(1, 2, 1001, 100);
    b.record(waiting);
    let cancel = |id| Input::Cancel {
        incarnation: LIFE,
        charge_point: charger(1),
        id: command(id),
        deadline: crate::ids::Micros(super::bench::EPOCH + 300 * SECOND),
    };
    assert_eq!(
        super::bench::notes(&b.input(cancel(2))),
        [format!("cancel:{}", command(2))]
    );
    assert!(writes(&b.answered(1, 1)).is_empty());
    let again = b.routed(1, 2, 1002, 100);
    assert!(b.record(again).is_empty());
    b.input(cancel(3));
    let later = b.routed(1, 3, 1003, 100);
    assert!(b.record(later).is_empty(), "the cancel overtook the record");
}

#[test]
fn answers_are_forwarded_by_id_even_when_nothing_is_remembered_but_only_for_the_own_commands() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 20, 101);
    assert_eq!(answers(&b.answered(1, 9)), [command(9)]);
    b.write(1, 10, 1, 1000, 100);
    assert!(
        answers(&b.answered(2, 1)).is_empty(),
        "charger 2 cannot answer for charger 1"
    );
    assert_eq!(answers(&b.answered(1, 1)), [command(1)]);
}

#[test]
fn a_call_that_outlived_the_life_that_took_it_is_not_written_in_the_next() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let record = b.routed(1, 1, 1000, 100);
    b.record(record);
    assert!(b.machine.may_write(command(1), b.time));
    b.input(Input::LeaseLapsed);
    assert!(!b.machine.may_write(command(1), b.time), "there is no life");
    b.input(Input::IncarnationTaken(Incarnation(99)));
    assert!(
        !b.machine.may_write(command(1), b.time),
        "its registration is not answered yet"
    );
}

#[test]
fn invented_answers_beyond_the_bound_are_forwarded_and_not_remembered() {
    let settings = crate::edge::EdgeSettings {
        max_strangers: 2,
        ..Default::default()
    };
    let mut b = Bench::with(settings);
    b.connect(1, 10, 100);
    for id in 0..10 {
        assert_eq!(answers(&b.answered(1, id)).len(), 1);
    }
    assert_eq!(b.machine.remembered(), 2);
    b.confirmed(1, 0);
    b.answered(1, 11);
    assert_eq!(
        b.machine.remembered(),
        2,
        "a confirmed one is still remembered, and counts"
    );
}

#[test]
fn memory_is_kept_until_the_deadline_and_then_given_up() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.input(Input::Answer {
        charge_point: charger(1),
        id: command(1),
        answer: answer("{}"),
    });
    b.confirmed(1, 1);
    b.pass(299 * SECOND);
    assert_eq!(b.machine.remembered(), 1);
    b.pass(62 * SECOND);
    assert_eq!(b.machine.remembered(), 0);
}

#[test]
fn what_another_charger_says_to_a_command_does_not_keep_it_from_being_written() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 11, 101);
    b.answered(2, 1);
    let record = b.routed(1, 1, 1000, 100);
    assert_eq!(writes(&b.record(record)), [command(1)]);
    b.wrote(1, 10, 1);
    b.answered(1, 1);
    b.confirmed(1, 1);
    b.pass(400 * SECOND);
    assert_eq!(b.machine.remembered(), 0);
}

#[test]
fn the_true_answer_is_forwarded_after_a_forged_one_that_waits_for_its_confirmation() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 11, 101);
    assert_eq!(answers(&b.answered(2, 1)), [command(1)]);
    assert_eq!(
        answers(&b.answered(1, 1)),
        [command(1)],
        "the store tells which is true"
    );
    assert_eq!(b.machine.remembered(), 1);
    assert_eq!(
        answers(&b.pass(6 * SECOND)),
        [command(1)],
        "only the first is repeated"
    );
    let record = b.routed(1, 1, 1000, 100);
    let told = b.record(record);
    assert!(writes(&told).is_empty(), "the true charger answered it");
    assert_eq!(answers(&told), [command(1)]);
}

#[test]
fn the_true_answer_is_forwarded_and_repeated_after_a_forged_one_that_was_settled() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 11, 101);
    b.answered(2, 1);
    b.confirmed(2, 1);
    assert_eq!(answers(&b.answered(1, 1)), [command(1)]);
    assert_eq!(
        answers(&b.pass(6 * SECOND)),
        [command(1)],
        "it is not confirmed yet"
    );
    b.confirmed(1, 1);
    let record = b.routed(1, 1, 1000, 100);
    assert!(writes(&b.record(record)).is_empty(), "it was answered here");
    assert!(answers(&b.answered(2, 1)).is_empty(), "a router said whose it is");
}

#[test]
fn a_confirmed_forgery_neither_settles_nor_displaces_the_true_answer() {
    let mut b = Bench::new();
    for n in 1..=3 {
        b.connect(n, 9 + n, 99 + n);
    }
    b.answered(1, 1);
    b.answered(2, 1);
    b.confirmed(2, 1);
    assert_eq!(answers(&b.pass(6 * SECOND)), [command(1)], "nobody confirmed it");
    b.confirmed(1, 1);
    assert!(answers(&b.pass(30 * SECOND)).is_empty());
    // The same the other way round: the true charger answers second, and yet another forges.
    b.answered(2, 2);
    b.answered(1, 2);
    b.answered(3, 2);
    b.confirmed(1, 2);
    let record = b.routed(1, 2, 1000, 100);
    let told = b.record(record);
    assert!(writes(&told).is_empty(), "the true charger answered it");
    assert_eq!(answers(&told), [command(2)]);
}

#[test]
fn a_confirmation_that_names_no_charger_settles_whatever_was_said() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.answered(1, 1);
    b.input(Input::AnswerConfirmed {
        id: command(1),
        charge_point: None,
    });
    assert!(answers(&b.pass(30 * SECOND)).is_empty());
}

#[test]
fn a_cancel_is_not_forgotten_over_what_another_charger_said_before() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 11, 101);
    b.answered(2, 1);
    let record = b.routed(1, 1, 1000, 100);
    b.input(Input::Cancel {
        incarnation: LIFE,
        charge_point: charger(1),
        id: command(1),
        deadline: record.deadline,
    });
    assert!(writes(&b.record(record)).is_empty());
}
