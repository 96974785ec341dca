//! What a socket that takes nothing means for the CALLs that wait for it.

use std::time::Duration;

use domain::command::RedeliveryClass;
use domain::ids::CommandId;
use ocpp::Version::V16;
use tokio_tungstenite::tungstenite::Message;
use wire::gateway::link::v1::up_item::Item;

use super::HEARTBEAT;
use crate::shard::Outbound;
use crate::testing::{Bench, Charger, until};

/// A charger whose socket has room for no byte: a ping fills it.
async fn stalled(bench: &Bench) -> Charger {
    let charger = bench.connect_through("CP-1", V16, 100, 2).await;
    for shard in &bench.hub.shards {
        for socket in shard.sockets(true) {
            shard.post(socket, Outbound::Ping);
        }
    }
    charger
}

/// Waits until a connection found its socket full.
async fn blocked(bench: &Bench) {
    until(|| {
        bench
            .hub
            .shards
            .iter()
            .any(|shard| shard.next_timer_ms().is_some())
    })
    .await;
}

/// Waits for a refusal; there must be no notice before it.
async fn refused(bench: &Bench) -> String {
    let refused = |item| match item {
        Item::Refusal(r) => r.dispatch.map(|dispatch| dispatch.command_id),
        Item::Written(w) => panic!("nothing was written: {w:?}"),
        _ => None,
    };
    bench.told(refused).await
}

async fn written(bench: &Bench) -> String {
    let written = |item| match item {
        Item::Written(w) => w.dispatch.map(|dispatch| dispatch.command_id),
        _ => None,
    };
    bench.told(written).await
}

/// A command that has found the socket full.
async fn waiting(bench: &Bench) -> CommandId {
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    blocked(bench).await;
    id
}

#[tokio::test]
async fn a_call_that_waited_for_the_socket_is_written_when_there_is_room() {
    let bench = Bench::new();
    let mut charger = stalled(&bench).await;
    let id = waiting(&bench).await;
    assert!(matches!(charger.hear().await, Message::Ping(_)));
    assert!(charger.hear_text().await.contains(&id.to_string()));
    assert_eq!(written(&bench).await, id.to_string());
}

#[tokio::test]
async fn a_call_that_waited_for_the_socket_is_not_written_once_its_lease_is_over() {
    let bench = Bench::new();
    let mut charger = stalled(&bench).await;
    let id = waiting(&bench).await;
    bench.hub.clock.end_lease();
    assert!(matches!(charger.hear().await, Message::Ping(_)));
    assert_eq!(refused(&bench).await, id.to_string());
    assert!(
        charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#),
        "no byte of the CALL"
    );
}

#[tokio::test]
async fn a_call_that_waited_for_the_socket_is_not_written_at_its_deadline() {
    let bench = Bench::new();
    let mut charger = stalled(&bench).await;
    let id = waiting(&bench).await;
    // The deadline is 300 s ahead, the lease an hour.
    bench.hand.advance(Duration::from_secs(300));
    assert!(matches!(charger.hear().await, Message::Ping(_)));
    assert_eq!(refused(&bench).await, id.to_string());
    assert!(
        charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#),
        "no byte of the CALL"
    );
}

#[tokio::test]
async fn a_call_that_lies_unwritten_at_a_replaced_socket_is_given_back_and_not_noticed() {
    let bench = Bench::new();
    let old = stalled(&bench).await;
    let id = waiting(&bench).await;
    let newer = bench.connect("CP-1", V16, 101).await;
    assert_eq!(refused(&bench).await, id.to_string());
    drop((old.ws, newer.ws));
    old.task.await.unwrap();
}

#[tokio::test]
async fn a_call_that_waits_while_the_charger_closes_is_given_back_and_not_noticed() {
    let bench = Bench::new();
    let mut charger = stalled(&bench).await;
    let id = waiting(&bench).await;
    charger.ws.close(None).await.unwrap();
    assert_eq!(refused(&bench).await, id.to_string());
    drop(charger.ws);
    charger.task.await.unwrap();
}

#[tokio::test]
async fn a_call_that_waits_when_the_edge_closes_is_given_back_at_once_and_not_written_before_the_close() {
    let bench = Bench::new();
    let mut charger = stalled(&bench).await;
    let id = waiting(&bench).await;
    for shard in &bench.hub.shards {
        for socket in shard.sockets(true) {
            shard.post(socket, Outbound::Close(1012, "the gateway restarts"));
        }
    }
    assert_eq!(refused(&bench).await, id.to_string());
    assert!(matches!(charger.hear().await, Message::Ping(_)));
    assert!(
        matches!(charger.hear().await, Message::Close(_)),
        "no CALL before it"
    );
}

#[tokio::test]
async fn a_call_that_was_begun_is_noticed_when_its_end_has_left_and_nothing_comes_between() {
    let bench = Bench::new();
    // The socket takes the beginning of the CALL; the charger's ping must not be answered amid its bytes.
    let mut charger = bench.connect_through("CP-1", V16, 100, 16).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    blocked(&bench).await;
    futures_util::SinkExt::send(&mut charger.ws, Message::Ping(vec![7].into()))
        .await
        .unwrap();
    assert!(charger.hear_text().await.contains(&id.to_string()));
    assert!(matches!(charger.hear().await, Message::Pong(_)));
    assert_eq!(written(&bench).await, id.to_string());
}

#[tokio::test]
async fn a_charger_that_does_not_read_is_given_up_and_its_command_given_back() {
    let bench = Bench::new();
    let mut charger = bench.connect_through("CP-1", V16, 100, 64).await;
    charger.say(HEARTBEAT).await;
    charger.say(HEARTBEAT).await;
    // The pipe is full, so the CALL stays behind what is stuck in it.
    let blocked = || {
        bench
            .hub
            .shards
            .iter()
            .any(|shard| shard.next_timer_ms().is_some())
    };
    until(blocked).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    bench.hand.advance(Duration::from_secs(11));
    bench
        .hub
        .shards
        .iter()
        .for_each(|shard| shard.run_timers(bench.hub.clock.mono_ms()));
    tokio::time::timeout(crate::testing::PATIENCE, charger.task)
        .await
        .unwrap()
        .unwrap();
    let refused = bench
        .told(|item| {
            if let Item::Refusal(r) = item {
                r.dispatch
            } else {
                None
            }
        })
        .await;
    assert_eq!(refused.command_id, id.to_string());
}
