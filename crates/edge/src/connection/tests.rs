//! Connections over a pipe, with a hub whose Kafka is a fake.

mod closing;
mod complaints;
mod traces;
mod writes;

use std::time::Duration;

use domain::command::RedeliveryClass;
use domain::edge::Input;
use futures_util::SinkExt;
use ocpp::Version::{V16, V21, V201};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wire::gateway::link::v1::up_item::Item;

use super::*;
use crate::config::EdgeConfig;
use crate::shard::Sweep;
use crate::testing::{Bench, LIFE};

const HEARTBEAT: &str = r#"[2,"h1","Heartbeat",{}]"#;
const START: &str = r#"[2,"s1","StartTransaction",{"connectorId":1,"idTag":"T","meterStart":0,"timestamp":"2026-11-21T06:00:00Z"}]"#;

#[tokio::test]
async fn what_need_not_be_durable_is_answered_at_once_and_becomes_an_event() {
    let bench = Bench::with(&EdgeConfig::default(), None);
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let answer = charger.ask(HEARTBEAT).await;
    assert!(answer.starts_with(r#"[3,"h1",{"currentTime":""#), "{answer}");
    assert_eq!(
        bench.sink.types(),
        ["charge_point.connected", "charge_point.heartbeat"]
    );
}

#[tokio::test]
async fn a_transaction_is_answered_only_after_its_event_is_durable() {
    let bench = Bench::with(&EdgeConfig::default(), None);
    let mut charger = bench.connect("CP-1", V16, 100).await;
    charger.say(START).await;
    // The charger goes on; its later CALL overtakes, and the transaction stays unanswered.
    assert!(charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
    assert_eq!(bench.sink.types()[1], "transaction.started");
    bench.sink.decide(true);
    let answer = charger.hear_text().await;
    assert!(
        answer.starts_with(r#"[3,"s1",{"idTagInfo":{"status":"Accepted"},"transactionId":"#),
        "{answer}"
    );
}

#[tokio::test]
async fn a_transaction_whose_event_is_lost_or_not_taken_gets_no_answer_and_may_be_repeated() {
    let bench = Bench::with(&EdgeConfig::default(), Some(false));
    let mut charger = bench.connect("CP-1", V16, 100).await;
    charger.say(START).await;
    assert!(charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
    bench.sink.fill();
    charger.say(START).await;
    assert!(
        charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#),
        "nothing is said to the transaction"
    );
}

#[tokio::test]
async fn unknown_actions_are_not_implemented_and_the_connection_goes_on() {
    let bench = Bench::new();
    for (version, n) in [(V16, 1), (V201, 2), (V21, 3)] {
        let mut charger = bench.connect(&format!("CP-{n}"), version, 100 + n).await;
        let answer = charger.ask(r#"[2,"u1","MakeCoffee",{}]"#).await;
        assert!(answer.starts_with(r#"[4,"u1","NotImplemented","#), "{answer}");
        assert!(charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
    }
}

#[tokio::test]
async fn malformed_texts_are_answered_as_their_version_wants_and_the_connection_goes_on() {
    let bench = Bench::new();
    let mut old = bench.connect("CP-1", V16, 100).await;
    for text in ["", "{}", "[", "[9,\"x\"]", "[3]", "hello"] {
        old.say(text).await;
    }
    let answer = old.ask(r#"[2,"m1","Heartbeat",[]]"#).await;
    assert!(answer.starts_with(r#"[4,"m1","FormationViolation""#), "{answer}");
    let mut new = bench.connect("CP-2", V201, 101).await;
    let answer = new.ask("[2,").await;
    assert!(answer.starts_with(r#"[4,"-1","RpcFrameworkError""#), "{answer}");
    assert!(new.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
}

#[tokio::test]
async fn binary_and_oversized_messages_close_their_connection_and_no_other() {
    let bench = Bench::new();
    let mut neighbour = bench.connect("CP-0", V16, 99).await;
    let mut binary = bench.connect("CP-1", V16, 100).await;
    binary.ws.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(binary.hear_close().await, 1003);
    let mut large = bench.connect("CP-2", V16, 101).await;
    large.say(&"x".repeat(64 * 1024 + 1)).await;
    assert_eq!(large.hear_close().await, 1009);
    let mut broken = bench.connect("CP-3", V16, 102).await;
    broken.ws.get_mut().write_all_raw(&[0xff; 64]).await;
    assert_eq!(broken.hear_close().await, 1002);
    let gone = bench.connect("CP-4", V16, 103).await;
    drop(gone.ws);
    gone.task.await.unwrap();
    assert!(neighbour.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
    drop((binary.ws, large.ws, broken.ws));
    for task in [binary.task, large.task, broken.task] {
        task.await.unwrap();
    }
    assert_eq!(bench.hub.entered(), 1);
}

#[tokio::test]
async fn a_command_is_written_noticed_and_its_answer_told() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    assert_eq!(
        charger.hear_text().await,
        format!(r#"[2,"{id}","ChangeAvailability",{{"connectorId":0}}]"#)
    );
    let told = bench
        .told(|item| {
            if let Item::Written(w) = item {
                w.dispatch
            } else {
                None
            }
        })
        .await;
    assert_eq!(
        (told.command_id, told.dispatch, told.version),
        (id.to_string(), 1, 100)
    );
    charger
        .say(&format!(r#"[3,"{id}",{{"status": "Accepted"}}]"#))
        .await;
    let answer = bench
        .told(|item| if let Item::Answer(a) = item { Some(a) } else { None })
        .await;
    assert_eq!(answer.command_id, id.to_string());
    let text = r#"{"status": "Accepted"}"#.to_owned();
    let expected = wire::gateway::link::v1::charger_answer::Answer::ResultJson(text);
    assert_eq!(answer.answer, Some(expected), "untouched");
}

#[tokio::test]
async fn a_callerror_is_an_answer_too() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    charger.hear_text().await;
    charger
        .say(&format!(r#"[4,"{id}","InternalError","it \"broke\"",{{"a":1}}]"#))
        .await;
    let answer = bench
        .told(|item| {
            if let Item::Answer(a) = item {
                a.answer
            } else {
                None
            }
        })
        .await;
    let text = r#"["InternalError","it \"broke\"",{"a":1}]"#.to_owned();
    assert_eq!(
        answer,
        wire::gateway::link::v1::charger_answer::Answer::ErrorJson(text)
    );
}

#[tokio::test]
async fn a_call_that_the_lease_no_longer_covers_is_given_back_and_not_written() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    // Both happen before the connection's task runs: the machine wrote under a lease that has ended since.
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    bench.hub.clock.end_lease();
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
    assert!(
        charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#),
        "nothing else was written"
    );
}

#[tokio::test]
async fn a_call_without_answer_times_out_and_frees_the_slot_for_the_next() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    charger.hear_text().await;
    bench
        .told(|item| {
            if let Item::Written(w) = item {
                w.dispatch
            } else {
                None
            }
        })
        .await;
    let second = bench.command("CP-1", 2, 100, RedeliveryClass::Safe);
    bench.hand.advance(Duration::from_secs(31));
    bench
        .hub
        .shards
        .iter()
        .for_each(|shard| shard.run_timers(bench.hub.clock.mono_ms()));
    let text = charger.hear_text().await;
    assert!(text.contains(&second.to_string()), "{text}");
}

#[tokio::test]
async fn an_unsafe_command_waits_for_its_grant() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Unsafe);
    let nonce = bench
        .told(|item| {
            if let Item::Intent(i) = item {
                Some(i.nonce)
            } else {
                None
            }
        })
        .await;
    assert!(
        charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#),
        "nothing was written yet"
    );
    let write_before = bench.hub.clock.now().redis_upper.plus(5_000_000);
    bench.hub.route(Input::Grant {
        id,
        nonce: domain::ids::Nonce(nonce),
        write_before,
    });
    assert!(charger.hear_text().await.contains(&id.to_string()));
}

#[tokio::test]
async fn what_a_router_says_of_a_command_goes_to_the_shard_of_the_charger_it_names_and_to_no_other() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let id = bench.command("CP-1", 1, 100, RedeliveryClass::Unsafe);
    let nonce = bench
        .told(|item| {
            if let Item::Intent(i) = item {
                Some(i.nonce)
            } else {
                None
            }
        })
        .await;
    let grant = || Input::Grant {
        id,
        nonce: domain::ids::Nonce(nonce),
        write_before: bench.hub.clock.now().redis_upper.plus(5_000_000),
    };
    let own = ChargePointId::parse("CP-1").unwrap();
    let other = (2..100)
        .map(|n| ChargePointId::parse(&format!("CP-{n}")).unwrap())
        .find(|other| !std::ptr::eq(bench.hub.shard(other), bench.hub.shard(&own)));
    bench.hub.take(other, grant());
    for _ in 0..2 {
        // What is in its mailbox is written before the second is answered.
        assert!(charger.ask(HEARTBEAT).await.starts_with(r#"[3,"h1""#));
    }
    bench.hub.take(Some(own), grant());
    assert!(charger.hear_text().await.contains(&id.to_string()));
}

#[tokio::test]
async fn a_displaced_connection_is_closed_and_unregistered() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let (charge_point, version) = (ChargePointId::parse("CP-1").unwrap(), domain::ids::Version(100));
    bench.hub.route(Input::Kick {
        incarnation: LIFE,
        charge_point,
        version,
    });
    assert_eq!(charger.hear_close().await, 1008);
    drop(charger.ws);
    charger.task.await.unwrap();
    let told = bench
        .told(|item| {
            if let Item::Unregister(u) = item {
                Some(u.version)
            } else {
                None
            }
        })
        .await;
    assert_eq!(told, 100);
    assert_eq!(
        bench.sink.types(),
        ["charge_point.connected", "charge_point.disconnected"]
    );
}

#[tokio::test]
async fn the_silent_are_pinged_and_the_dead_are_closed() {
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    charger.ask(HEARTBEAT).await;
    for now_s in 100..160 {
        bench.sweep(Sweep {
            now_s,
            ping_s: 60,
            idle_s: 900,
        });
    }
    assert!(matches!(charger.hear().await, Message::Ping(_)));
    bench.sweep(Sweep {
        now_s: 1_000,
        ping_s: 60,
        idle_s: 900,
    });
    assert_eq!(charger.hear_close().await, 1001);
}

#[tokio::test]
async fn beyond_the_cap_there_is_no_connection() {
    let mut config = EdgeConfig::default();
    config.ocpp.max_connections = 1;
    let bench = Bench::with(&config, None);
    let held = bench.connect("CP-1", V16, 100).await;
    let (near, _far) = tokio::io::duplex(64);
    let ws = WebSocketStream::from_raw_socket(Outlet::new(near), Role::Server, None).await;
    let second = ChargePointId::parse("CP-2").unwrap();
    assert!(Connection::new(ws, Arc::clone(&bench.hub), second.clone(), V16).is_none());
    drop(held.ws);
    held.task.await.unwrap();
    let (near, _far) = tokio::io::duplex(64);
    let ws = WebSocketStream::from_raw_socket(Outlet::new(near), Role::Server, None).await;
    assert!(Connection::new(ws, Arc::clone(&bench.hub), second, V16).is_some());
}

#[tokio::test]
async fn an_idle_connection_keeps_nothing_but_its_small_state() {
    let bench = Bench::new();
    let (near, _far) = tokio::io::duplex(64);
    let ws = WebSocketStream::from_raw_socket(Outlet::new(near), Role::Server, None).await;
    let own =
        size_of::<Connection<tokio::net::TcpStream>>() - size_of::<WebSocketStream<tokio::net::TcpStream>>();
    assert!(own <= 144, "{own} bytes besides the socket's");
    let charge_point = ChargePointId::parse("CP-1").unwrap();
    let mut connection = Box::pin(Connection::new(ws, Arc::clone(&bench.hub), charge_point, V16).unwrap());
    let waker = std::task::Waker::noop();
    assert!(
        connection
            .as_mut()
            .poll(&mut Context::from_waker(waker))
            .is_pending()
    );
    assert!(connection.unsent.is_none() && connection.undurable.is_none());
}

/// Bytes past the WebSocket.
trait Raw {
    async fn write_all_raw(&mut self, bytes: &[u8]);
}

impl Raw for tokio::io::DuplexStream {
    async fn write_all_raw(&mut self, bytes: &[u8]) {
        tokio::io::AsyncWriteExt::write_all(self, bytes).await.unwrap();
    }
}
