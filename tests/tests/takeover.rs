//! A router that dies or stops at the worst moments of a dispatch: a peer takes over what it had claimed, nothing is
//! lost, nothing unsafe is doubled, and what it does on waking changes nothing.
//!
//! The moments are fail points, which builds for development have.

use std::time::Duration;

use integration::api::{safe_command, unsafe_command};
use integration::wait::eventually;
use integration::{Api, Companion, System, SystemSpec};
use wire::gateway::command::v1::{CommandState, SendCommandRequest};

/// How long a call may hang in a router that has stopped.
const CALL: Duration = Duration::from_secs(2);

/// A system of two routers, the first of which does `action` when it passes `point`.
async fn system(name: &'static str, point: &str, action: &str) -> System {
    let spec = SystemSpec::new(name)
        .routers(2)
        .failpoints(&format!("{point}={action}"))
        .router_set("delivery.dispatch_lease_ms", 3_000)
        .router_set("kafka.message_timeout_ms", 2_000)
        .router_set("delivery.backoff_base_ms", 100)
        .router_set("delivery.pod_lease_ms", 4_000)
        .edge_set("pod.renew_ms", 1_000)
        .edge_set("link.reply_timeout_ms", 1_500);
    System::start(spec).await
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
