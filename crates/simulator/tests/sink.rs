//! The bare server that gateways are compared with: it upgrades chargers, and says back what it hears.

#![allow(
    clippy::unwrap_used,
    reason = "the helpers of tests fail by panicking, like the tests themselves"
)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ocpp::Version;
use simulator::{Config, Simulator, sink};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(20);

/// Starts a sink; returns its host and port.
async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(sink::serve(listener));
    address.to_string()
}

#[tokio::test]
async fn quiet_chargers_of_every_version_connect_to_the_sink_and_stay() {
    let url = format!("ws://{}/ocpp", start().await);
    for version in [Version::V16, Version::V201, Version::V21] {
        let mut config = Config::new(&url, 20, version);
        config.quiet = true;
        config.heartbeat = Duration::ZERO;
        let simulator = Simulator::start(config).unwrap();
        assert!(simulator.wait_connected(20, LIMIT).await);
        let stats = simulator.stop().await;
        assert_eq!((stats.connects, stats.connect_failures), (20, 0));
    }
}

#[tokio::test]
async fn a_message_comes_back_as_it_was() {
    let url = format!("ws://{}/", start().await);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    for message in [
        Message::text("[2,\"1\",\"Heartbeat\",{}]"),
        Message::binary(vec![1, 2, 3]),
    ] {
        socket.send(message.clone()).await.unwrap();
        let heard = tokio::time::timeout(LIMIT, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(heard, message);
    }
}
