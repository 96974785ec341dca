//! Registrations, kicks, closes.

use super::bench::{LIFE, closes, non_writes, notes, notices, refusals, registers, unregisters, writes};
use super::{Bench, SECOND, charger, command};
use crate::edge::{Input, RefusalReason, Socket};
use crate::ids::{Incarnation, Version};

fn kick(version: u64) -> Input {
    Input::Kick {
        incarnation: LIFE,
        charge_point: charger(1),
        version: Version(version),
    }
}

#[test]
fn a_record_that_overtakes_its_registration_is_held_and_then_written() {
    let mut b = Bench::new();
    b.open(1, 10);
    let record = b.routed(1, 1, 1000, 100);
    assert!(b.record(record).is_empty());
    let sequence = b.last_sequence();
    assert_eq!(writes(&b.registered(1, sequence, 100)), [command(1)]);
}

#[test]
fn a_held_record_of_another_version_is_refused_when_the_reply_comes() {
    let mut b = Bench::new();
    b.open(1, 10);
    let record = b.routed(1, 1, 1000, 99);
    assert!(b.record(record).is_empty());
    let sequence = b.last_sequence();
    assert_eq!(
        refusals(&b.registered(1, sequence, 100)),
        [(1000, RefusalReason::StaleRoute)]
    );
}

#[test]
fn a_reply_that_comes_after_the_close_is_unregistered() {
    let mut b = Bench::new();
    b.open(1, 10);
    let sequence = b.last_sequence();
    assert!(unregisters(&b.close(1, 10)).is_empty());
    assert_eq!(unregisters(&b.registered(1, sequence, 100)), [100]);
}

#[test]
fn closing_an_old_socket_never_removes_the_newer_registration() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    assert_eq!(closes(&b.open(1, 11)), [Socket(10)]);
    assert!(b.close(1, 10).is_empty());
    let sequence = b.last_sequence();
    b.registered(1, sequence, 101);
    assert_eq!(b.machine.version_of(&charger(1)), Some(Version(101)));
    assert_eq!(unregisters(&b.close(1, 11)), [101]);
}

#[test]
fn a_registration_without_reply_or_failed_is_repeated_with_the_same_sequence() {
    let mut b = Bench::new();
    b.open(1, 10);
    let sequence = b.last_sequence();
    b.input(Input::Failed(crate::edge::Failed::Register(charger(1))));
    assert_eq!(registers(&b.pass(SECOND)), [(sequence, 0)]);
    assert_eq!(registers(&b.pass(5 * SECOND)), [(sequence, 0)]);
    b.registered(1, sequence, 100);
    assert!(registers(&b.pass(20 * SECOND)).is_empty());
}

#[test]
fn a_kick_closes_exactly_the_version_it_names() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    for (version, closed) in [(99, vec![]), (101, vec![]), (100, vec![Socket(10)])] {
        let out = b.input(kick(version));
        assert_eq!(closes(&out), closed, "{version}");
        assert_eq!(notes(&out), [format!("kick:7:{version}")]);
    }
}

#[test]
fn a_kick_that_overtook_the_reply_closes_the_socket_when_the_reply_brings_its_version() {
    for (version, closed) in [(100, vec![Socket(10)]), (101, vec![Socket(10)]), (102, vec![])] {
        let mut b = Bench::new();
        b.open(1, 10);
        let sequence = b.last_sequence();
        assert!(b.input(kick(101)).is_empty(), "held, not confirmed yet");
        let out = b.registered(1, sequence, version);
        assert_eq!(closes(&out), closed, "{version}");
        assert_eq!(notes(&out), ["kick:7:101"]);
    }
}

#[test]
fn a_kick_for_another_life_is_ignored() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let other = Input::Kick {
        incarnation: Incarnation(6),
        charge_point: charger(1),
        version: Version(100),
    };
    assert!(b.input(other).is_empty());
}

#[test]
fn a_refused_registration_closes_the_socket() {
    let mut b = Bench::new();
    b.open(1, 10);
    let sequence = b.last_sequence();
    let refused = Input::RegisterRefused {
        charge_point: charger(1),
        sequence,
    };
    assert_eq!(closes(&b.input(refused)), [Socket(10)]);
}

