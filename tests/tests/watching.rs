//! WatchCommand while the store's channel of changes breaks: no end is missed, and nobody asks Redis in vain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: a failure is a panic"
)]

use std::net::SocketAddr;
use std::time::Duration;

use integration::wait::{eventually, fault_lasts, within};
use integration::{Api, Charger, System, SystemSpec, command, probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Streaming;
use wire::gateway::command::v1::{Command, CommandState, WatchCommandRequest, WatchCommandResponse};

/// A watch whose first state has been shown.
async fn watched(api: &Api, id: &str) -> Streaming<WatchCommandResponse> {
    let request = WatchCommandRequest {
        command_id: id.to_owned(),
    };
    let mut watch = api
        .commands
        .clone()
        .watch_command(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut watch).await.unwrap().state(), CommandState::Pending);
    watch
}

async fn next(watch: &mut Streaming<WatchCommandResponse>) -> Option<Command> {
    let message = within("a watch shows something", watch.message()).await;
    message
        .expect("the watch goes on")
        .map(|update| update.command.unwrap())
}

/// The last state of a watch that ends in order.
async fn last(mut watch: Streaming<WatchCommandResponse>) -> CommandState {
    let mut last = CommandState::Unspecified;
    while let Some(command) = next(&mut watch).await {
        last = command.state();
    }
    last
}

/// Says one line to Redis; returns the first line of the answer.
async fn redis(address: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 256];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_end_is_seen_although_the_channel_broke_just_before_it() {
    let system = System::start(SystemSpec::new("watch-gap").edges(0)).await;
    let api = system.api(1);
    for round in 0..5 {
        let id = api.send(command(&system.charger_id("absent"), "Reset")).await;
        let watch = watched(&api, &id).await;
        // It comes a moment after the start, and back after each round: else there is nothing to kill.
        eventually("the router has subscribed", async || {
            let subscribed = redis(system.redis(), "PUBSUB NUMPAT").await;
            (subscribed == ":1").then_some(())
        })
        .await;
        let killed = redis(system.redis(), "CLIENT KILL TYPE pubsub").await;
        assert_eq!(killed, ":1", "the router has one subscription (round {round})");
        api.cancel(&id).await.unwrap();
        assert_eq!(last(watch).await, CommandState::Cancelled);
    }
}

#[tokio::test]
async fn a_watch_outlives_a_restart_of_redis() {
    let mut system = System::start(SystemSpec::new("watch-restart")).await;
    let api = system.api(1);
    let id = api
        .send(command(&system.charger_id("waiting"), "UnlockConnector"))
        .await;
    let watch = watched(&api, &id).await;
    system.kill9("redis").await;
    system.restart_part("redis").await;
    let mut charger = Charger::connect(system.edge(1), &system.charger_id("waiting")).await;
    assert_eq!(charger.accept_next().await.id, id);
    assert_eq!(last(watch).await, CommandState::Acknowledged);
}

#[tokio::test]
async fn watches_of_a_command_that_does_not_change_cost_redis_nothing() {
    let system = System::start(SystemSpec::new("watch-idle").edges(0)).await;
    let api = system.api(1);
    // It comes a moment after the start, and everything is read again then.
    eventually("the router has subscribed", async || {
        let made = probe::metric(system.admin("router-1"), "gateway_router_change_subscriptions").await;
        (made > 0.5).then_some(())
    })
    .await;
    let mut watches = Vec::new();
    for _ in 0..20 {
        let id = api.send(command(&system.charger_id("quiet"), "Reset")).await;
        watches.push((watched(&api, &id).await, id));
    }
    let reads = async || probe::script_calls(system.admin("router-1"), "getCommand").await;
    let ended = api.send(command(&system.charger_id("other"), "Reset")).await;
    api.cancel(&ended).await.unwrap();
    let before = reads().await;
    assert!(before > 0.5, "reads are counted");
    fault_lasts(Duration::from_secs(6)).await;
    let after = reads().await;
    assert!((after - before).abs() < 0.5, "{before} reads became {after}");
    // The end of the other command was heard of: the rounds over the timers found nothing that was lost.
    let lost = probe::metric(system.admin("router-1"), "gateway_router_changes_lost_total").await;
    assert!(lost < 0.5, "{lost} changes are said to be lost");
    for (watch, id) in watches {
        api.cancel(&id).await.unwrap();
        assert_eq!(last(watch).await, CommandState::Cancelled);
    }
}
