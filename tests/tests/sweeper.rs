//! The sweeper against a store that was damaged by hand: what is derived wrongly is found and derived again, a
//! second pass is clean, and a dry run changes nothing.

#![allow(clippy::unwrap_used, reason = "this is test code: a failure is a panic")]

use domain::ids::ChargePointId;
use integration::api::safe_command;
use integration::tools::Tools;
use integration::wait::within;
use integration::{System, SystemSpec};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use wire::gateway::command::v1::CommandState;

/// The report and the exit code of one pass.
async fn sweep(system: &System, flags: &[&str]) -> (Value, i32) {
    let tools = Tools::get().await;
    let mut command = Command::new(tools.binaries.path("registry-sweeper"));
    command
        .arg("--set")
        .arg(format!("redis.url=redis://{}", system.redis()))
        .args(["--output", "json"])
        .args(flags);
    for name in integration::tools::variables_to_hide() {
        command.env_remove(name);
    }
    let output = within("the sweeper ends", command.output()).await.unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (report, output.status.code().unwrap())
}

/// One command of Redis, by its inline protocol; returns what it answers.
async fn redis(system: &System, command: &str) -> String {
    let mut stream = TcpStream::connect(system.redis()).await.unwrap();
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = vec![0; 4_096];
    let read = within("Redis answers", stream.read(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// The base of the keys of a charger's slot.
fn base(charger: &str) -> String {
    format!("hf:{{s{}}}", ChargePointId::parse(charger).unwrap().slot(64))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_repaired_and_then_gone() {
    let system = System::start(SystemSpec::new("sweeper").edges(0)).await;
    let api = system.api(1);
    let charger = system.charger_id("cp");
    let id = api.send(safe_command(&charger, "ClearCache")).await;
    assert_eq!(sweep(&system, &[]).await.1, 0, "a sound store is clean");

    let base = base(&charger);
    assert_eq!(redis(&system, &format!("ZREM {base}:due {id}")).await, ":1\r\n");
    assert_eq!(
        redis(&system, &format!("ZREM {base}:q:{charger} {id}")).await,
        ":1\r\n"
    );
    redis(&system, &format!("HSET {base}:d:{charger} op 7")).await;
    redis(
        &system,
        &format!("ZADD {base}:due 9000000000000000 0190163d-8694-739b-9c6b-d1ff5d1e3f00"),
    )
    .await;

    let (report, code) = sweep(&system, &["--dry-run"]).await;
    assert_eq!(code, 3);
    for (kind, count) in [("timer", 2), ("queue", 1), ("count", 1)] {
        assert_eq!(report["findings"][kind]["count"], count, "{kind} in {report}");
    }
    assert_eq!(
        sweep(&system, &["--dry-run"]).await.0["findings"],
        report["findings"],
        "a dry run changes nothing"
    );
    assert_eq!(sweep(&system, &[]).await.1, 3);
    let (report, code) = sweep(&system, &[]).await;
    assert_eq!(code, 0, "{report}");
    assert_eq!(
        api.get(&id).await.state(),
        CommandState::Pending,
        "a repair never moves a command"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_sweeper_fails_and_says_so() {
    let tools = Tools::get().await;
    let mut command = Command::new(tools.binaries.path("registry-sweeper"));
    command.args([
        "--set",
        "redis.url=redis://127.0.0.1:1",
        "--set",
        "redis.connect_timeout_ms=300",
    ]);
    for name in integration::tools::variables_to_hide() {
        command.env_remove(name);
    }
    let output = within("the sweeper ends", command.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("connecting to Redis"));
}
