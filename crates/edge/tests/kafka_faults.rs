//! What happens to Kafka and what lies on it, as an edge sees it: poison, a topic that is missing, a broker that goes
//! and comes back, and another place to consume.

#[allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for other code"
)]
mod whole_parts;

use prost::Message as _;
use wire::gateway::link::v1::up_item::Item as Up;
use wire::gateway::record::v1::{Cancel, Kick, RoutedCommand, ShardRecord, shard_record::Body};

use whole_parts::{Charger, FakeRouter, Kafka, OTHER_SHARD, SHARD, connected, free_port, linked, until};

const POISON: &str = edge::metrics::POISON_RECORDS;

/// A command gets to the charger, and its notice to the router.
async fn delivers(router: &FakeRouter, charger: &mut Charger, version: u64, number: u8) {
    let id = router.command("CP-1", version, number).await;
    assert_eq!(charger.hear().await, format!(r#"[2,"{id}","ClearCache",{{}}]"#));
    charger
        .say(&format!(r#"[3,"{id}",{{"status":"Accepted"}}]"#))
        .await;
    router
        .heard(|item| matches!(item, Up::Answer(a) if a.command_id == id))
        .await;
}

/// The topic that a renewal names as consumed.
fn named(item: &Up) -> Option<&str> {
    match item {
        Up::RenewLease(renew) => renew.consumes.as_ref().map(|place| place.topic.as_str()),
        _ => None,
    }
}

/// Bytes that are no record, and records of this pod with ids that are none.
fn poison() -> Vec<Vec<u8>> {
    let record = |body| {
        let pod_id = "edge-1".to_owned();
        let record = ShardRecord {
            pod_id,
            incarnation: 1,
            body,
        };
        record.encode_to_vec()
    };
    let ill_formed = "no id".repeat(100);
    vec![
        b"not protobuf at all".to_vec(),
        vec![0xff; 900_000],
        record(None),
        record(Some(Body::Kick(Kick {
            charge_point_id: ill_formed.clone(),
            ..Kick::default()
        }))),
        record(Some(Body::Cancel(Cancel {
            charge_point_id: "CP-1".to_owned(),
            command_id: ill_formed.clone(),
            deadline_us: u64::MAX,
        }))),
        record(Some(Body::Command(RoutedCommand {
            command_id: ill_formed,
            charge_point_id: "CP-1".to_owned(),
            ..RoutedCommand::default()
        }))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_counted_and_passed_over_and_what_lies_behind_it_is_delivered() {
    let kafka = Kafka::start();
    let (router, edge, mut charger, version) = connected(&kafka).await;
    let before = kafka.counter(POISON);
    for bytes in poison() {
        router.produce(&bytes).await;
    }
    delivers(&router, &mut charger, version, 1).await;
    assert_eq!(kafka.counter(POISON) - before, poison().len() as u64);
    edge.ready().await;
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_waited_for_by_name_and_consumed_once_it_is_there() {
    let kafka = Kafka::with(&[]);
    let (router, edge) = linked(&kafka).await;
    until(|| edge.reason("lanes").is_some_and(|reason| reason.contains(SHARD))).await;
    kafka.broker.create_topic(SHARD, 2).unwrap();
    edge.ready().await;
    let mut charger = edge.charger("CP-1", "ocpp1.6").await.unwrap();
    let version = router.registered("CP-1").await;
    delivers(&router, &mut charger, version, 1).await;
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back_costs_readiness_meanwhile_and_the_socket_stays() {
    let kafka = Kafka::start();
    let (router, edge, mut charger, version) = connected(&kafka).await;
    let rebuilds = || kafka.counter(bus::metrics::CONSUMER_REBUILDS);
    let before = rebuilds();
    kafka.broker.take_down().unwrap();
    until(|| edge.waiting().contains(&"lanes".to_owned())).await;
    until(|| rebuilds() > before).await;
    kafka.broker.bring_up().unwrap();
    edge.ready().await;
    delivers(&router, &mut charger, version, 1).await;
    edge.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_moved_is_reached_at_both_places_until_the_new_one_is_proven() {
    let kafka = Kafka::start();
    let (first, edge, mut charger, version) = connected(&kafka).await;
    first.heard(|item| named(item) == Some(SHARD)).await;
    let port = first.stop().await;

    // This router wants it elsewhere, and no canary comes round there yet.
    let second = FakeRouter::start_at(&kafka, port, OTHER_SHARD);
    second.mute_canaries();
    second.heard(|item| matches!(item, Up::RenewLease(_))).await;
    // What another router still sends to the old place is delivered.
    let old = FakeRouter::start(&kafka, free_port());
    old.live_as(1);
    let id = old.command("CP-1", version, 1).await;
    assert_eq!(charger.hear().await, format!(r#"[2,"{id}","ClearCache",{{}}]"#));
    charger
        .say(&format!(r#"[3,"{id}",{{"status":"Accepted"}}]"#))
        .await;
    second
        .heard(|item| matches!(item, Up::Answer(a) if a.command_id == id))
        .await;
    assert!(!second.has_heard(|item| named(item) == Some(OTHER_SHARD)));

    second.unmute_canaries();
    second.heard(|item| named(item) == Some(OTHER_SHARD)).await;
    delivers(&second, &mut charger, version, 2).await;
    // The old place is still consumed for what was under way.
    let late = old.command("CP-1", version, 3).await;
    assert_eq!(charger.hear().await, format!(r#"[2,"{late}","ClearCache",{{}}]"#));
    edge.ready().await;
    edge.stop().await.unwrap();
}
