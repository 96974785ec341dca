//! What an operator does: the command line, a rolling restart, a Redis Cluster instead of one Redis; and how
//! little an idle router asks.

use integration::api::{safe_command, unsafe_command};
use integration::{Companion, System, SystemSpec, eventually, probe};
use serde_json::Value;
use wire::gateway::command::v1::{CommandState, RedeliveryClass, SendCommandRequest};
use xtask::supervise::Guarded;

/// Slots of a router that is told nothing else.
const SLOTS: f64 = 64.0;

/// Runs `gatewayctl` with these words; the JSON that it prints, or its error.
async fn ctl(system: &System, words: &[&str]) -> Result<Value, String> {
    let router = system.router(1).to_string();
    let call: Guarded = system
        .binary("gatewayctl")
        .await
        .args(["--router", &router, "--output", "json"]);
    let printed = call
        .args(words.to_vec())
        .output()
        .await
        .map_err(|error| format!("{error:#}"))?;
    // What follows a command prints a line for each change; the last one counts.
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(&printed)
        .or_else(|_| serde_json::from_str(last))
        .map_err(|error| format!("{error}: {printed}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_sends_and_shows() {
    let system = System::start(SystemSpec::new("gatewayctl")).await;
    let (id, absent) = (system.charger_id("served"), system.charger_id("absent"));
    let companion = Companion::connected(&id, vec![system.edge(1)]).await;
    system.api(1).connected(&id).await;
    let sent = ctl(&system, &["send", &id, "Reset", r#"{"type":"Soft"}"#, "--wait"])
        .await
        .unwrap()
        .to_string();
    assert!(sent.contains("acknowledged"), "{sent}");
    assert_eq!(companion.calls()[0].payload, serde_json::json!({"type": "Soft"}));
    let command_id = companion.calls()[0].id.clone();
    assert!(
        ctl(&system, &["get", &command_id])
            .await
            .unwrap()
            .to_string()
            .contains(&id)
    );
    assert!(
        ctl(&system, &["watch", &command_id])
            .await
            .unwrap()
            .to_string()
            .contains("acknowledged")
    );
    assert!(
        ctl(&system, &["conn", "get", &id])
            .await
            .unwrap()
            .to_string()
            .contains(&system.pod(1))
    );
    assert!(
        ctl(&system, &["conn", "list"])
            .await
            .unwrap()
            .to_string()
            .contains(&id)
    );
    assert!(ctl(&system, &["conn", "get", &absent]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lists_what_waits_and_cancels_it_once() {
    let system = System::start(SystemSpec::new("gatewayctl-cancel")).await;
    let absent = system.charger_id("absent");
    ctl(&system, &["send", &absent, "Reset"]).await.unwrap();
    let listed = ctl(&system, &["list", "--charger", &absent])
        .await
        .unwrap()
        .to_string();
    assert!(listed.contains("pending"), "{listed}");
    let waiting = first_id(&listed);
    assert!(
        ctl(&system, &["cancel", &waiting])
            .await
            .unwrap()
            .to_string()
            .contains("cancelled")
    );
    let again = ctl(&system, &["cancel", &waiting]).await.unwrap_err();
    assert!(again.contains("exit status"), "{again}");
}

/// The first command id in a text.
fn first_id(text: &str) -> String {
    let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    let words = text.split(|letter: char| !letter.is_ascii_hexdigit() && letter != '-');
    words
        .into_iter()
        .find(is_id)
        .unwrap_or_else(|| panic!("no id in {text}"))
        .to_owned()
}

/// Sends through whichever router takes it; the key keeps it one command.
async fn send_somewhere(system: &System, request: SendCommandRequest) -> String {
    let apis = [system.api(1), system.api(2)];
    let sent = eventually("some router accepts", async || {
        for api in &apis {
            if let Ok(response) = api.try_send(request.clone()).await {
                return Some(response);
            }
        }
        None
    });
    sent.await.command_id
}

/// A command for each charger, half of them unsafe to repeat; the chargers' numbers and the commands' ids.
async fn one_each(system: &System, chargers: &[Companion], key: &str) -> Vec<(usize, String)> {
    let mut sent = Vec::new();
    for (charger, number) in chargers.iter().zip(0..) {
        let request = if number % 2 == 0 {
            safe_command
        } else {
            unsafe_command
        }(&charger.id, "Reset");
        let request = SendCommandRequest {
            idempotency_key: key.to_owned(),
            ..request
        };
        sent.push((number, send_somewhere(system, request).await));
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_every_service_loses_and_doubles_nothing() {
    let mut system = System::start(SystemSpec::new("rolling-restart").routers(2).edges(2)).await;
    let mut chargers = Vec::new();
    for number in 0..4 {
        let id = system.charger_id(&format!("cp-{number}"));
        chargers.push(Companion::connected(&id, system.edges()).await);
    }
    let mut sent = Vec::new();
    for service in ["router-1", "edge-1", "router-2", "edge-2"] {
        sent.extend(one_each(&system, &chargers, &format!("before {service}")).await);
        system.stop(service).await;
        sent.extend(one_each(&system, &chargers, &format!("without {service}")).await);
        match service {
            "router-1" => system.start_router(1).await,
            "router-2" => system.start_router(2).await,
            "edge-1" => system.start_edge(1).await,
            _ => system.start_edge(2).await,
        }
        probe::ready(service, system.admin(service)).await;
    }
    for (number, id) in sent {
        let command = system.api(1).reaches(&id, CommandState::Acknowledged).await;
        let received = chargers[number].times_received(&id);
        assert!(
            received == 1 || (received > 1 && command.redelivery_class() == RedeliveryClass::Safe),
            "{id}: {received}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_serves_as_well_as_one_redis() {
    let mut system = System::parts_only(SystemSpec::new("redis-cluster").routers(2)).await;
    system.use_redis_cluster().await;
    system.start_router(1).await;
    system.start_router(2).await;
    system.start_edge(1).await;
    system.all_ready().await;
    // So many chargers that every master has some of their slots.
    let mut chargers = Vec::new();
    for number in 0..20 {
        let id = system.charger_id(&format!("cp-{number}"));
        chargers.push(Companion::connected(&id, vec![system.edge(1)]).await);
    }
    for charger in &chargers {
        system.api(2).connected(&charger.id).await;
        let id = system.api(1).send(unsafe_command(&charger.id, "Reset")).await;
        system.api(2).reaches(&id, CommandState::Acknowledged).await;
        assert_eq!(charger.times_received(&id), 1);
    }
}

#[tokio::test]
async fn an_idle_router_looks_at_its_slots_and_asks_few_of_them() {
    let system = System::start(SystemSpec::new("idle").edges(0)).await;
    let calls = async |script| probe::script_calls(system.admin("router-1"), script).await;
    let looked = async |least: f64| {
        eventually("the router looks at its slots", async || {
            let looks = calls("lookAtSlots").await;
            (looks >= least).then_some(looks)
        })
        .await
    };
    // At first every slot has a round.
    let (looks, rounds) = (looked(1.0).await, calls("runDue").await);
    assert!(rounds >= SLOTS, "{rounds} rounds");
    looked(looks + 10.0).await;
    let more = calls("runDue").await - rounds;
    assert!(more < SLOTS, "{more} rounds beside ten looks");
}
