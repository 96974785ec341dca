//! The program as a shell sees it: exit codes and streams of the real binary.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::{Command, Output};

fn gatewayctl(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatewayctl"))
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_names_every_exit_status() {
    let output = gatewayctl(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for status in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 70] {
        assert!(
            help.contains(&format!("\n{status:>4}  ")),
            "status {status} is not explained in {help}"
        );
    }
}

#[test]
fn a_usage_error_is_status_2_with_the_reason_on_stderr() {
    let output = gatewayctl(&["send"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("<CHARGE_POINT>"), "{output:?}");
}

#[test]
fn no_router_is_status_5() {
    let output = gatewayctl(&["--router", "127.0.0.1:1", "--retries", "0", "get", "c-1"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(text(&output.stderr).contains("127.0.0.1:1"), "{output:?}");
}

#[test]
fn the_environment_names_the_router() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatewayctl"));
    let output = command
        .args(["--retries", "0", "get", "c-1"])
        .env_clear()
        .env("GATEWAYCTL_ROUTER", "127.0.0.1:2,127.0.0.1:3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let reasons = text(&output.stderr);
    assert!(
        reasons.contains("127.0.0.1:2") && reasons.contains("127.0.0.1:3"),
        "{reasons}"
    );
}

#[test]
fn completion_scripts_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = gatewayctl(&["completion", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("watch"), "{shell}");
    }
}
