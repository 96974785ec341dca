//! Parts that are away, records that are none, and configurations that cannot work.

use integration::api::unsafe_command;
use integration::records::poison;
use integration::tools::Tools;
use integration::wait::{eventually, within};
use integration::{Api, BrokerNeed, Companion, System, SystemSpec};
use tonic::Code;
use wire::gateway::command::v1::{CommandState, ListCommandsRequest, Priority, SendCommandRequest};

/// Sends until it is accepted and follows the command to its answer; returns its id.
async fn finally_answered(api: &Api, request: &SendCommandRequest) -> String {
    let sent = eventually("commands are accepted again", async || {
        api.try_send(request.clone()).await.ok()
    })
    .await;
    api.reaches(&sent.command_id, CommandState::Acknowledged).await;
    sent.command_id
}

/// Every command of a charger that the store knows.
async fn known_commands(api: &Api, charge_point_id: &str) -> Vec<String> {
    let charge_point_id = charge_point_id.to_owned();
    let list = ListCommandsRequest {
        charge_point_id,
        ..ListCommandsRequest::default()
    };
    let Ok(page) = api.commands.clone().list_commands(list).await else {
        panic!("the list cannot be read")
    };
    page.into_inner()
        .commands
        .into_iter()
        .map(|command| command.command_id)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_away_a_command_is_unavailable_and_its_key_names_one_command_afterwards() {
    let mut system = System::start(SystemSpec::new("redis-away")).await;
    let (api, id) = (system.api(1), system.charger_id("wanted"));
    let companion = Companion::connected(&id, vec![system.edge(1)]).await;
    api.connected(&id).await;
    let keyed = |key: &str| SendCommandRequest {
        idempotency_key: key.to_owned(),
        ..unsafe_command(&id, "Reset")
    };
    system.kill9("redis").await;
    assert_eq!(
        api.try_send(keyed("dead")).await.unwrap_err().code(),
        Code::Unavailable
    );
    system.restart_part("redis").await;
    let dead = finally_answered(&api, &keyed("dead")).await;
    // A store that stalls leaves the call indeterminate; the key settles it too.
    system.pause("redis").await;
    assert_eq!(
        api.try_send(keyed("stalled")).await.unwrap_err().code(),
        Code::Unavailable
    );
    system.resume("redis");
    let stalled = finally_answered(&api, &keyed("stalled")).await;

    assert_eq!(known_commands(&api, &id).await, [dead.clone(), stalled.clone()]);
    assert_eq!(
        (
            companion.times_received(&dead),
            companion.times_received(&stalled)
        ),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_kafka_away_a_command_is_accepted_and_delivered_when_it_is_back() {
    let durable = Tools::get().await.broker_is_durable();
    let mut system = System::start(SystemSpec::new("kafka-away").broker(BrokerNeed::Own)).await;
    let (api, id) = (system.api(1), system.charger_id("parked"));
    let companion = Companion::connected(&id, vec![system.edge(1)]).await;
    api.connected(&id).await;
    // The embedded broker forgets everything when it dies, so that one only stops.
    if durable {
        system.kill9("kafka").await;
    } else {
        system.pause("kafka").await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(within("the command is accepted", api.send(unsafe_command(&id, "Reset"))).await);
    }
    assert!(companion.calls().is_empty(), "without Kafka nothing can come");
    if durable {
        system.restart_part("kafka").await;
    } else {
        system.resume("kafka");
    }
    for command in &ids {
        api.reaches(command, CommandState::Acknowledged).await;
        assert_eq!(companion.times_received(command), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_record_is_passed_over_and_the_next_command_is_delivered() {
    let system = System::start(SystemSpec::new("poison").broker(BrokerNeed::Own)).await;
    let (api, id) = (system.api(1), system.charger_id("unharmed"));
    let companion = Companion::connected(&id, vec![system.edge(1)]).await;
    api.connected(&id).await;
    poison(system.kafka()).await;
    for priority in [Priority::Normal, Priority::Urgent] {
        let request = SendCommandRequest {
            priority: priority.into(),
            ..unsafe_command(&id, "Reset")
        };
        let command = api.send(request).await;
        api.reaches(&command, CommandState::Acknowledged).await;
        assert_eq!(companion.times_received(&command), 1);
    }
    assert_eq!(companion.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_is_refused_with_every_problem_by_name() {
    let spec = SystemSpec::new("wrong-config")
        .broker(BrokerNeed::Embedded)
        .router_set("delivery.attempts", 0)
        .router_set("redis.slots", "many")
        .router_set("topics.shard_partitions", 3)
        .router_set("no.such_key", 1)
        .edge_set("pod.id", "no spaces")
        .edge_set("ocpp.shards", 0)
        .edge_set("routers", "nowhere")
        .edge_set("redis.url", "redis://127.0.0.1:1");
    let mut system = System::parts_only(spec).await;
    system.start_router(1).await;
    system.start_edge(1).await;
    for (service, keys) in [
        (
            "router-1",
            [
                "delivery.attempts",
                "redis.slots",
                "topics.shard_partitions",
                "no",
            ],
        ),
        ("edge-1", ["pod.id", "ocpp.shards", "routers", "redis"]),
    ] {
        assert_eq!(system.ended(service).await, "exit code 2");
        let log = system.log(service);
        for key in keys {
            assert!(
                log.lines().any(|line| line.trim_start().starts_with(key)),
                "{service} does not name {key}:\n{log}"
            );
        }
    }
}
