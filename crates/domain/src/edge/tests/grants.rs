//! Unsafe commands: intent, grant, non-write.

use super::bench::{intents, non_writes, notices, writes};
use super::{Bench, MS, SECOND, charger, command};
use crate::command::RedeliveryClass;
use crate::edge::Input;
use crate::ids::Nonce;

#[test]
fn an_unsafe_command_is_written_only_under_a_grant() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    assert!(writes(&b.pass(2 * SECOND)).is_empty());
    assert!(writes(&b.grant(1, Nonce(99), 5 * SECOND)).is_empty());
    assert_eq!(writes(&b.grant(1, nonce, 5 * SECOND)), [command(1)]);
    assert_eq!(notices(&b.wrote(1, 10, 1)), [1000]);
    assert!(
        b.grant(1, nonce, 5 * SECOND).is_empty(),
        "a repeated grant does nothing"
    );
}

#[test]
fn a_grant_too_late_for_its_write_is_given_back_and_never_used() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    assert_eq!(non_writes(&b.grant(1, nonce, 0)), [nonce]);
    assert!(writes(&b.grant(1, nonce, 5 * SECOND)).is_empty());
    assert_eq!(
        non_writes(&b.pass(6 * SECOND)),
        [nonce],
        "repeated while unconfirmed"
    );
    b.input(Input::NonWriteConfirmed {
        id: command(1),
        nonce,
    });
    assert!(non_writes(&b.pass(20 * SECOND)).is_empty());
}

#[test]
fn waiting_for_a_grant_holds_no_call_slot_and_a_busy_slot_outlives_a_grant() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.write(1, 10, 2, 1001, 100);
    assert!(
        writes(&b.grant(1, nonce, 2 * SECOND)).is_empty(),
        "the slot is busy"
    );
    assert_eq!(non_writes(&b.pass(3 * SECOND)), [nonce]);
    assert!(writes(&b.answered(1, 2)).is_empty());
}

#[test]
fn a_granted_command_takes_the_slot_when_it_becomes_free_in_time() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.write(1, 10, 2, 1001, 100);
    b.grant(1, nonce, 2 * SECOND);
    b.pass(SECOND);
    assert_eq!(writes(&b.answered(1, 2)), [command(1)]);
}

#[test]
fn no_intent_is_sent_while_the_slot_is_busy_or_another_is_asked_for() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    for id in [2, 3] {
        let mut record = b.routed(1, id, 1000 + u64::from(id), 100);
        record.class = RedeliveryClass::Unsafe;
        assert!(b.record(record).is_empty());
    }
    assert_eq!(intents(&b.answered(1, 1)).len(), 1);
}

#[test]
fn a_higher_dispatch_of_a_command_that_waits_for_its_grant_is_adopted_with_a_new_nonce() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let first = b.intend(1, 1, 1000, 100);
    let mut record = b.routed(1, 1, 1001, 100);
    record.class = RedeliveryClass::Unsafe;
    let out = b.record(record);
    let second = intents(&out)[0];
    assert_ne!(first, second);
    assert_eq!(non_writes(&out), [first]);
    assert!(
        writes(&b.grant(1, first, 5 * SECOND)).is_empty(),
        "never under the old nonce"
    );
    assert_eq!(writes(&b.grant(1, second, 5 * SECOND)), [command(1)]);
}

#[test]
fn a_refused_intent_ends_the_taking() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.input(Input::IntentRefused {
        id: command(1),
        nonce,
    });
    let out = b.grant(1, nonce, 5 * SECOND);
    assert!(writes(&out).is_empty());
    assert!(intents(&b.pass(20 * SECOND)).is_empty());
}

#[test]
fn an_unsafe_command_is_never_written_twice_whatever_records_come() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.grant(1, nonce, 5 * SECOND);
    b.wrote(1, 10, 1);
    b.timeout(1, 10, 1);
    let mut record = b.routed(1, 1, 1001, 100);
    (record.class, record.attempt) = (RedeliveryClass::Unsafe, 2);
    let out = b.record(record);
    assert!(writes(&out).is_empty() && intents(&out).is_empty());
    assert_eq!(notices(&out), [1001]);
}

#[test]
fn a_cancel_of_a_granted_command_becomes_a_non_write() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    let deadline = crate::ids::Micros(super::bench::EPOCH + 300 * SECOND);
    let (incarnation, charge_point, id) = (super::bench::LIFE, charger(1), command(1));
    let out = b.input(Input::Cancel {
        incarnation,
        charge_point,
        id,
        deadline,
    });
    assert_eq!(non_writes(&out), [nonce]);
    assert!(writes(&b.grant(1, nonce, 5 * SECOND)).is_empty());
}

#[test]
fn a_failed_intent_is_repeated_with_the_same_nonce_after_a_pause() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.input(Input::Failed(crate::edge::Failed::Command(command(1))));
    assert!(intents(&b.pass(300 * MS)).is_empty());
    assert_eq!(intents(&b.pass(300 * MS)), [nonce]);
}

#[test]
fn a_non_write_of_an_older_intent_is_repeated_after_a_later_grant() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let older = b.intend(1, 1, 1000, 100);
    let mut again = b.routed(1, 1, 1001, 100);
    again.class = RedeliveryClass::Unsafe;
    let out = b.record(again);
    assert_eq!(non_writes(&out), [older]);
    let nonce = intents(&out)[0];
    assert_eq!(writes(&b.grant(1, nonce, 5 * SECOND)), [command(1)]);
    b.wrote(1, 10, 1);
    assert_eq!(non_writes(&b.pass(6 * SECOND)), [older], "nobody confirmed it");
    b.input(Input::NonWriteConfirmed {
        id: command(1),
        nonce: older,
    });
    b.answered(1, 1);
    b.confirmed(1, 1);
    assert_eq!(b.machine.unconfirmed(), 0);
}
