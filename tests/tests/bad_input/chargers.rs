//! Chargers that do not keep to the protocol.

use integration::api::unsafe_command;
use integration::handshake::upgrade;
use integration::wait::within;
use integration::{Charger, Companion, Reply, System, command};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use wire::gateway::command::v1::CommandState;

use crate::{WORLD, violations};

/// Texts without an id to answer, or of a type of which nothing is known.
const IGNORED: [&str; 7] = [
    "",
    "nonsense",
    "{}",
    "[2,",
    "[]",
    r#"[9,"x","Heartbeat",{}]"#,
    r#"["2","x","Heartbeat",{}]"#,
];

/// Texts with their ids and the CALLERRORs of 1.6 that are due.
const REFUSED: [(&str, &str, &str); 3] = [
    (r#"[2,"a1","Heartbeat"]"#, "a1", "FormationViolation"),
    (r#"[2,"a2","Heartbeat",[]]"#, "a2", "FormationViolation"),
    (r#"[2,"a3","NoSuchAction",{}]"#, "a3", "NotImplemented"),
];

async fn booted(system: &System, name: &str) -> Charger {
    let mut charger = Charger::connect(system.edge(1), &system.charger_id(name)).await;
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    assert!(matches!(
        charger.call("BootNotification", &boot).await,
        Reply::Result(_)
    ));
    charger
}

async fn works(charger: &mut Charger) {
    assert!(matches!(
        charger.call("Heartbeat", &json!({})).await,
        Reply::Result(_)
    ));
}

/// A charger beside the ill-behaved one, whose connection must outlive all of it.
async fn with_neighbour(system: &System, name: &str, trouble: impl AsyncFnOnce()) {
    let api = system.api(1);
    let neighbour = Companion::connected(&system.charger_id(name), vec![system.edge(1)]).await;
    api.connected(&neighbour.id).await;
    trouble().await;
    let id = api.send(unsafe_command(&neighbour.id, "Reset")).await;
    api.reaches(&id, CommandState::Acknowledged).await;
    assert_eq!((neighbour.connections(), neighbour.times_received(&id)), (1, 1));
}

#[test]
fn malformed_messages_get_what_the_protocol_says_and_the_connection_stays() {
    WORLD.run(async |system| {
        with_neighbour(system, "calm-1", async || {
            let mut charger = booted(system, "malformed").await;
            for text in IGNORED {
                charger.send_text(text).await;
                works(&mut charger).await;
            }
            for (text, id, code) in REFUSED {
                charger.send_text(text).await;
                let Reply::Error(sent, _) = charger.reply_to(id).await else {
                    panic!("{text} was accepted")
                };
                assert_eq!(sent, code, "{text}");
            }
            works(&mut charger).await;
        })
        .await;
    });
}

#[test]
fn a_binary_message_ends_the_connection_that_sent_it() {
    WORLD.run(async |system| {
        with_neighbour(system, "calm-2", async || {
            let mut charger = booted(system, "binary").await;
            charger.send_binary(b"\x00\x01").await;
            assert_eq!(charger.closed().await, Some(CloseCode::Unsupported));
            works(&mut Charger::connect(system.edge(1), &charger.id).await).await;
        })
        .await;
    });
}

#[test]
fn an_oversized_message_ends_the_connection_that_sent_it() {
    WORLD.run(async |system| {
        with_neighbour(system, "calm-3", async || {
            let mut charger = booted(system, "oversized").await;
            // A little more than the edge takes, so that it can still read and answer the close.
            let data = "x".repeat(70_000);
            let _closed_meanwhile = charger
                .try_send_text(&format!(r#"[2,"big","DataTransfer",{{"data":"{data}"}}]"#))
                .await;
            assert_eq!(charger.closed().await, Some(CloseCode::Size));
            works(&mut Charger::connect(system.edge(1), &charger.id).await).await;
        })
        .await;
    });
}

#[test]
fn a_duplicate_identity_ends_the_older_connection_and_nobody_elses() {
    WORLD.run(async |system| {
        with_neighbour(system, "calm-4", async || {
            let mut older = booted(system, "twice").await;
            let first = system.api(1).connected(&older.id).await;
            let mut newer = Charger::connect(system.edge(1), &older.id).await;
            older.closed().await;
            works(&mut newer).await;
            let now = system.api(1).connected(&newer.id).await;
            assert!(now.version > first.version);
        })
        .await;
    });
}

#[test]
fn without_a_common_subprotocol_the_handshake_completes_and_the_connection_ends() {
    WORLD.run(async |system| {
        for protocols in [None, Some("ocpp1.5"), Some("mqtt, soap")] {
            let id = system.charger_id("stranger");
            let handshake = upgrade(system.edge(1), &format!("/ocpp/{id}"), protocols, &[])
                .await
                .unwrap();
            assert_eq!(handshake.status, 101);
            assert!(
                !handshake.head.contains("sec-websocket-protocol"),
                "{}",
                handshake.head
            );
            let mut charger = Charger::from_handshake(handshake, &id).await;
            charger.closed().await;
            assert_eq!(
                system.api(1).connection(&id).await,
                None,
                "it was never registered"
            );
        }
    });
}

#[test]
fn an_upgrade_that_names_no_charger_is_not_found_and_plain_http_is_refused() {
    WORLD.run(async |system| {
        for path in [
            "/",
            "/ocpp/",
            "/ocpp/%20",
            "/ocpp/%zz",
            &format!("/ocpp/{}", "x".repeat(49)),
        ] {
            let handshake = upgrade(system.edge(1), path, Some("ocpp1.6"), &[]).await.unwrap();
            assert_eq!(handshake.status, 404, "{path}");
        }
        let (status, _) = xtask::net::http_get(system.edge(1), "/ocpp/CP-1").await.unwrap();
        assert_eq!(status, 400);
        let id = system.charger_id("käfer");
        let encoded = system.charger_id("a%2Fb");
        let handshake = upgrade(system.edge(1), &format!("/ocpp/{encoded}"), Some("ocpp1.6"), &[])
            .await
            .unwrap();
        assert_eq!(handshake.status, 101);
        let decoded = encoded.replace("%2F", "/");
        system.api(1).connected(&decoded).await;
        let status = system.api(1).try_send(command(&id, "Reset")).await.unwrap_err();
        assert_eq!(violations(&status), ["charge_point_id"]);
    });
}

#[test]
fn a_peer_that_never_ends_its_request_is_cut_and_its_neighbour_is_served() {
    WORLD.run(async |system| {
        with_neighbour(system, "calm-5", async || {
            let mut stream = TcpStream::connect(system.edge(1)).await.unwrap();
            let head = format!(
                "GET /ocpp/slow HTTP/1.1\r\nHost: {}\r\nUpgrade: web",
                system.edge(1)
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // Cut with or without a word, as long as it is cut.
            let _cut = within("the peer is cut", stream.read_to_end(&mut answer)).await;
            assert!(!answer.starts_with(b"HTTP/1.1 101"));
        })
        .await;
    });
}
