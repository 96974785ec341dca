//! Chargers and clients on libraries that nobody here wrote, unmodified: they connect, boot, beat, take commands, and
//! come back after their edge is killed.

use integration::api::{result_of, safe_command, unsafe_command};
use integration::faults::Forwarder;
use integration::foreign::{node, python, said, sayings, script};
use integration::{Companion, System, SystemSpec};
use serde_json::{Value, json};
use wire::gateway::command::v1::{CommandState, SendCommandRequest};
use xtask::progress::say;
use xtask::supervise::{Guarded, find_program};

/// The versions, as the scripts call them.
const VERSIONS: [&str; 3] = ["1.6", "2.0.1", "2.1"];

/// A command that is unsafe to repeat and one that is not, in the words of a version, with the answers.
fn commands(version: &str) -> [(&'static str, Value, Value); 2] {
    if version == "1.6" {
        let configuration = [json!({"key": "HeartbeatInterval", "readonly": false, "value": "1"})];
        return [
            ("Reset", json!({"type": "Soft"}), json!({"status": "Accepted"})),
            (
                "GetConfiguration",
                json!({"key": ["HeartbeatInterval"]}),
                json!({"configurationKey": configuration}),
            ),
        ];
    }
    let (component, variable) = (
        json!({"name": "OCPPCommCtrlr"}),
        json!({"name": "HeartbeatInterval"}),
    );
    let found = json!({
        "attributeStatus": "Accepted", "attributeValue": "1", "component": component, "variable": variable
    });
    [
        (
            "Reset",
            json!({"type": "Immediate"}),
            json!({"status": "Accepted"}),
        ),
        (
            "GetVariables",
            json!({"getVariableData": [{"component": component, "variable": variable}]}),
            json!({"getVariableResult": [found]}),
        ),
    ]
}

/// Lets a charger answer both of its commands.
async fn answers(system: &System, id: &str, version: &str) {
    let api = system.api(1);
    for (action, payload, answer) in commands(version) {
        let request = if action == "Reset" {
            unsafe_command(id, action)
        } else {
            safe_command(id, action)
        };
        let command = api
            .send(SendCommandRequest {
                payload_json: payload.to_string(),
                ..request
            })
            .await;
        let ended = api.reaches(&command, CommandState::Acknowledged).await;
        assert_eq!(result_of(&ended), answer, "{id}, {action}");
        let received = sayings(system, id)
            .into_iter()
            .filter(|saying| saying["message_id"] == command);
        assert_eq!(received.count(), 1, "{id}, {action}");
    }
}

/// The whole story of one library: `command` is called with `--url`, `--id` and `--version` for each version.
async fn story(name: &'static str, command: Guarded) {
    let mut system = System::start(SystemSpec::new(name).edges(2)).await;
    // A charger knows one address; behind it stands one edge after the other.
    let mut balancer = Forwarder::start(system.edge(1)).await;
    let chargers = VERSIONS.map(|version| (system.charger_id(&format!("{name}-{version}")), version));
    for (id, version) in &chargers {
        let url = format!("ws://{}/ocpp", balancer.address());
        let charger = command
            .clone()
            .args(["--url", &url, "--id", id, "--version", version]);
        system.start_program(id, charger).await;
    }
    for (id, version) in &chargers {
        let connected = said(&system, id, "connected", |saying| saying["event"] == "connected").await;
        assert_eq!(connected["subprotocol"], format!("ocpp{version}"));
        for event in ["boot_accepted", "status_notified", "heartbeat"] {
            said(&system, id, event, |saying| saying["event"] == event).await;
        }
        assert_eq!(system.api(1).connected(id).await.pod_id, system.pod(1));
        answers(&system, id, version).await;
    }
    system.kill9("edge-1").await;
    balancer.open(system.edge(2)).await;
    for (id, version) in &chargers {
        let api = system.api(1);
        api.connection_where(id, "is on the other edge", |now| {
            now.connected && now.pod_id == system.pod(2)
        })
        .await;
        answers(&system, id, version).await;
        let failed: Vec<_> = sayings(&system, id)
            .into_iter()
            .filter(|s| s["event"] == "validation_failed")
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chargers_on_a_python_library_work_and_come_back() {
    let command = Guarded::new(python().await)
        .arg("-u")
        .arg(script("python/charger.py"));
    story("python", command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chargers_on_a_node_library_work_and_come_back() {
    let command = node().await.arg(script("node/charger.js"));
    story("node", command).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_generated_from_the_proto_files_sends_a_command() {
    let system = System::start(SystemSpec::new("python-client")).await;
    let companion = Companion::connected(&system.charger_id("served"), vec![system.edge(1)]).await;
    let client = Guarded::new(python().await).arg(script("python/grpc_client.py"));
    let client = client.args([
        "--address",
        &system.router(1).to_string(),
        "--charge-point",
        &companion.id,
    ]);
    let client = client.args([
        "--action",
        "Reset",
        "--payload",
        r#"{"type":"Soft"}"#,
        "--idempotency-key",
        "once",
    ]);
    for deduplicated in [false, true] {
        let printed = client.output().await.expect("the client ends well");
        let printed: Value = serde_json::from_str(&printed).expect("the client prints JSON");
        assert_eq!(
            printed["command"]["state"], "COMMAND_STATE_ACKNOWLEDGED",
            "{printed}"
        );
        assert_eq!(printed["sent"]["deduplicated"], deduplicated);
        assert_eq!(
            printed["command"]["answer"]["result_json"],
            r#"{"status":"Accepted"}"#
        );
    }
    assert_eq!(companion.calls().len(), 1);
}

/// Runs where `grpcurl` is installed; the same services are asked for by reflection in `commands.rs` everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_lists_describes_and_calls_without_files() {
    let Some(grpcurl) = find_program(&["grpcurl"]) else {
        say("skipped: there is no grpcurl on PATH");
        return;
    };
    let system = System::start(SystemSpec::new("grpcurl")).await;
    let router = system.router(1).to_string();
    let call = |words: &[&str]| Guarded::new(&grpcurl).arg("-plaintext").args(words.to_vec());
    let listed = call(&[&router, "list"]).output().await.unwrap();
    assert!(listed.contains("gateway.command.v1.CommandService"), "{listed}");
    let described = call(&[&router, "describe", "gateway.command.v1.SendCommandRequest"])
        .output()
        .await
        .unwrap();
    assert!(described.contains("charge_point_id"), "{described}");
    let request = format!(
        r#"{{"chargePointId":"{}","action":"Reset"}}"#,
        system.charger_id("absent")
    );
    let sent = call(&[
        "-d",
        &request,
        &router,
        "gateway.command.v1.CommandService/SendCommand",
    ]);
    let sent = sent.output().await.unwrap();
    assert!(sent.contains("COMMAND_STATE_PENDING"), "{sent}");
}
