//! The simulator against a small OCPP server: connecting, booting, answering, reconnecting, logging, stopping.
//! Leaves out what one charger says in which situation, which its unit tests cover without a socket.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests fail by panicking, like the tests themselves"
)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ocpp::Version;
use serde_json::Value;
use simulator::{Config, Simulator};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// How long anything may take before a test fails. Nothing is expected to take nearly as long.
const LIMIT: Duration = Duration::from_secs(20);

/// The gateway's end of one connection.
struct Peer {
    path: String,
    socket: WebSocketStream<TcpStream>,
}

/// A listener and the URL that leads to it.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ocpp", listener.local_addr().unwrap());
    (listener, url)
}

/// Accepts a charger, with the subprotocol it asks for.
async fn accept(listener: &TcpListener) -> Peer {
    let (stream, _) = tokio::time::timeout(LIMIT, listener.accept())
        .await
        .unwrap()
        .unwrap();
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the signature of the library's callback")]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, callback)
        .await
        .unwrap();
    Peer { path, socket }
}

impl Peer {
    /// The next message of the charger, as JSON.
    async fn hear(&mut self) -> Value {
        loop {
            match tokio::time::timeout(LIMIT, self.socket.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap()
            {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected {other}"),
            }
        }
    }

    async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Hears a CALL of this action and answers it.
    async fn serve(&mut self, action: &str, payload: &str) -> Value {
        let call = self.hear().await;
        assert_eq!((call[0].as_u64(), call[2].as_str()), (Some(2), Some(action)));
        self.say(&format!(r#"[3,{},{payload}]"#, call[1])).await;
        call
    }

    async fn serve_boot_and_status(&mut self) {
        self.serve(
            "BootNotification",
            r#"{"status":"Accepted","interval":300,"currentTime":"x"}"#,
        )
        .await;
        self.serve("StatusNotification", "{}").await;
    }

    /// Waits for the charger's close frame and completes the closing handshake.
    async fn hear_close(mut self) {
        while let Some(Ok(message)) = tokio::time::timeout(LIMIT, self.socket.next()).await.unwrap() {
            if message.is_close() {
                return;
            }
        }
        panic!("the connection ended without a close frame");
    }
}

fn read_log(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is incomplete");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_charger_connects_boots_answers_and_closes_cleanly() {
    let (listener, url) = listen().await;
    let simulator = Simulator::start(Config::new(url, 1, Version::V201)).unwrap();
    assert_eq!(simulator.ids(), ["CP-000001"]);
    let mut peer = accept(&listener).await;
    assert_eq!(peer.path, "/ocpp/CP-000001");
    peer.serve_boot_and_status().await;
    peer.say(r#"[2,"c-1","UnlockConnector",{"evseId":1,"connectorId":1}]"#)
        .await;
    assert_eq!(
        peer.hear().await,
        serde_json::json!([3, "c-1", {"status": "Unlocked"}])
    );
    assert!(
        simulator
            .wait_until(LIMIT, |stats| stats.results_received == 2)
            .await
    );
    let (stats, ()) = tokio::join!(simulator.stop(), peer.hear_close());
    assert_eq!((stats.connects, stats.connected, stats.booted), (1, 0, 1));
    assert_eq!((stats.received, stats.answered, stats.duplicates), (1, 1, 0));
}

#[tokio::test]
async fn a_dropped_charger_returns_without_a_boot_and_knows_a_retried_command() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("chargers.jsonl");
    let (listener, url) = listen().await;
    let config = Config {
        log: Some(log.clone()),
        ..Config::new(url, 1, Version::V16)
    };
    let simulator = Simulator::start(config).unwrap();
    let command = r#"[2,"c-1","Reset",{"type":"Soft"}]"#;
    let mut peer = accept(&listener).await;
    peer.serve_boot_and_status().await;
    peer.say(command).await;
    let first = peer.hear().await;
    drop(peer);
    let mut peer = accept(&listener).await;
    peer.serve("StatusNotification", "{}").await;
    peer.say(command).await;
    assert_eq!(peer.hear().await, first);
    let (stats, ()) = tokio::join!(simulator.stop(), peer.hear_close());
    assert_eq!((stats.connects, stats.received, stats.duplicates), (2, 2, 1));

    let lines = read_log(&log);
    let story: Vec<_> = lines
        .iter()
        .filter(|line| line["kind"] == "call_received")
        .map(|line| {
            (
                line["conn"].as_u64(),
                line["message_id"].as_str(),
                line["duplicate"].as_bool(),
            )
        })
        .collect();
    assert_eq!(
        story,
        [(Some(1), Some("c-1"), None), (Some(2), Some("c-1"), Some(true))]
    );
}

/// Has a command answered, and checks at each message heard that the log tells of it already.
async fn command_and_check_log(peer: &mut Peer, id: &str, log: &Path) {
    peer.say(&format!(r#"[2,"{id}","GetConfiguration",{{}}]"#)).await;
    loop {
        let heard = peer.hear().await;
        let lines = read_log(log);
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line["message_id"] == heard[1])
            .collect();
        let kinds: Vec<_> = told.iter().filter_map(|line| line["kind"].as_str()).collect();
        if heard[0] == 3 {
            assert_eq!(
                (heard[1].as_str(), kinds),
                (Some(id), vec!["call_received", "reply_sent"])
            );
            return;
        }
        assert_eq!(kinds, ["call_sent"]);
        peer.say(&format!("[3,{},{{}}]", heard[1])).await;
    }
}

#[tokio::test]
async fn the_log_is_never_behind_the_wire_and_its_order_is_that_of_the_events() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("chargers.jsonl");
    let (listener, url) = listen().await;
    let mut config = Config::new(url, 1, Version::V16);
    config.log = Some(log.clone());
    config.answer_delay_ms = (0, 5);
    config.heartbeat = Duration::from_millis(3);
    let simulator = Simulator::start(config).unwrap();
    let mut peer = accept(&listener).await;
    peer.serve_boot_and_status().await;
    for number in 0..50 {
        command_and_check_log(&mut peer, &format!("c-{number}"), &log).await;
    }
    tokio::join!(simulator.stop(), peer.hear_close());
    let lines = read_log(&log);
    assert_eq!(
        (&lines[0]["kind"], lines[0]["conn"].as_u64()),
        (&"connected".into(), Some(1))
    );
    assert_eq!(lines.last().unwrap()["kind"], "disconnected");
    assert!(
        lines
            .iter()
            .all(|line| line["cp"] == "CP-000001" && line["t_us"].is_u64())
    );
    let times: Vec<_> = lines
        .iter()
        .map(|line| line["mono_us"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted());
}

#[tokio::test]
async fn chargers_spread_over_the_urls_and_move_on_when_one_is_gone() {
    let (first, first_url) = listen().await;
    let (second, second_url) = listen().await;
    let config = Config {
        urls: vec![first_url, second_url],
        quiet: true,
        ..Config::new("", 2, Version::V21)
    };
    let simulator = Simulator::start(config).unwrap();
    let (one, two) = tokio::join!(accept(&first), accept(&second));
    assert_eq!(
        [one.path.as_str(), &two.path],
        ["/ocpp/CP-000001", "/ocpp/CP-000002"]
    );
    drop((first, one));
    let moved = accept(&second).await;
    assert_eq!(moved.path, "/ocpp/CP-000001");
    assert!(
        simulator
            .wait_until(LIMIT, |stats| stats.connects == 3 && stats.connected == 2)
            .await
    );
    tokio::join!(simulator.stop(), two.hear_close(), moved.hear_close());
}

#[tokio::test]
async fn many_chargers_connect_by_the_ramp_each_with_its_own_id() {
    let (listener, url) = listen().await;
    let config = Config {
        ramp_per_s: Some(2000),
        quiet: true,
        ..Config::new(url, 200, Version::V16)
    };
    let simulator = Simulator::start(config).unwrap();
    let mut peers = HashMap::new();
    while peers.len() < 200 {
        let peer = accept(&listener).await;
        assert!(peers.insert(peer.path.clone(), peer).is_none());
    }
    assert!(simulator.wait_connected(200, LIMIT).await);
    let closing = peers.into_values().map(Peer::hear_close);
    let (stats, _) = tokio::join!(simulator.stop(), futures_util::future::join_all(closing));
    assert_eq!((stats.connects, stats.connected), (200, 0));
}

#[tokio::test]
async fn chosen_source_addresses_are_used() {
    let (listener, url) = listen().await;
    let source_ips = vec!["127.0.7.1".parse().unwrap(), "127.0.7.2".parse().unwrap()];
    let config = Config {
        source_ips,
        quiet: true,
        ..Config::new(url, 2, Version::V16)
    };
    let simulator = Simulator::start(config).unwrap();
    let (one, two) = (accept(&listener).await, accept(&listener).await);
    let mut sources = [&one, &two].map(|peer| peer.socket.get_ref().peer_addr().unwrap().ip().to_string());
    sources.sort();
    assert_eq!(sources, ["127.0.7.1", "127.0.7.2"]);
    assert!(simulator.wait_connected(2, LIMIT).await);
    tokio::join!(simulator.stop(), one.hear_close(), two.hear_close());
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_gateway_that_never_answers() {
    let (listener, url) = listen().await;
    let simulator = Simulator::start(Config::new(url, 3, Version::V16)).unwrap();
    // The backlog accepts, so the chargers hang in their handshakes.
    let stats = tokio::time::timeout(LIMIT, simulator.stop()).await.unwrap();
    assert_eq!((stats.connected, stats.connects), (0, 0));
    drop(listener);
}
