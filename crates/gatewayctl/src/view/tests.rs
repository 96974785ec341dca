//! The looks of commands and connections, pinned: scripts read the JSON, people the tables.

use prost_types::Timestamp;
use wire::gateway::command::v1::{
    Answer, Attempt, AttemptOutcome, CallError, Command, CommandState, DeadLetter, DeadLetterReason,
    FailureReason, Priority, RedeliveryClass, ReplayOutcome, answer::Kind,
};
use wire::gateway::registry::v1::Connection;

use super::command::CommandView;
use super::connection::ConnectionView;
use super::dead_letter::{BulkReplayView, DeadLetterView, PurgeView, ReplayView};
use super::json::Json;
use super::printable;
use crate::table;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: 1_900_000_000 + seconds,
        nanos: 250_000_000,
    })
}

fn answered() -> Command {
    Command {
        command_id: "01890000-0000-7000-8000-000000000001".to_owned(),
        charge_point_id: "CP-1".to_owned(),
        action: "RemoteStartTransaction".to_owned(),
        priority: Priority::Normal.into(),
        redelivery_class: RedeliveryClass::Unsafe.into(),
        state: CommandState::Acknowledged.into(),
        answer: Some(Answer {
            kind: Some(Kind::ResultJson("{ \"status\": \"Accepted\" }".to_owned())),
        }),
        attempts: 1,
        last_pod_id: "edge-1".to_owned(),
        created_at: at(0),
        deadline: at(300),
        ended_at: at(1),
        revision: 4,
        payload_json: "{\n  \"idTag\": \"a b\\\" c\",\n  \"connectorId\": 1.0\n}".to_owned(),
        ..Command::default()
    }
}

fn refused() -> Command {
    let error = CallError {
        code: "InternalError".to_owned(),
        description: "\u{1b}[31mred".to_owned(),
        details_json: "{}".to_owned(),
    };
    Command {
        answer: Some(Answer {
            kind: Some(Kind::Error(error)),
        }),
        payload_json: String::new(),
        ..answered()
    }
}

fn unknown() -> Command {
    Command {
        state: CommandState::Failed.into(),
        failure_reason: FailureReason::OutcomeUnknown.into(),
        possibly_written: true,
        answer: None,
        ..answered()
    }
}

fn waiting() -> Command {
    Command {
        priority: 99,
        state: CommandState::Pending.into(),
        cancel_requested: true,
        answer: None,
        attempts: 0,
        last_pod_id: String::new(),
        ended_at: None,
        revision: 1,
        ..answered()
    }
}

fn connected() -> Connection {
    Connection {
        charge_point_id: "CP-1".to_owned(),
        pod_id: "edge-1".to_owned(),
        incarnation: 1_900_000_000_000_000,
        version: 1_900_000_000_000_001,
        connected: true,
        ocpp_version: "ocpp1.6".to_owned(),
        registered_at: at(0),
        expires_at: at(60),
        open_commands: 12,
    }
}

