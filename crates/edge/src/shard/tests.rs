//! The slab and the mailboxes.

use std::cell::RefCell;

use domain::ids::{Incarnation, Micros, Sequence};

use super::*;

#[derive(Default)]
struct Said(RefCell<Vec<Item>>);

impl ItemSink for Said {
    fn take(&self, item: Item, _patient: bool) {
        self.0.borrow_mut().push(item);
    }
}

fn time(mono_us: u64) -> EdgeTime {
    EdgeTime {
        mono_us,
        redis_upper: Micros(mono_us),
        lease_until_mono_us: u64::MAX,
    }
}

fn shard(said: &Said) -> Shard {
    let shard = Shard::new(EdgeSettings::default(), 0, 1);
    shard.input(time(1), Input::LinkUp, said);
    shard.input(time(1), Input::IncarnationTaken(Incarnation(1)), said);
    shard
}

fn charger(n: u32) -> ChargePointId {
    ChargePointId::parse(&format!("CP-{n}")).unwrap()
}

fn command(version: Version) -> domain::edge::RoutedCommand {
    domain::edge::RoutedCommand {
        id: CommandId::new(1, [1; 10], domain::ids::Slot(0)),
        charge_point: charger(1),
        action: "Reset".into(),
        payload: "{}".into(),
        priority: Priority::Normal,
        class: domain::command::RedeliveryClass::Safe,
        deadline: Micros(u64::MAX / 2),
        dispatch: domain::ids::DispatchNumber(5),
        version,
        attempt: 1,
        answer_timeout_us: 1,
    }
}

#[test]
fn a_number_is_never_given_twice() {
    let said = Said::default();
    let shard = shard(&said);
    let mut seen = BTreeSet::new();
    for round in 0..50 {
        let sockets: Vec<_> = (0..4)
            .map(|n| shard.open(time(round), &charger(n), "ocpp1.6", &said))
            .collect();
        assert!(sockets.iter().all(|socket| seen.insert(*socket)));
        for (n, socket) in sockets.into_iter().enumerate() {
            shard.close(
                time(round),
                &charger(u32::try_from(n).unwrap()),
                socket,
                [],
                &said,
            );
        }
    }
    assert!(shard.sockets(true).is_empty());
}

#[test]
fn mail_for_a_connection_that_is_gone_reaches_nobody() {
    let said = Said::default();
    let shard = shard(&said);
    let old = shard.open(time(1), &charger(1), "ocpp1.6", &said);
    shard.close(time(1), &charger(1), old, [], &said);
    let new = shard.open(time(1), &charger(2), "ocpp1.6", &said);
    shard.post(old, Outbound::Ping);
    assert!(shard.sync(old, Waker::noop(), None).is_none());
    assert!(
        shard.sync(new, Waker::noop(), None).is_none(),
        "the slot is the same, the connection is not"
    );
}

#[test]
fn a_newer_connection_of_a_charger_closes_the_older() {
    let said = Said::default();
    let shard = shard(&said);
    let old = shard.open(time(1), &charger(1), "ocpp1.6", &said);
    let new = shard.open(time(1), &charger(1), "ocpp1.6", &said);
    let mail = shard.sync(old, Waker::noop(), None).unwrap();
    assert!(matches!(mail.front(), Some(Outbound::Close(1008, _))));
    assert!(shard.sync(new, Waker::noop(), None).is_none());
}

#[test]
fn a_call_still_in_the_mailbox_when_its_connection_ends_was_not_written() {
    let said = Said::default();
    let shard = shard(&said);
    let socket = shard.open(time(1), &charger(1), "ocpp1.6", &said);
    let version = Version(9);
    shard.input(
        time(1),
        Input::Registered {
            charge_point: charger(1),
            sequence: Sequence(1),
            version,
        },
        &said,
    );
    shard.input(
        time(1),
        Input::Record {
            incarnation: Incarnation(1),
            command: command(version),
        },
        &said,
    );
    shard.close(time(1), &charger(1), socket, [], &said);
    let said = said.0.into_inner();
    assert!(
        said.iter().any(|item| matches!(item, Item::Refusal { .. })),
        "{said:?}"
    );
    assert!(
        !said.iter().any(|item| matches!(item, Item::Written { .. })),
        "{said:?}"
    );
}

#[test]
fn a_call_still_in_the_mailbox_of_a_replaced_connection_was_not_written() {
    let said = Said::default();
    let shard = shard(&said);
    shard.open(time(1), &charger(1), "ocpp1.6", &said);
    let version = Version(9);
    shard.input(
        time(1),
        Input::Registered {
            charge_point: charger(1),
            sequence: Sequence(1),
            version,
        },
        &said,
    );
    shard.input(
        time(1),
        Input::Record {
            incarnation: Incarnation(1),
            command: command(version),
        },
        &said,
    );
    shard.open(time(1), &charger(1), "ocpp1.6", &said);
    let said = said.0.into_inner();
    assert!(
        said.iter().any(|item| matches!(item, Item::Refusal { .. })),
        "{said:?}"
    );
    assert!(
        !said.iter().any(|item| matches!(item, Item::Written { .. })),
        "{said:?}"
    );
}

#[test]
fn an_idle_slot_is_small() {
    assert!(size_of::<Slot>() <= 32, "{}", size_of::<Slot>());
}
