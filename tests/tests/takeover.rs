//! A router that dies or stops at the worst moments of a dispatch: a peer takes over what it had claimed, nothing is
//! lost, nothing unsafe is doubled, and what it does on waking changes nothing.
//!
//! The moments are fail points, which builds for development have.

use std::time::Duration;

use integration::api::{safe_command, unsafe_command};
use integration::tools::Tools;
use integration::wait::eventually;
use integration::{Api, BrokerNeed, Companion, Records, System, SystemSpec, probe};
use wire::gateway::command::v1::{CommandState, SendCommandRequest};
use xtask::progress::say;

/// How long a call may hang in a router that has stopped.
const CALL: Duration = Duration::from_secs(2);

/// Whether the breaker toward Kafka is open, and how many edges are linked.
const BREAKER: &str = "gateway_router_kafka_breaker_open";
const LINKS: &str = "gateway_router_links";

/// A system of two routers, the first of which does `action` when it passes `point`.
async fn system(name: &'static str, point: &str, action: &str) -> System {
    System::start(spec(name).failpoints(&format!("{point}={action}"))).await
}

/// Two routers with short leases.
fn spec(name: &'static str) -> SystemSpec {
    SystemSpec::new(name)
        .routers(2)
        .router_set("delivery.dispatch_lease_ms", 3_000)
        .router_set("kafka.message_timeout_ms", 2_000)
        .router_set("delivery.backoff_base_ms", 100)
        .router_set("delivery.pod_lease_ms", 4_000)
        .edge_set("pod.renew_ms", 1_000)
        .edge_set("link.reply_timeout_ms", 1_500)
}

/// Sends through the first router, whatever becomes of that, then through the second under the same key.
async fn send_through_both(system: &System, request: SendCommandRequest, key: &str) -> String {
    let request = SendCommandRequest {
        idempotency_key: key.to_owned(),
        ..request
    };
    // The fate of this call is open: its router dies or stops in it, before it or behind it.
    let _open = tokio::time::timeout(CALL, system.api(1).try_send(request.clone())).await;
    let survivor = system.api(2);
    let sent = eventually("the other router accepts", async || {
        survivor.try_send(request.clone()).await.ok()
    })
    .await;
    sent.command_id
}

async fn all_answered(api: &Api, companion: &Companion, ids: &[String], unsafe_ids: &[String]) {
    for id in ids.iter().chain(unsafe_ids) {
        api.reaches(id, CommandState::Acknowledged).await;
        assert!(
            companion.times_received(id) >= 1,
            "{id} is acknowledged, yet the charger never got it"
        );
    }
    for id in unsafe_ids {
        assert_eq!(companion.times_received(id), 1, "{id} is unsafe to repeat");
    }
}

