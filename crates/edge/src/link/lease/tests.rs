//! Lives, leases and epochs as an edge keeps them.

use super::*;

const SECOND: u64 = 1_000_000;

fn keeper() -> LeaseKeeper {
    let mut keeper = LeaseKeeper::new(LeaseSettings {
        pod: PodId::parse("edge-1").unwrap(),
        process_nonce: 5,
        renew_us: 3 * SECOND,
        margin_us: SECOND / 2,
        reply_timeout_us: 4 * SECOND,
    });
    keeper.hello();
    keeper.placed(&Placement::default());
    keeper
}

fn place(topic: &str) -> Consumes {
    Consumes {
        topic: topic.to_owned(),
        normal: 0,
        urgent: 0,
    }
}

/// Where the link of [`keeper`] wants the edge to consume.
fn here() -> Consumes {
    place("")
}

fn lease(request: u64, incarnation: u64, epoch: &str) -> Lease {
    Lease {
        request,
        incarnation,
        lease_ms: 10_000,
        store_epoch: epoch.into(),
        passed_over: false,
    }
}

/// The same, and the lease does not name the place of the request.
fn passed_over(lease: Lease) -> Lease {
    Lease {
        passed_over: true,
        ..lease
    }
}

fn request_of(item: Option<UpItem>) -> u64 {
    match item.and_then(|i| i.item) {
        Some(up_item::Item::TakeIncarnation(take)) => take.request,
        Some(up_item::Item::RenewLease(renew)) => renew.request,
        other => panic!("{other:?}"),
    }
}

/// A keeper with the life 7, taken at second 1.
fn alive() -> LeaseKeeper {
    let mut keeper = keeper();
    let request = request_of(keeper.due(SECOND, Some(&here()), Version(0)));
    keeper.held(&lease(request, 7, "e1"));
    keeper
}

#[test]
fn no_life_is_taken_before_both_lanes_are_proven() {
    let mut keeper = keeper();
    assert!(keeper.due(SECOND, None, Version(0)).is_none());
    let request = request_of(keeper.due(SECOND, Some(&here()), Version(0)));
    assert!(
        keeper.due(2 * SECOND, Some(&here()), Version(0)).is_none(),
        "one request at a time"
    );
    let effects = keeper.held(&lease(request, 7, "e1"));
    let until_us = 10 * SECOND + SECOND / 2;
    assert_eq!(
        effects,
        [
            Effect::Held {
                sent_us: SECOND,
                until_us
            },
            Effect::Published(here()),
            Effect::Taken(Incarnation(7))
        ]
    );
}

#[test]
fn a_lease_counts_from_the_sending_less_a_margin() {
    let mut keeper = alive();
    let request = request_of(keeper.due(20 * SECOND, None, Version(9)));
    let effects = keeper.held(&lease(request, 7, "e1"));
    let until_us = 29 * SECOND + SECOND / 2;
    assert_eq!(
        effects,
        [
            Effect::Held {
                sent_us: 20 * SECOND,
                until_us
            },
            Effect::Renewed
        ]
    );
}

#[test]
fn a_lapsed_lease_is_never_renewed() {
    let mut keeper = alive();
    let request = request_of(keeper.due(20 * SECOND, Some(&here()), Version(0)));
    let refused = LeaseRefused {
        request,
        superseded: false,
    };
    assert_eq!(keeper.refused(&refused).unwrap(), Some(Effect::Lapsed));
    let item = keeper.due(20 * SECOND, Some(&here()), Version(0)).unwrap().item;
    let expected = TakeIncarnation {
        request: request + 1,
        last_incarnation: 7,
    };
    assert_eq!(item, Some(up_item::Item::TakeIncarnation(expected)));
}

#[test]
fn a_newer_life_of_the_same_pod_id_is_fatal() {
    let refused = LeaseRefused {
        request: 0,
        superseded: true,
    };
    assert!(matches!(alive().refused(&refused), Err(EdgeError::Superseded { pod }) if pod == "edge-1"));
}

#[test]
fn replies_to_nothing_asked_and_of_other_lives_change_nothing() {
    let mut keeper = alive();
    assert!(keeper.held(&lease(99, 7, "e1")).is_empty());
    let request = request_of(keeper.due(20 * SECOND, None, Version(0)));
    assert!(keeper.held(&lease(request, 8, "e1")).is_empty());
    assert_eq!(keeper.incarnation(), Incarnation(7));
}

#[test]
fn a_changed_epoch_is_reported_after_the_renewal_and_followed_by_another() {
    let mut keeper = alive();
    let request = request_of(keeper.due(20 * SECOND, None, Version(0)));
    let effects = keeper.held(&lease(request, 7, "e2"));
    assert_eq!(effects[1..], [Effect::Renewed, Effect::EpochChanged]);
    assert!(
        keeper.due(20 * SECOND, None, Version(0)).is_none(),
        "others have yet to publish their floor"
    );
    let request = request_of(keeper.due(23 * SECOND, None, Version(0)));
    assert_eq!(keeper.held(&lease(request, 7, "e2"))[1..], [Effect::Renewed]);
}

