//! Runs that cannot be read: what the program says, and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::story::{Story, safe};

fn run(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_checker"))
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

/// The program ends with 2 and says this.
#[track_caller]
fn unreadable(folder: &Path, said: &str) {
    let output = run(folder, &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(said), "{stderr}");
}

fn story() -> Story {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story
}

#[test]
fn a_clean_run_ends_with_0_and_a_violated_one_with_1() {
    let folder = story().folder();
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("acknowledged means the charger"));
    let mut bad = story();
    bad.drop(|l| l["kind"] == "reply_sent");
    let output = run(bad.folder().path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("router-1.jsonl:"));
}

#[test]
fn the_json_has_the_keys_that_harnesses_read() {
    let output = run(story().folder().path(), &["--output", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["seed"], 7);
    assert_eq!(report["accepted"], 1);
    for key in [
        "lost",
        "duplicated_unsafe",
        "outcome_unknown",
        "violations",
        "recovery_ms",
    ] {
        assert_eq!(report[key], 0, "{key}");
    }
    assert_eq!(report["faults"], json!({}));
    assert_eq!(report["exercised"], json!([5]));
    assert_eq!(report["not_shown"].as_array().unwrap().len(), 23);
}

#[test]
fn a_mode_on_the_command_line_overrides_the_run() {
    let output = run(story().folder().path(), &["--mode", "liveness"]);
    assert_eq!(output.status.code(), Some(1), "it was never healed");
}

#[test]
fn a_missing_folder_file_or_history_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    unreadable(&empty.path().join("nowhere"), "run.json");
    unreadable(empty.path(), "cannot read");
    let folder = story().folder();
    std::fs::remove_file(folder.path().join("dump.jsonl")).unwrap();
    unreadable(folder.path(), "dump.jsonl");
    std::fs::write(empty.path().join("run.json"), "{\"seed\": 1}").unwrap();
    unreadable(empty.path(), "no history");
}

/// A run whose edge's second line is replaced.
fn with_line(text: &str) -> tempfile::TempDir {
    let folder = story().folder();
    let path = folder.path().join("edge-1.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[1] = text;
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    folder
}

#[test]
fn a_bad_line_is_an_error_with_its_place() {
    let said = |fields: &str, problem: &str| {
        let line = format!(r#"{{"t_us":1,"m_us":1,"proc":"edge-1","pid":1{fields}}}"#);
        unreadable(with_line(&line).path(), &format!("edge-1.jsonl:2: {problem}"));
    };
    said(r#","ev":"teleport""#, "unknown event `teleport`");
    said(r#","ev":"open","cp":"x""#, "`socket` is missing");
    said(r#","ev":"open","cp":"","socket":1"#, "`cp` is empty");
    said(r#","ev":"open","cp":"x","socket":"one""#, "invalid type");
    said(r#","kind":"melted","cp":"x""#, "unknown kind `melted`");
    said("", "neither `ev` nor `kind`");
    said(r#","ev":"get","id":"x","state":"DONE""#, "`state` is `DONE`");
    said(
        r#","ev":"ended","id":"x","state":"SENT","now_us":1"#,
        "`state` is `SENT`",
    );
    let timeless = r#"{"t_us":1,"proc":"edge-1","ev":"lapsed"}"#;
    unreadable(with_line(timeless).path(), "edge-1.jsonl:2: `m_us` is missing");
    unreadable(with_line("{not json").path(), "edge-1.jsonl:2: ");
}

#[test]
fn a_bad_run_or_dump_is_an_error() {
    let with = |name: &str, text: &str| {
        let folder = story().folder();
        std::fs::write(folder.path().join(name), text).unwrap();
        folder
    };
    unreadable(with("run.json", "{").path(), "run.json");
    unreadable(with("run.json", "{}").path(), "`seed` is missing");
    unreadable(
        with("run.json", r#"{"seed":1,"mode":"brave"}"#).path(),
        "`mode` is `brave`",
    );
    unreadable(
        with("run.json", r#"{"seed":1,"settings":{"lease_ms":"ten"}}"#).path(),
        "`lease_ms`",
    );
    unreadable(
        with("run.json", r#"{"seed":1,"settings":[]}"#).path(),
        "`settings`",
    );
    unreadable(with("dump.jsonl", "{\"key\":\"a\"}\n").path(), "dump.jsonl:1");
    unreadable(
        with(
            "dump.jsonl",
            r#"{"key":"hf:{s1}:due","type":"zset","ttl_ms":-1,"value":7}"#,
        )
        .path(),
        "sorted set",
    );
}

#[test]
fn the_torn_last_line_of_a_killed_process_is_forgiven_and_counted() {
    let folder = story().folder();
    let path = folder.path().join("edge-1.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    let torn = format!("{whole}{}", &whole[..40]);
    std::fs::write(&path, &torn).unwrap();
    let report = checker::check(folder.path(), None).unwrap();
    assert_eq!((report.torn_lines, report.violations), (1, 0));
    // The successor went on in the same file, with and without a line break between.
    let next = r#"{"t_us":1,"m_us":9000000,"proc":"edge-1","pid":2,"ev":"ready","value":false}"#;
    for glue in ["", "\n"] {
        std::fs::write(&path, format!("{torn}{glue}{next}\n")).unwrap();
        let report = checker::check(folder.path(), None).unwrap();
        assert_eq!((report.torn_lines, report.violations), (1, 0));
    }
    // The same process does not go on after a torn line.
    std::fs::write(
        &path,
        format!("{torn}\n{}\n", next.replace("\"pid\":2", "\"pid\":1")),
    )
    .unwrap();
    assert!(checker::check(folder.path(), None).is_err());
}
