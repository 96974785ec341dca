//! Killed, paused and restarted services, and two connections of one charger: what was accepted is answered, and
//! nothing that is unsafe to repeat comes to a charger twice.

use std::time::Duration;

use integration::api::{result_of, safe_command, unsafe_command};
use integration::wait::{eventually, fault_lasts, within};
use integration::{Api, Charger, Companion, Reply, System, SystemSpec, probe};
use serde_json::json;
use wire::gateway::command::v1::{CommandState, FailureReason, Priority, SendCommandRequest};

/// A pod lease that a test can outwait.
const LEASE_MS: u64 = 3_000;

fn spec(name: &'static str) -> SystemSpec {
    SystemSpec::new(name)
        .edges(2)
        .router_set("delivery.pod_lease_ms", LEASE_MS)
        .router_set("delivery.grant_ms", 2_000)
        .router_set("delivery.answer_timeout_ms", 4_000)
        .router_set("delivery.backoff_base_ms", 100)
        .edge_set("pod.renew_ms", LEASE_MS / 4)
}

fn urgent(request: SendCommandRequest) -> SendCommandRequest {
    let priority = Priority::Urgent.into();
    SendCommandRequest { priority, ..request }
}

async fn acknowledged_once(api: &Api, companion: &Companion, ids: &[String]) {
    for id in ids {
        let command = api.reaches(id, CommandState::Acknowledged).await;
        let received = companion.times_received(id);
        assert!(
            received >= 1,
            "{id} is acknowledged, yet the charger never got it"
        );
        if command.redelivery_class() == wire::gateway::command::v1::RedeliveryClass::Unsafe {
            assert_eq!(received, 1, "{id} is unsafe to repeat");
        }
    }
}