#[test]
fn a_close_gives_back_what_was_not_written() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    b.write(1, 10, 2, 1001, 100);
    let record = b.routed(1, 3, 1002, 100);
    b.record(record);
    let out = b.close(1, 10);
    assert_eq!(non_writes(&out), [nonce]);
    assert_eq!(refusals(&out), [(1002, RefusalReason::StaleRoute)]);
    assert_eq!(unregisters(&out), [100]);
}

#[test]
fn a_write_that_was_under_way_when_the_socket_closed_counts_as_written() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    let nonce = b.intend(1, 1, 1000, 100);
    assert_eq!(writes(&b.grant(1, nonce, 5 * SECOND)), [command(1)]);
    let out = b.close(1, 10);
    assert_eq!(notices(&out), [1000]);
    assert!(non_writes(&out).is_empty(), "some bytes may have left");
}

fn not_written(n: u64, socket: u64, id: u8) -> Input {
    Input::NotWritten {
        charge_point: charger(n),
        socket: Socket(socket),
        id: command(id),
    }
}

#[test]
fn a_call_that_a_replaced_socket_did_not_write_is_given_back_and_no_notice_says_otherwise() {
    for unsafe_to_repeat in [false, true] {
        let mut b = Bench::new();
        b.connect(1, 10, 100);
        let mut granted = None;
        if unsafe_to_repeat {
            let nonce = b.intend(1, 1, 1000, 100);
            assert_eq!(writes(&b.grant(1, nonce, 5 * SECOND)), [command(1)]);
            granted = Some(nonce);
        } else {
            let record = b.routed(1, 1, 1000, 100);
            assert_eq!(writes(&b.record(record)), [command(1)]);
        }
        let out = b.open(1, 11);
        assert_eq!(closes(&out), [Socket(10)]);
        assert!(notices(&out).is_empty(), "nobody knows yet");
        let out = b.input(not_written(1, 10, 1));
        assert_eq!(non_writes(&out), granted.into_iter().collect::<Vec<_>>());
        assert_eq!(refusals(&out).is_empty(), unsafe_to_repeat);
        assert!(notices(&b.close(1, 10)).is_empty());
    }
}

#[test]
fn a_call_that_a_replaced_socket_wrote_is_noticed_and_its_slot_is_nobodys() {
    let ends: [fn(&mut Bench) -> Vec<crate::edge::Output>; 2] = [|b| b.wrote(1, 10, 1), |b| b.close(1, 10)];
    for end in ends {
        let mut b = Bench::new();
        b.connect(1, 10, 100);
        let record = b.routed(1, 1, 1000, 100);
        assert_eq!(writes(&b.record(record)), [command(1)]);
        b.connect(1, 11, 101);
        assert_eq!(notices(&end(&mut b)), [1000]);
        let mut record = b.routed(1, 1, 1001, 101);
        record.attempt = 2;
        assert_eq!(writes(&b.record(record)), [command(1)], "no CALL timeout comes");
    }
}

#[test]
fn a_reconnect_to_the_same_edge_does_not_wedge_a_safe_command() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.close(1, 10);
    b.connect(1, 11, 101);
    let mut record = b.routed(1, 1, 1001, 101);
    record.attempt = 2;
    assert_eq!(writes(&b.record(record)), [command(1)]);
}

#[test]
fn the_answer_may_come_over_the_next_connection() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.close(1, 10);
    b.connect(1, 11, 101);
    assert_eq!(super::bench::answers(&b.answered(1, 1)), [command(1)]);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(
        size_of::<crate::edge::memory::Conn>() <= 120,
        "{}",
        size_of::<crate::edge::memory::Conn>()
    );
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.write(1, 10, 1, 1000, 100);
    b.answered(1, 1);
    assert!(
        b.machine.conns.values().all(|conn| conn.work.is_none()),
        "nothing is kept once it is idle again"
    );
}
