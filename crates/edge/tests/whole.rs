//! The edge as a whole: real sockets, the embedded broker, and a router that says what a test wants.

#[allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for other code"
)]
mod whole_parts;

use tokio_tungstenite::tungstenite::Message;
use wire::gateway::link::v1::LeaseRefused;
use wire::gateway::link::v1::down_item::Item as Down;
use wire::gateway::link::v1::up_item::Item as Up;

use whole_parts::{Edge, FakeRouter, Kafka, PATIENCE, connected, free_port, linked, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_goes_through_and_everything_the_charger_says_comes_up() {
    let kafka = Kafka::start();
    let (router, edge, mut charger, version) = connected(&kafka).await;

    let id = router.command("CP-1", version, 1).await;
    let call = charger.hear().await;
    assert_eq!(call, format!(r#"[2,"{id}","ClearCache",{{}}]"#));
    charger
        .say(&format!(r#"[3,"{id}",{{"status":"Accepted"}}]"#))
        .await;
    router
        .heard(|item| matches!(item, Up::Written(w) if w.dispatch.as_ref().unwrap().command_id == id))
        .await;
    router
        .heard(|item| matches!(item, Up::Answer(a) if a.command_id == id))
        .await;

    charger
        .say(r#"[2,"s1","StartTransaction",{"connectorId":1,"idTag":"T","meterStart":0}]"#)
        .await;
    assert!(charger.hear().await.starts_with(r#"[3,"s1""#));
    let events = kafka.events(3).await;
    let types: Vec<_> = events.iter().map(|e| e["eventType"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        [
            "charge_point.connected",
            "transaction.started",
            "charge_point.disconnected"
        ][..2]
    );
    assert_eq!(events[1]["messageId"], "s1");
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_starting_does_not_matter() {
    let kafka = Kafka::start();
    kafka.broker.take_down().unwrap();
    let port = free_port();
    let edge = Edge::start_with(&kafka, &[format!("127.0.0.1:{port}")]).await;
    let status = edge.charger("CP-1", "ocpp1.6").await.unwrap_err();
    assert_eq!(status, 503);
    let waiting = edge.waiting();
    assert!(
        waiting.contains(&"router".to_owned()) && waiting.contains(&"kafka".to_owned()),
        "{waiting:?}"
    );
    let router = FakeRouter::start(&kafka, port);
    kafka.broker.bring_up().unwrap();
    edge.ready().await;
    edge.charger("CP-1", "ocpp2.0.1").await.unwrap();
    router.registered("CP-1").await;
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_canaries_the_edge_never_becomes_ready() {
    let kafka = Kafka::start();
    let router = FakeRouter::start(&kafka, free_port());
    router.mute_canaries();
    let edge = Edge::start(&kafka, &router).await;
    // The lanes are assigned: that is not what is missing.
    until(|| edge.reason("lanes").as_deref() == Some("no canary came round yet")).await;
    assert!(
        edge.waiting().contains(&"lanes".to_owned()),
        "{:?}",
        edge.waiting()
    );
    assert_eq!(edge.charger("CP-1", "ocpp1.6").await.unwrap_err(), 503);
    assert!(
        !router.has_heard(|item| matches!(item, Up::TakeIncarnation(_))),
        "no life before the lanes are proven"
    );
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_router_is_replaced_and_the_life_and_the_sockets_go_on() {
    let kafka = Kafka::start();
    let (first, edge, mut charger, version) = connected(&kafka).await;
    let port = first.stop().await;
    let second = FakeRouter::start(&kafka, port);
    second
        .heard(|item| matches!(item, Up::Hello(hello) if hello.incarnation == 1))
        .await;
    second
        .heard(|item| matches!(item, Up::RenewConnections(r) if r.connections.iter().any(|c| c.version == version)))
        .await;
    edge.ready().await;
    charger.say(r#"[2,"h1","Heartbeat",{}]"#).await;
    assert!(charger.hear().await.starts_with(r#"[3,"h1""#));
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lapsed_lease_brings_a_new_life_that_registers_the_sockets_again() {
    let kafka = Kafka::start();
    let (router, edge, _charger, version) = connected(&kafka).await;
    router.refuse_next_renewal(false);
    router
        .heard(|item| matches!(item, Up::TakeIncarnation(take) if take.last_incarnation == 1))
        .await;
    router
        .heard(|item| matches!(item, Up::Register(r) if r.incarnation == 2 && r.first_version == version))
        .await;
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_superseded_edge_ends_with_the_reason() {
    let kafka = Kafka::start();
    let (router, edge) = linked(&kafka).await;
    edge.ready().await;
    router
        .say(Down::LeaseRefused(LeaseRefused {
            request: 0,
            superseded: true,
        }))
        .await;
    let error = edge.ended().await.unwrap_err();
    assert!(
        error.contains("another process lives under the pod id"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_goodbye_closes_the_sockets_and_unregisters_them() {
    let kafka = Kafka::start();
    let (router, edge, mut charger, version) = connected(&kafka).await;
    edge.begin_drain();
    let close = async {
        loop {
            if let Message::Close(frame) = charger.hear_any().await {
                return u16::from(frame.unwrap().code);
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, close).await.unwrap(), 1012);
    drop(charger);
    edge.ended().await.unwrap();
    router.heard(|item| matches!(item, Up::Goodbye(_))).await;
    router
        .heard(|item| matches!(item, Up::Unregister(u) if u.version == version))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_version_in_common_completes_the_handshake_and_closes() {
    let kafka = Kafka::start();
    let (router, edge) = linked(&kafka).await;
    edge.ready().await;
    let mut charger = edge.charger_without_protocol("CP-1").await;
    let Message::Close(frame) = charger.hear_any().await else {
        panic!()
    };
    assert_eq!(u16::from(frame.unwrap().code), 1002);
    assert!(!router.has_heard(|item| matches!(item, Up::Register(_))));
    edge.stop().await.unwrap();
}
