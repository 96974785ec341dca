//! Links, leases, epochs, renewals.

use super::bench::{LIFE, answers, intents, non_writes, notices, registers, renewals, unregisters, writes};
use super::{Bench, MS, SECOND, charger, command};
use crate::edge::{EdgeSettings, Failed, Input};
use crate::ids::{Incarnation, Version};

#[test]
fn a_new_link_hears_everything_that_is_unconfirmed() {
    let mut b = Bench::new();
    for (n, version) in [(1, 100), (2, 101), (3, 102), (5, 104)] {
        b.connect(n, n * 10, version);
    }
    b.write(1, 10, 1, 1000, 100);
    b.write(2, 20, 2, 1001, 101);
    let nonce = b.intend(3, 3, 1002, 102);
    b.input(Input::LinkDown);
    assert!(b.open(4, 40).is_empty() && b.answered(2, 2).is_empty() && b.close(5, 50).is_empty());
    let out = b.input(Input::LinkUp);
    assert_eq!(notices(&out), [1000]);
    assert_eq!(answers(&out), [command(2)]);
    assert_eq!(intents(&out), [nonce]);
    assert_eq!(registers(&out).len(), 1);
    assert_eq!(unregisters(&out), [104]);
    assert_eq!(renewals(&out), [(0, vec![charger(1), charger(2), charger(3)])]);
}

#[test]
fn an_unregistration_is_repeated_on_the_next_link_only_for_a_while() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    assert_eq!(unregisters(&b.close(1, 10)), [100]);
    b.input(Input::LinkDown);
    assert_eq!(unregisters(&b.input(Input::LinkUp)), [100]);
    b.pass(11 * SECOND);
    b.input(Input::LinkDown);
    assert!(unregisters(&b.input(Input::LinkUp)).is_empty());
}

#[test]
fn a_lapsed_lease_drops_what_was_not_written_and_keeps_what_was() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 20, 101);
    b.write(1, 10, 1, 1000, 100);
    let waiting = b.routed(1, 2, 1001, 100);
    b.record(waiting);
    let nonce = b.intend(2, 3, 1002, 101);
    assert_eq!(non_writes(&b.input(Input::LeaseLapsed)), [nonce]);
    assert!(writes(&b.answered(1, 1)).is_empty(), "what waited is gone");
    let record = b.routed(1, 4, 1003, 100);
    assert!(b.record(record).is_empty(), "of a dead life");
}

#[test]
fn a_new_life_registers_every_connection_again_with_its_first_version() {
    let mut b = Bench::with(EdgeSettings {
        registers_per_tick: 2,
        ..EdgeSettings::default()
    });
    for n in 1..=5 {
        b.connect(n, n * 10, 100 + n);
    }
    b.input(Input::LeaseLapsed);
    let late = b.last_sequence();
    assert!(b.registered(5, late, 105).is_empty(), "the dead life's reply");
    let mut out = b.input(Input::IncarnationTaken(Incarnation(8)));
    assert_eq!(registers(&out).len(), 2, "paced");
    out.extend(b.pass(SECOND));
    let first_versions: Vec<u64> = registers(&out).iter().map(|(_, first)| *first).collect();
    assert_eq!(first_versions, [101, 102, 103, 104, 105]);
    let (sequence, _) = registers(&out)[0];
    b.registered(1, sequence, 200);
    let record = b.routed(1, 1, 1000, 200);
    let out = b.input(Input::Record {
        incarnation: Incarnation(8),
        command: record,
    });
    assert_eq!(writes(&out), [command(1)]);
}

#[test]
fn the_end_of_a_connection_of_an_older_life_names_that_life() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.input(Input::LeaseLapsed);
    b.input(Input::IncarnationTaken(Incarnation(8)));
    let out = b.close(1, 10);
    let ended = super::bench::items(&out);
    let expected = crate::edge::Item::Unregister {
        charge_point: charger(1),
        incarnation: LIFE,
        version: Version(100),
    };
    assert!(ended.contains(&expected), "{ended:?}");
}

#[test]
fn lost_connections_register_again_with_a_new_sequence_and_their_first_version() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.connect(2, 20, 101);
    b.input(Input::LinkDown);
    let (request, _) = renewals(&b.input(Input::LinkUp))[0];
    let old = b.last_sequence();
    let out = b.input(Input::ConnectionsRenewed {
        request,
        lost: vec![charger(1)],
    });
    let again = registers(&out);
    assert_eq!(again.len(), 1);
    assert!(again[0].0 > old && again[0].1 == 100, "{again:?}");
    assert!(
        b.input(Input::ConnectionsRenewed {
            request,
            lost: vec![charger(2)]
        })
        .is_empty()
    );
}

#[test]
fn a_failed_renewal_is_repeated() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.input(Input::LinkDown);
    let (request, _) = renewals(&b.input(Input::LinkUp))[0];
    b.input(Input::Failed(Failed::Renewal(request)));
    let again = renewals(&b.pass(SECOND));
    assert_eq!(again, [(request + 1, vec![charger(1)])]);
}

#[test]
fn renewals_that_fail_are_repeated_after_a_pause_that_grows_until_one_succeeds() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.input(Input::LinkDown);
    let (mut request, _) = renewals(&b.input(Input::LinkUp))[0];
    let pause_of = |b: &mut Bench, request: &mut u64| {
        assert!(
            renewals(&b.input(Input::Failed(Failed::Renewal(*request)))).is_empty(),
            "not at once"
        );
        let mut pause_ms = 0;
        loop {
            pause_ms += 100;
            if let Some((next, _)) = renewals(&b.pass(100 * MS)).first() {
                *request = *next;
                return pause_ms;
            }
        }
    };
    let pauses: Vec<u64> = (0..7).map(|_| pause_of(&mut b, &mut request)).collect();
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    let lost = Vec::new();
    b.input(Input::ConnectionsRenewed { request, lost });
    b.input(Input::LinkDown);
    (request, _) = renewals(&b.input(Input::LinkUp))[0];
    assert_eq!(pause_of(&mut b, &mut request), 500);
}

#[test]
fn every_connection_is_renewed_once_an_interval() {
    let mut b = Bench::new();
    for n in 1..=300 {
        b.connect(n, n, 1_000 + n);
    }
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..305 {
        for (_, chargers) in renewals(&b.pass(SECOND)) {
            assert!(chargers.len() <= 100);
            for charger in chargers {
                *seen.entry(charger).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(seen.len(), 300);
    assert!(seen.values().all(|times| (1..=2).contains(times)));
}

#[test]
fn after_a_change_of_epoch_registrations_wait_for_one_renewal_and_all_is_verified() {
    let mut b = Bench::new();
    b.connect(1, 10, 100);
    b.input(Input::EpochChanged);
    assert!(registers(&b.open(2, 20)).is_empty());
    let out = b.pass(SECOND);
    assert_eq!(renewals(&out).len(), 1);
    assert!(registers(&out).is_empty());
    b.input(Input::LeaseRenewed);
    assert_eq!(registers(&b.pass(SECOND)).len(), 1);
    assert_eq!(b.machine.floor(), Version(100));
}

#[test]
fn a_connection_opened_without_a_life_registers_when_there_is_one() {
    let mut b = Bench::new();
    b.input(Input::LeaseLapsed);
    assert!(b.open(1, 10).is_empty());
    assert_eq!(
        registers(&b.input(Input::IncarnationTaken(Incarnation(9)))).len(),
        1
    );
}
