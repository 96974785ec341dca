//! Scenarios of one charger, without a socket.

use std::path::PathBuf;
use std::time::Duration;

use ocpp::Version;
use serde_json::Value;

use super::*;
use crate::config::AnswerMix;

fn config(version: Version) -> Config {
    Config {
        log: Some(PathBuf::from("never opened")),
        ..Config::new("ws://127.0.0.1:1", 1, version)
    }
}

fn charger(config: Config) -> Charger {
    Charger::new("CP-1".to_owned(), &Arc::new(config), Dice::new(7))
}

fn at(ms: u64) -> Now {
    Now {
        wall_us: ms * 1000,
        mono_us: ms * 1000,
        machine_us: 0,
    }
}

/// The frames of a turn as JSON.
fn said(turn: &Turn) -> Vec<Value> {
    turn.frames
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// The log lines of a turn as JSON.
fn logged(turn: &Turn) -> Vec<Value> {
    std::str::from_utf8(&turn.log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Answers the one CALL of a turn.
fn answer(charger: &mut Charger, turn: &Turn, payload: &str, now: Now) -> Turn {
    let id = said(turn)[0][1].as_str().unwrap().to_owned();
    charger.received(&format!(r#"[3,"{id}",{payload}]"#), now)
}

#[test]
fn it_boots_once_and_tells_its_status_after_every_connect() {
    let mut charger = charger(config(Version::V16));
    let boot = charger.connected(at(0));
    assert_eq!(said(&boot)[0][2], "BootNotification");
    let status = answer(&mut charger, &boot, r#"{"status":"Accepted"}"#, at(1));
    assert_eq!(
        (said(&status)[0][2].as_str(), status.counts.booted),
        (Some("StatusNotification"), 1)
    );
    charger.disconnected("test", at(2));
    assert_eq!(said(&charger.connected(at(3)))[0][2], "StatusNotification");
}

#[test]
fn a_boot_that_is_not_accepted_is_repeated_later_and_nothing_else_is_said() {
    let mut charger = charger(config(Version::V201));
    let boot = charger.connected(at(0));
    let pending = answer(&mut charger, &boot, r#"{"status":"Pending"}"#, at(1));
    assert!(said(&pending).is_empty());
    assert_eq!(charger.next_due_us(), 5_001_000);
    assert_eq!(said(&charger.due(at(5001)))[0][2], "BootNotification");
}

#[test]
fn a_command_is_logged_before_its_answer_and_a_repeated_one_is_marked() {
    let mut charger = charger(config(Version::V16));
    charger.connected(at(0));
    let call = r#"[2,"c-1","Reset",{"type":
        "Soft"}]"#;
    let first = charger.received(call, at(1));
    let kinds: Vec<_> = logged(&first).iter().map(|line| line["kind"].clone()).collect();
    assert_eq!(kinds, ["call_received", "reply_sent"]);
    assert_eq!(logged(&first)[0]["payload"]["type"], "Soft");
    assert_eq!(logged(&first)[0].get("duplicate"), None);
    assert_eq!(first.frames, [r#"[3,"c-1",{"status":"Accepted"}]"#]);
    charger.disconnected("test", at(2));
    charger.connected(at(3));
    let again = charger.received(call, at(4));
    assert_eq!(logged(&again)[0]["duplicate"], true);
    assert_eq!(
        (logged(&again)[0]["conn"].as_u64(), again.frames),
        (Some(2), first.frames)
    );
}

#[test]
fn a_delayed_answer_is_given_when_due_and_lost_with_the_connection() {
    let mut charger = charger(Config {
        answer_delay_ms: (10, 10),
        ..config(Version::V16)
    });
    charger.connected(at(0));
    assert!(
        charger
            .received(r#"[2,"c-1","Reset",{}]"#, at(0))
            .frames
            .is_empty()
    );
    assert_eq!(charger.next_due_us(), 10_000);
    assert!(charger.due(at(9)).frames.is_empty());
    assert_eq!(charger.due(at(10)).counts.answered, 1);
    charger.received(r#"[2,"c-2","Reset",{}]"#, at(20));
    charger.disconnected("test", at(21));
    charger.connected(at(22));
    assert_eq!(charger.due(at(40)).counts.answered, 0);
}

#[test]
fn the_shares_decide_between_refusal_error_and_silence() {
    let mix = |rejected, errors, silent| AnswerMix {
        rejected,
        errors,
        silent,
    };
    let reply = |answers| {
        let mut charger = charger(Config {
            answers,
            ..config(Version::V16)
        });
        charger.connected(at(0));
        charger.received(r#"[2,"c-1","Reset",{}]"#, at(1)).frames
    };
    assert_eq!(reply(mix(1.0, 0.0, 0.0)), [r#"[3,"c-1",{"status":"Rejected"}]"#]);
    assert_eq!(
        reply(mix(0.0, 1.0, 0.0)),
        [r#"[4,"c-1","InternalError","simulated",{}]"#]
    );
    assert!(reply(mix(0.0, 0.0, 1.0)).is_empty());
}

#[test]
fn an_unknown_command_is_not_implemented() {
    let mut charger = charger(config(Version::V201));
    charger.connected(at(0));
    let turn = charger.received(r#"[2,"c-1","ChangeConfiguration",{}]"#, at(1));
    assert_eq!(said(&turn)[0][2], "NotImplemented");
}

#[test]
fn only_one_call_of_its_own_is_outstanding() {
    let config = Config {
        quiet: true,
        heartbeat: Duration::from_millis(10),
        ..config(Version::V16)
    };
    let mut charger = charger(config);
    assert!(charger.connected(at(0)).frames.is_empty());
    let first = charger.due(at(10));
    assert_eq!(said(&first)[0][2], "Heartbeat");
    assert!(charger.due(at(20)).frames.is_empty());
    assert_eq!(answer(&mut charger, &first, "{}", at(21)).counts.calls_sent, 1);
}

#[test]
fn a_transaction_message_is_repeated_with_its_id_until_it_is_answered() {
    let config = Config {
        quiet: true,
        heartbeat: Duration::ZERO,
        transaction: Duration::from_millis(100),
        ..config(Version::V16)
    };
    let mut charger = charger(config);
    charger.connected(at(0));
    let start = charger.due(at(100));
    assert_eq!(said(&start)[0][2], "StartTransaction");
    charger.disconnected("test", at(101));
    let again = charger.connected(at(102));
    assert_eq!(again.frames, start.frames);
    answer(&mut charger, &again, r#"{"transactionId":77}"#, at(103));
    let stop = charger.due(at(300));
    assert_eq!(
        (
            said(&stop)[0][2].as_str(),
            said(&stop)[0][3]["transactionId"].as_u64()
        ),
        (Some("StopTransaction"), Some(77))
    );
}

#[test]
fn a_call_without_an_answer_times_out_and_frees_the_way() {
    let config = Config {
        quiet: true,
        heartbeat: Duration::from_millis(10),
        call_timeout: Duration::from_millis(50),
        ..config(Version::V16)
    };
    let mut charger = charger(config);
    charger.connected(at(0));
    let first = charger.due(at(10));
    let second = charger.due(at(60));
    assert_eq!(second.counts.timeouts, 1);
    assert_eq!(said(&second)[0][2], "Heartbeat");
    assert_ne!(said(&first)[0][1], said(&second)[0][1]);
}

#[test]
fn a_transaction_of_2_x_counts_its_events() {
    let config = Config {
        quiet: true,
        heartbeat: Duration::ZERO,
        meter: Duration::from_millis(1000),
        transaction: Duration::from_millis(1500),
        ..config(Version::V21)
    };
    let mut charger = charger(config);
    charger.connected(at(0));
    let mut events = Vec::new();
    for ms in (0..6000).step_by(10) {
        let turn = charger.due(at(ms));
        if turn.counts.calls_sent > 0 {
            let call = said(&turn)[0].clone();
            events.extend(
                call[3]["eventType"]
                    .as_str()
                    .map(|kind| (kind.to_owned(), call[3]["seqNo"].as_u64())),
            );
            answer(&mut charger, &turn, "{}", at(ms));
        }
    }
    let first = events.iter().take_while(|(kind, _)| kind != "Ended").count();
    assert!(first >= 2, "{events:?}");
    let numbers: Vec<_> = events[..=first]
        .iter()
        .filter_map(|(_, number)| *number)
        .collect();
    assert_eq!(numbers, (0..=first as u64).collect::<Vec<_>>());
    assert_eq!(events[0].0, "Started");
}
