//! The program as a child process: its flags, and how it ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn simulator() -> Command {
    Command::new(env!("CARGO_BIN_EXE_simulator"))
}

#[test]
fn ids_are_listed_without_connecting() {
    let output = simulator()
        .args(["--list-ids", "--count", "2", "--prefix", "X-", "--first", "7"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "X-000007\nX-000008\n");
}

#[test]
fn a_bad_url_is_refused_with_a_reason() {
    let output = simulator()
        .args(["--url", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("no ws:// URL"));
}

#[test]
fn it_ends_with_a_report_when_standard_input_closes() {
    let mut child = simulator()
        .args([
            "--url",
            "ws://127.0.0.1:1",
            "--count",
            "1",
            "--exit-on-stdin-close",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it is still running");
        }
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["connected"], 0);
}