/// The moments of the black hole: T1 connected, T2 the edge dies, T3 and T4 commands are sent, T5 the charger
/// reconnects elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_from_before_during_and_after_the_death_of_an_edge_are_all_answered() {
    let mut system = System::start(spec("black-hole").routers(2)).await;
    let (api, id) = (system.api(1), system.charger_id("cp-007"));
    let mut charger = Charger::connect(system.edge(1), &id).await;
    api.connected(&id).await;
    let written = api.send(safe_command(&id, "ClearCache")).await;
    assert_eq!(charger.expect_call().await.id, written);
    let mut ids = vec![written, api.send(unsafe_command(&id, "Reset")).await];

    system.kill9("edge-1").await;
    ids.push(api.send(unsafe_command(&id, "UnlockConnector")).await);
    let urgent = Priority::Urgent.into();
    ids.push(
        api.send(SendCommandRequest {
            priority: urgent,
            ..unsafe_command(&id, "Reset")
        })
        .await,
    );
    ids.push(system.api(2).send(safe_command(&id, "GetConfiguration")).await);
    charger.closed().await;

    let companion = Companion::connected(&id, vec![system.edge(2)]).await;
    api.connection_where(&id, "is on the second edge", |connection| {
        connection.pod_id == system.pod(2)
    })
    .await;
    ids.push(api.send(unsafe_command(&id, "Reset")).await);
    acknowledged_once(&api, &companion, &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsafe_command_that_died_with_its_edge_is_settled_and_not_repeated() {
    let mut system = System::start(spec("unsafe-death")).await;
    let api = system.api(1);
    let (answering, silent) = (system.charger_id("answering"), system.charger_id("silent"));
    let mut out = Vec::new();
    for id in [&answering, &silent] {
        let mut charger = Charger::connect(system.edge(1), id).await;
        api.connected(id).await;
        let command = api.send(unsafe_command(id, "RemoteStartTransaction")).await;
        assert_eq!(charger.expect_call().await.id, command);
        out.push((charger, command));
    }
    system.kill9("edge-1").await;
    // One charger answers over its new connection, the other has forgotten what it was asked.
    let mut back = Charger::connect(system.edge(2), &answering).await;
    back.answer(&out[0].1, &json!({"status": "Accepted"})).await;
    let ended = api.reaches(&out[0].1, CommandState::Acknowledged).await;
    assert_eq!(result_of(&ended), json!({"status": "Accepted"}));
    let companion = Companion::connected(&silent, vec![system.edge(2)]).await;
    let next = api.send(unsafe_command(&silent, "Reset")).await;
    api.reaches(&next, CommandState::Acknowledged).await;
    let ended = api.reaches(&out[1].1, CommandState::Failed).await;
    assert_eq!(
        (ended.failure_reason(), ended.attempts),
        (FailureReason::OutcomeUnknown, 1)
    );
    assert_eq!(companion.times_received(&out[1].1), 0);
}

/// A third of the commands is unsafe to repeat.
fn in_round(charge_point_id: &str, round: usize) -> SendCommandRequest {
    let request = match round % 3 {
        0 => unsafe_command(charge_point_id, "Reset"),
        _ => safe_command(charge_point_id, "ClearCache"),
    };
    SendCommandRequest {
        idempotency_key: format!("round {round}"),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_router_costs_no_command() {
    let mut system = System::start(spec("router-death").routers(2)).await;
    let survivor = system.api(2);
    let mut chargers = Vec::new();
    for number in 0..6 {
        let id = system.charger_id(&format!("cp-{number}"));
        chargers.push(Companion::connected(&id, vec![system.edge(1 + number % 2)]).await);
        survivor.connected(&id).await;
    }
    let mut ids = Vec::new();
    for round in 0..20 {
        if round == 10 {
            system.kill9("router-1").await;
        }
        // Until then every other round goes through the router that dies; the key settles what became of the call.
        let dying = (round < 10 && round % 2 == 0).then(|| system.api(1));
        for charger in &chargers {
            let request = in_round(&charger.id, round);
            let first_try = match &dying {
                Some(dying) => dying.try_send(request.clone()).await.ok(),
                None => None,
            };
            let id = match first_try {
                Some(response) => response.command_id,
                None => survivor.send(request).await,
            };
            ids.push((charger.id.clone(), id));
        }
    }
    for charger in &chargers {
        let own: Vec<String> = ids
            .iter()
            .filter(|(of, _)| *of == charger.id)
            .map(|(_, id)| id.clone())
            .collect();
        assert_eq!(own.len(), 20);
        acknowledged_once(&survivor, charger, &own).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_slept_longer_than_its_lease_fences_itself_and_registers_again() {
    let system = System::start(spec("sleeper")).await;
    let (api, id) = (system.api(1), system.charger_id("dreaming"));
    let moved_id = system.charger_id("moved");
    let mut charger = Charger::connect(system.edge(1), &id).await;
    let mut old = Charger::connect(system.edge(1), &moved_id).await;
    let (before, moved_before) = (api.connected(&id).await, api.connected(&moved_id).await);
    // A command waits in the edge behind an unanswered CALL when it falls asleep.
    let busy = api.send(safe_command(&moved_id, "ClearCache")).await;
    assert_eq!(old.expect_call().await.id, busy);
    let waiting = api
        .send(urgent(safe_command(&moved_id, "GetConfiguration")))
        .await;
    api.reaches(&waiting, CommandState::Sent).await;
    // It came by the same lane as this later one.
    let behind = api.send(urgent(safe_command(&id, "GetConfiguration"))).await;
    assert_eq!(charger.accept_next().await.id, behind);

    system.pause("edge-1").await;
    let parked = api.send(unsafe_command(&id, "Reset")).await;
    let moved = Companion::connected(&moved_id, vec![system.edge(2)]).await;
    let elsewhere = api.send(unsafe_command(&moved_id, "Reset")).await;
    for command in [&elsewhere, &waiting] {
        api.reaches(command, CommandState::Acknowledged).await;
    }
    fault_lasts(Duration::from_millis(LEASE_MS + 1_500)).await;
    // The first thing that the edge finds when it wakes: the way to the charger is free for what waits.
    old.answer(&busy, &json!({"status": "Accepted"})).await;
    system.resume("edge-1");

    // The socket that stayed open is served again, by a new life of the edge.
    assert_eq!(charger.accept_next().await.id, parked);
    api.reaches(&parked, CommandState::Acknowledged).await;
    let after = api
        .connection_where(&id, "is renewed", |now| now.incarnation > before.incarnation)
        .await;
    assert_eq!((after.pod_id, after.connected), (system.pod(1), true));
    // The charger that went elsewhere stays there: nothing is written to its dead socket under a lease that is over,
    // and it displaces nothing and is closed.
    let written = within("the dead socket is closed", old.next_call()).await;
    assert_eq!(written.map(|call| call.id), None, "written without a lease");
    let now = api.connection(&moved_id).await.unwrap();
    assert_eq!((now.pod_id, now.connected), (system.pod(2), true));
    assert!(now.version > moved_before.version);
    let last = api.send(unsafe_command(&moved_id, "Reset")).await;
    api.reaches(&last, CommandState::Acknowledged).await;
    assert_eq!((moved.connections(), moved.times_received(&elsewhere)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_restarted_within_its_lease_is_another_life() {
    let mut system = System::start(spec("restarted")).await;
    let (api, id) = (system.api(1), system.charger_id("patient"));
    let companion = Companion::connected(&id, vec![system.edge(1)]).await;
    let before = api.connected(&id).await;
    system.kill9("edge-1").await;
    let meanwhile = api.send(unsafe_command(&id, "Reset")).await;
    system.start_edge(1).await;
    probe::ready("edge-1", system.admin("edge-1")).await;
    let newer =
        |now: &wire::gateway::registry::v1::Connection| now.connected && now.incarnation > before.incarnation;
    let after = api.connection_where(&id, "belongs to the new life", newer).await;
    assert_eq!(after.pod_id, before.pod_id);
    assert!(after.version > before.version);
    let later = api.send(unsafe_command(&id, "Reset")).await;
    acknowledged_once(&api, &companion, &[meanwhile, later]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_connections_of_one_identity_the_newer_wins_and_the_end_of_the_older_changes_nothing() {
    let system = System::start(spec("duplicate")).await;
    let api = system.api(1);
    for (name, newer_edge) in [("other-edge", 2), ("same-edge", 1)] {
        let id = system.charger_id(name);
        let mut older = Charger::connect(system.edge(1), &id).await;
        let first = api.connected(&id).await;
        let mut newer = Charger::connect(system.edge(newer_edge), &id).await;
        let second = api
            .connection_where(&id, "is the newer", |now| now.version > first.version)
            .await;
        assert_eq!(second.pod_id, system.pod(newer_edge));
        older.closed().await;
        drop(older);
        for _ in 0..2 {
            let command = api.send(unsafe_command(&id, "Reset")).await;
            assert_eq!(newer.accept_next().await.id, command);
            api.reaches(&command, CommandState::Acknowledged).await;
        }
        let now = api.connection(&id).await.unwrap();
        assert_eq!((now.connected, now.version), (true, second.version));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_forgets_nothing_that_was_accepted() {
    let mut system = System::start(spec("redis-death")).await;
    let (api, id) = (system.api(1), system.charger_id("remembered"));
    let absent = system.charger_id("absent");
    let mut charger = Charger::connect(system.edge(1), &id).await;
    let before = api.connected(&id).await;
    let waiting = api.send(unsafe_command(&absent, "Reset")).await;
    system.kill9("redis").await;
    // The socket outlives the store, and the edge still answers what needs none.
    assert!(matches!(
        charger.call("Heartbeat", &json!({})).await,
        Reply::Result(_)
    ));
    system.restart_part("redis").await;
    assert_eq!(api.get(&waiting).await.command_id, waiting);
    let companion = Companion::connected(&absent, vec![system.edge(2)]).await;
    acknowledged_once(&api, &companion, &[waiting]).await;
    let command = eventually("commands are accepted again", async || {
        api.try_send(safe_command(&id, "ClearCache")).await.ok()
    });
    let command = command.await.command_id;
    assert_eq!(charger.accept_next().await.id, command);
    assert!(api.connected(&id).await.version >= before.version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_asked_to_end_hands_its_chargers_over_and_loses_nothing() {
    let mut system = System::start(spec("rolling")).await;
    let (api, id) = (system.api(1), system.charger_id("handed-over"));
    let companion = Companion::connected(&id, vec![system.edge(1), system.edge(2)]).await;
    api.connected(&id).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(api.send(unsafe_command(&id, "Reset")).await);
    }
    system.stop("edge-1").await;
    for _ in 0..5 {
        ids.push(api.send(unsafe_command(&id, "Reset")).await);
    }
    acknowledged_once(&api, &companion, &ids).await;
    let now = api.connected(&id).await;
    assert_eq!(now.pod_id, system.pod(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_asked_to_end_hears_the_answer_that_a_charger_owes() {
    let system = System::start(spec("owing")).await;
    let (api, id) = (system.api(1), system.charger_id("owing"));
    let mut charger = Charger::connect(system.edge(1), &id).await;
    api.connected(&id).await;
    let command = api.send(unsafe_command(&id, "Reset")).await;
    assert_eq!(charger.expect_call().await.id, command);
    system.ask_to_end("edge-1");
    probe::waits_for("edge-1", system.admin("edge-1"), "draining").await;
    charger.answer(&command, &json!({"status": "Accepted"})).await;
    api.reaches(&command, CommandState::Acknowledged).await;
    charger.closed().await;
    assert_eq!(system.ended("edge-1").await, "exit code 0");
}