#[test]
fn an_epoch_that_changed_while_the_lease_lapsed_is_reported_before_the_new_life_begins() {
    let mut keeper = alive();
    let request = request_of(keeper.due(20 * SECOND, None, Version(0)));
    let lapsed = LeaseRefused {
        request,
        superseded: false,
    };
    assert!(matches!(keeper.refused(&lapsed), Ok(Some(Effect::Lapsed))));
    let request = request_of(keeper.due(21 * SECOND, Some(&here()), Version(0)));
    let effects = keeper.held(&lease(request, 9, "e2"));
    assert_eq!(
        effects[2..],
        [Effect::EpochChanged, Effect::Taken(Incarnation(9))]
    );
}

#[test]
fn a_failed_request_is_repeated_soon_and_a_missing_reply_is_noticed() {
    let mut keeper = alive();
    let request = request_of(keeper.due(20 * SECOND, None, Version(0)));
    assert!(keeper.failed(request, 20 * SECOND));
    assert!(keeper.due(20 * SECOND, None, Version(0)).is_none());
    request_of(keeper.due(21 * SECOND, None, Version(0)));
    assert!(!keeper.is_unanswered(24 * SECOND));
    assert!(keeper.is_unanswered(25 * SECOND));
    assert!(!keeper.failed(3, 0), "a renewal of connections");
}

#[test]
fn a_new_link_says_which_life_goes_on() {
    let mut keeper = alive();
    let Some(up_item::Item::Hello(hello)) = keeper.hello().item else {
        panic!()
    };
    assert_eq!(
        (hello.incarnation, hello.last_incarnation, hello.process_nonce),
        (7, 7, 5)
    );
    assert!(
        keeper.due(30 * SECOND, Some(&here()), Version(0)).is_none(),
        "not before the placement"
    );
}

/// The place that a renewal names.
fn named(item: Option<UpItem>) -> Option<String> {
    match item.and_then(|i| i.item) {
        Some(up_item::Item::RenewLease(renew)) => renew.consumes.map(|place| place.topic),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_renewal_names_the_proven_place_and_one_is_due_at_once_when_the_pod_has_moved() {
    let mut keeper = alive();
    let there = place("commands-down-shard-9");
    assert!(keeper.due(2 * SECOND, Some(&here()), Version(0)).is_none());
    keeper.placed(&Placement {
        topic: there.topic.clone(),
        ..Placement::default()
    });
    assert_eq!(
        named(keeper.due(2 * SECOND, Some(&here()), Version(0))).as_deref(),
        Some(""),
        "still there"
    );
    assert!(keeper.due(2 * SECOND + 1, None, Version(0)).is_none());
    let item = keeper.due(2 * SECOND + 2, Some(&there), Version(0)).unwrap();
    let request = request_of(Some(item.clone()));
    assert_eq!(named(Some(item)), Some(there.topic.clone()));
    assert!(
        keeper.due(2 * SECOND + 3, Some(&there), Version(0)).is_none(),
        "said once"
    );
    let effects = keeper.held(&lease(request, 7, "e1"));
    assert!(effects.contains(&Effect::Published(there.clone())), "{effects:?}");
    assert_eq!(
        named(keeper.due(6 * SECOND, None, Version(0))),
        None,
        "what is published stays"
    );
}

#[test]
fn a_place_that_a_renewal_was_too_late_to_name_is_not_published_and_the_link_ends() {
    let mut keeper = alive();
    let there = place("commands-down-shard-9");
    let request = request_of(keeper.due(2 * SECOND, Some(&there), Version(0)));
    assert!(!keeper.is_unanswered(2 * SECOND));
    let effects = keeper.held(&passed_over(lease(request, 7, "e1")));
    assert_eq!(
        effects[1..],
        [Effect::Renewed],
        "the lease is held, the place is not"
    );
    assert!(
        keeper.is_unanswered(2 * SECOND),
        "a newer link exists: this one is of no use"
    );
    keeper.hello();
    assert!(!keeper.is_unanswered(2 * SECOND));
    keeper.placed(&Placement {
        topic: there.topic.clone(),
        link_number: 9,
        ..Placement::default()
    });
    let request = request_of(keeper.due(2 * SECOND, Some(&there), Version(0)));
    let effects = keeper.held(&lease(request, 7, "e1"));
    assert!(effects.contains(&Effect::Published(there)), "{effects:?}");
}

#[test]
fn a_life_taken_before_at_another_place_is_published_by_its_next_renewal() {
    let mut keeper = keeper();
    let request = request_of(keeper.due(SECOND, Some(&here()), Version(0)));
    let effects = keeper.held(&passed_over(lease(request, 7, "e1")));
    assert_eq!(effects[1..], [Effect::Taken(Incarnation(7))]);
    assert!(!keeper.is_unanswered(SECOND), "the link is the newest");
    let request = request_of(keeper.due(4 * SECOND, Some(&here()), Version(0)));
    let effects = keeper.held(&lease(request, 7, "e1"));
    assert!(effects.contains(&Effect::Published(here())), "{effects:?}");
}

#[test]
fn a_life_is_taken_only_where_its_router_publishes() {
    let mut keeper = keeper();
    keeper.placed(&Placement {
        topic: "commands-down-shard-9".to_owned(),
        ..Placement::default()
    });
    assert!(keeper.due(SECOND, Some(&here()), Version(0)).is_none());
    assert!(
        keeper
            .due(SECOND, Some(&place("commands-down-shard-9")), Version(0))
            .is_some()
    );
}