async fn peer_takes_over(name: &'static str, point: &str, action: &str) {
    let system = system(name, point, action).await;
    let api = system.api(2);
    let companion = Companion::connected(&system.charger_id("cp"), vec![system.edge(1)]).await;
    api.connected(&companion.id).await;
    let first = send_through_both(&system, unsafe_command(&companion.id, "Reset"), "first").await;
    match action {
        "stop" => system.stopped("router-1").await,
        _ => assert!(system.ended("router-1").await.contains("SIGABRT")),
    }
    let second = send_through_both(&system, safe_command(&companion.id, "ClearCache"), "second").await;
    let third = send_through_both(&system, unsafe_command(&companion.id, "UnlockConnector"), "third").await;
    let mut unsafe_ids = vec![first, third];
    all_answered(&api, &companion, std::slice::from_ref(&second), &unsafe_ids).await;
    if action == "stop" {
        system.resume("router-1");
        unsafe_ids
            .push(send_through_both(&system, unsafe_command(&companion.id, "Reset"), "after waking").await);
        all_answered(&api, &companion, &[second], &unsafe_ids).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_wakes_to_calls_that_were_given_up_serves_the_next_ones() {
    let system = System::start(SystemSpec::new("wakes-to-calls")).await;
    // All by one connection, as a platform's calls come.
    let (api, id) = (system.api(1), system.charger_id("cp"));
    let first = api.send(safe_command(&id, "ClearCache")).await;
    system.pause("router-1").await;
    let calls = (0..200).map(|_| tokio::time::timeout(Duration::from_millis(200), api.try_get(&first)));
    let given_up = futures_util::future::join_all(calls).await;
    assert!(given_up.iter().all(Result::is_err));
    let waiting = tokio::spawn({
        let (api, first) = (system.api(1), first.clone());
        async move { api.try_get(&first).await }
    });
    system.resume("router-1");
    waiting.await.unwrap().unwrap();
    for _ in 0..20 {
        api.try_get(&first).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_dies_after_its_claim() {
    peer_takes_over("dies-claimed", "router.after_claim", "exit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_dies_after_it_handed_the_record_to_kafka() {
    peer_takes_over("dies-produced", "router.after_produce", "exit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_dies_before_it_acts_on_the_brokers_report() {
    peer_takes_over("dies-reported", "router.before_delivery_report", "exit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_stops_after_its_claim_and_wakes_later() {
    peer_takes_over("stops-claimed", "router.after_claim", "stop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_stops_after_it_handed_the_record_to_kafka_and_wakes_later() {
    peer_takes_over("stops-produced", "router.after_produce", "stop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_stops_before_it_acts_on_the_brokers_report_and_wakes_later() {
    peer_takes_over("stops-reported", "router.before_delivery_report", "stop").await;
}

/// Waits until a service counts so much.
async fn counts(system: &System, service: &str, metric: &str, wanted: f64) {
    let admin = system.admin(service);
    eventually(format_args!("{metric} of {service} is {wanted}"), async || {
        let value = probe::try_metric(admin, metric).await?;
        ((value - wanted).abs() < 0.5).then_some(())
    })
    .await;
}

/// Sends through each router in turn and waits for every answer, and for the result of each on Kafka.
async fn both_routers_serve(system: &System, companion: &Companion) {
    let mut results = Records::of_results(system.kafka()).await;
    let (mut safe, mut r#unsafe) = (Vec::new(), Vec::new());
    for router in [1, 2, 1, 2, 1, 1] {
        let api = system.api(router);
        safe.push(api.send(safe_command(&companion.id, "ClearCache")).await);
        r#unsafe.push(api.send(unsafe_command(&companion.id, "Reset")).await);
    }
    all_answered(&system.api(2), companion, &safe, &r#unsafe).await;
    let all: Vec<String> = safe.into_iter().chain(r#unsafe).collect();
    results.results(&all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_cut_off_from_kafka_alone_leaves_its_work_and_its_edges_to_the_peer() {
    if !Tools::get().await.broker_is_durable() {
        say("skipped: there is no Apache Kafka here, and the embedded broker has no second way in");
        return;
    }
    let mut system = System::parts_only(spec("kafka-cut").broker(BrokerNeed::CutFromFirstRouter)).await;
    // The edge is linked to the router that will be cut off.
    system.start_router(1).await;
    system.start_edge(1).await;
    probe::ready("edge-1", system.admin("edge-1")).await;
    system.start_router(2).await;
    system.all_ready().await;
    let companion = Companion::connected(&system.charger_id("cp"), vec![system.edge(1)]).await;
    system.api(1).connected(&companion.id).await;

    system.cut_first_router_from_kafka().await;
    both_routers_serve(&system, &companion).await;
    counts(&system, "router-1", BREAKER, 1.0).await;
    counts(&system, "router-2", BREAKER, 0.0).await;
    // The edge hears canaries again, by the other router, so that it takes chargers.
    counts(&system, "router-2", LINKS, 1.0).await;
    probe::ready("edge-1", system.admin("edge-1")).await;
    let newcomer = Companion::connected(&system.charger_id("new"), vec![system.edge(1)]).await;
    system.api(1).connected(&newcomer.id).await;
    both_routers_serve(&system, &newcomer).await;

    system.heal_first_router().await;
    counts(&system, "router-1", BREAKER, 0.0).await;
    system.kill9("router-2").await;
    let last = system.api(1).send(unsafe_command(&newcomer.id, "Reset")).await;
    all_answered(&system.api(1), &newcomer, &[], &[last]).await;
}