#[test]
fn the_json_of_commands_is_pinned() {
    let views = [answered(), refused(), unknown(), waiting()].map(CommandView::from);
    let lines: Vec<String> = views
        .iter()
        .map(|view| serde_json::to_string(view).unwrap())
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_tables_of_commands_are_pinned() {
    let views = [answered(), refused(), unknown(), waiting()].map(CommandView::from);
    let single: Vec<String> = views.iter().map(table::command).collect();
    let changes: Vec<String> = views.iter().map(table::change).collect();
    insta::assert_snapshot!(format!(
        "{}\n\n{}\n\n{}",
        single.join("\n\n"),
        table::commands(&views),
        changes.join("\n")
    ));
}

fn letter(replayed_as: &str, attempts: Vec<Attempt>) -> DeadLetter {
    DeadLetter {
        command: Some(Command {
            replay_of: "01890000-0000-7000-8000-000000000000".to_owned(),
            attempts: 12,
            ..unknown()
        }),
        reason: DeadLetterReason::OutcomeUnknown.into(),
        attempts,
        replayed_as: replayed_as.to_owned(),
    }
}

fn dead_letters() -> [DeadLetterView; 2] {
    let attempt = |number: u32, outcome: AttemptOutcome| Attempt {
        number,
        at: at(i64::from(number)),
        pod_id: "edge-1".to_owned(),
        incarnation: 1_900_000_000_000_000,
        connection_version: 1_900_000_000_000_001,
        outcome: outcome.into(),
    };
    let attempts = vec![
        attempt(11, AttemptOutcome::NotWritten),
        attempt(12, AttemptOutcome::Unknown),
    ];
    let replayed_as = "01890000-0000-7000-8000-000000000002";
    [letter(replayed_as, attempts), letter("", Vec::new())].map(DeadLetterView::from)
}

#[test]
fn dead_letters_are_pinned() {
    let views = dead_letters();
    let json: Vec<String> = views
        .iter()
        .map(|view| serde_json::to_string(view).unwrap())
        .collect();
    let single: Vec<String> = views.iter().map(table::dead_letter::one).collect();
    let parts = [json, single, vec![table::dead_letter::many(&views)]].concat();
    insta::assert_snapshot!(parts.join("\n\n"));
}

#[test]
fn replays_and_purges_are_pinned() {
    let outcome = |id: &str, command: &str, deduplicated, problem: &str| ReplayOutcome {
        dead_letter_id: id.to_owned(),
        command_id: command.to_owned(),
        deduplicated,
        problem: problem.to_owned(),
    };
    let outcomes = |dry_run| {
        [
            outcome("d-1", "c-1", false, ""),
            outcome("d-2", "c-2", true, ""),
            outcome("d-3", "", false, "unsafe to repeat"),
        ]
        .map(|outcome| ReplayView::of_many(outcome, dry_run))
        .to_vec()
    };
    let done = BulkReplayView::new(false, outcomes(false), true);
    let rehearsed = BulkReplayView::new(true, outcomes(true), false);
    let nothing = BulkReplayView::new(false, Vec::new(), false);
    let purge = |dry_run| PurgeView {
        dry_run,
        command_ids: vec!["d-1".to_owned(), "d-2".to_owned()],
        more: false,
    };
    let texts = [
        serde_json::to_string(&done).unwrap(),
        serde_json::to_string(&purge(true)).unwrap(),
        table::dead_letter::replays(&done),
        table::dead_letter::replays(&rehearsed),
        table::dead_letter::replays(&nothing),
        table::dead_letter::replay(&done.outcomes[0]),
        table::dead_letter::replay(&rehearsed.outcomes[2]),
        table::dead_letter::purge(&purge(false)),
        table::dead_letter::purge(&purge(true)),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn connections_are_pinned() {
    let views = [
        connected(),
        Connection {
            charge_point_id: "CP-2".to_owned(),
            ..Connection::default()
        },
    ]
    .map(ConnectionView::from);
    let json = serde_json::to_string(&views).unwrap();
    insta::assert_snapshot!(format!(
        "{json}\n\n{}\n\n{}",
        table::connection(&views[0]),
        table::connections(&views)
    ));
}

#[test]
fn foreign_json_keeps_digits_and_order_and_loses_its_line_breaks() {
    let json =
        Json::new("{\n \"b\": 1.00,\t\"a\": 12345678901234567890123, \"s\": \"x \\\" \\\\\" }").unwrap();
    assert_eq!(
        json.as_str(),
        "{\"b\":1.00,\"a\":12345678901234567890123,\"s\":\"x \\\" \\\\\"}"
    );
}

#[test]
fn what_is_not_json_is_shown_as_a_string() {
    assert_eq!(Json::new("{oops").unwrap().as_str(), "\"{oops\"");
    assert_eq!(Json::new("1 2").unwrap().as_str(), "\"1 2\"");
    assert!(Json::new("").is_none());
}

#[test]
fn a_charger_cannot_steer_the_terminal() {
    assert_eq!(printable("a\u{1b}[2Jb\u{9b}c\r"), "a\\u{1b}[2Jb\\u{9b}c\\r");
}
