//! The embedded broker as a process: its ready file, its topics, and the ways it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use bus::{BusConfig, Lane, LaneConsumer, Producer, StartAt, describe};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{DEADLINE, next_texts, produce};

/// Starts the binary and waits for its ready file.
fn start(folder: &Path) -> (Child, String) {
    let ready = folder.join("ready.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_embedded-broker"))
        .args([
            "--topic",
            "commands:3",
            "--topic",
            "results:1",
            "--exit-on-stdin-close",
            "--ready-file",
        ])
        .arg(&ready)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let text = poll(|| std::fs::read_to_string(&ready).ok());
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["pid"], child.id());
    assert!(child.try_wait().unwrap().is_none());
    (child, said["bootstrap"].as_str().unwrap().to_owned())
}

/// Asks again until there is an answer.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        std::thread::yield_now();
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    poll(|| child.try_wait().unwrap())
}

#[tokio::test]
async fn other_processes_use_its_topics() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, bootstrap) = start(folder.path());
    let config = BusConfig {
        fetch_wait_max_ms: 5,
        ..BusConfig::at(bootstrap)
    };
    assert_eq!(describe(&config, "commands").await.unwrap(), Some(3));
    assert_eq!(describe(&config, "results").await.unwrap(), Some(1));
    let lane = Lane::new("commands", 2);
    let mut consumer = LaneConsumer::start(&config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    produce(
        &Producer::new(&config).unwrap(),
        &lane,
        ["a", "b"].map(String::from),
    )
    .await;
    assert_eq!(next_texts(&mut consumer, 2).await, ["a", "b"]);
    drop(child.stdin.take());
    assert!(ended(&mut child).success());
}

#[test]
fn it_ends_when_its_standard_input_closes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _) = start(folder.path());
    drop(child.stdin.take());
    assert!(ended(&mut child).success());
}

#[test]
fn it_ends_on_signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, _) = start(folder.path());
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert!(ended(&mut child).success(), "{signal}");
    }
}

#[test]
fn a_malformed_topic_is_refused() {
    for topic in ["commands", "commands:0", "commands:many", ":3"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_embedded-broker"))
            .args(["--topic", topic, "--ready-file", "unused"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(!ended(&mut child).success());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(topic), "{said}");
    }
}
