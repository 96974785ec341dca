//! Invariants 1, 2, 3, 4 and 19: from the call to the end.

use serde_json::json;

use crate::story::{Story, redis, safe};

/// A command that was open during a fault, and a run that healed.
fn through_a_fault() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    story.fault("kill", "redis", 2_100, 4_000);
    let dispatch = story.dispatch(safe("c-1"), crate::story::LINK, 1, 4_500);
    story.write(safe("c-1"), crate::story::LINK, dispatch, 1, 4_510);
    story.receive(safe("c-1"), crate::story::LINK, 4_512);
    story.finish(safe("c-1"), crate::story::LINK, 4_520);
    story.healed(5_000, 6_000);
    story.until(200_000);
    story
}

#[test]
fn an_accepted_command_that_ends_after_a_fault_passes() {
    let report = through_a_fault().check();
    assert_eq!((report.accepted, report.lost), (1, 0));
    assert_eq!(report.faults, [("kill".to_owned(), 1)].into());
    // It was open at the heal of 4,000 ms and ended at 4,524 ms.
    assert_eq!(report.recovery_ms, 524);
    through_a_fault().shows(1);
}

#[test]
fn an_accepted_command_that_never_ends_is_lost() {
    let mut story = through_a_fault();
    story.drop(|l| {
        ["ended", "record", "published", "get", "answer"].contains(&l["ev"].as_str().unwrap_or(""))
            || l["kind"] == "answer"
    });
    let report = story.breaks(1);
    assert_eq!(report.lost, 1);
    assert_eq!(report.details[0].command, "c-1");
    assert!(report.details[0].lines[0].starts_with("client.jsonl:"));
}

#[test]
fn an_accepted_command_that_nobody_knows_is_lost_in_safety_mode_too() {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    story.line("client", 3_000, "get", json!({"id": "c-1", "state": "NOT_FOUND"}));
    assert_eq!(story.breaks(1).lost, 1);
    story.run["settings"]["durability"] = json!("relaxed");
    story.fault("kill", "redis", 2_500, 2_800);
    let report = story.check();
    assert_eq!((report.lost, report.violations), (0, 0), "relaxed may forget it");
}

#[test]
fn an_end_long_after_the_deadline_is_too_late() {
    let mut story = through_a_fault();
    story.edit("call", |l| {
        l["deadline_us"] = json!(redis(3_000));
        true
    });
    story.drop(|l| l["ev"] == "write" || l["kind"] == "call_received" || l["ev"] == "answer");
    let is_end = |l: &serde_json::Value| l["ev"] == "ended" || l["ev"] == "get" || l["ev"] == "applied";
    story.drop(|l| l["kind"] == "reply_sent" || is_end(l) || l["ev"] == "record" || l["ev"] == "published");
    let mut in_time = story.clone();
    in_time.end(safe("c-1"), "EXPIRED", "", 8_900);
    in_time.shows(1);
    // Quiet begins at the heal, 4,000 ms, and 5 s are allowed from then.
    story.end(safe("c-1"), "EXPIRED", "", 9_900);
    story.breaks(1);
}

/// A call that failed, and its repetition.
fn repeated_call() -> Story {
    let mut story = Story::new();
    let n = story.call(safe("c-1"), "k", "p", 1_500);
    story.reply(n, 1_800, json!({"ok": false, "code": "UNAVAILABLE"}));
    let n = story.call(safe("c-1"), "k", "p", 1_900);
    story.reply(n, 1_950, json!({"ok": true, "id": "c-1", "dedup": true}));
    let n = story.call(safe("c-1"), "k", "p", 2_000);
    story.reply(n, 2_050, json!({"ok": true, "id": "c-1", "dedup": true}));
    story
}

#[test]
fn a_failed_call_that_its_key_settles_passes() {
    repeated_call().shows(2);
}

#[test]
fn a_key_that_names_two_commands_is_flagged() {
    let mut story = repeated_call();
    story.edit("reply", |l| {
        let last = l["n"] == 3;
        if last {
            l["id"] = json!("c-2");
        }
        last
    });
    let report = story.breaks(2);
    assert_eq!(report.details[0].lines, ["client.jsonl:4", "client.jsonl:6"]);
}

#[test]
fn a_call_that_was_refused_for_good_settles_nothing() {
    let mut story = repeated_call();
    story.edit("reply", |l| {
        let first = l["n"] == 1;
        if first {
            l["code"] = json!("InvalidArgument");
        }
        first
    });
    assert!(!story.check().exercised.contains(&2));
}

/// A key with another content.
fn other_content() -> Story {
    let mut story = Story::new();
    let n = story.call(safe("c-1"), "k", "p", 1_500);
    story.reply(n, 1_800, json!({"ok": true, "id": "c-1"}));
    let n = story.call(safe("c-1"), "k", "q", 1_900);
    story.reply(n, 1_950, json!({"ok": false, "code": "ALREADY_EXISTS"}));
    story
}

#[test]
fn another_content_that_is_refused_passes() {
    other_content().shows(3);
}

#[test]
fn another_content_that_is_accepted_is_flagged() {
    let mut story = other_content();
    story.edit("reply", |l| {
        let second = l["n"] == 2;
        if second {
            *l = json!({"t_us": 1, "m_us": 1_950_000, "proc": "client", "pid": 1, "ev": "reply", "n": 2,
                "ok": true, "id": "c-2"});
        }
        second
    });
    story.breaks(3);
}

#[test]
fn the_only_content_that_is_refused_as_another_is_flagged() {
    let mut story = other_content();
    story.edit("call", |l| {
        l["payload_hash"] = json!("p");
        true
    });
    story.breaks(3);
}

/// Something comes for a command that ended.
fn late_event() -> Story {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.apply("router-2", "c-1", "timer", 0, ("ended", "ACKNOWLEDGED"), 2_500);
    story
}

#[test]
fn an_end_that_stands_passes() {
    late_event().shows(4);
}

#[test]
fn an_end_that_changes_is_flagged_wherever_it_shows() {
    let mut by_record = late_event();
    by_record.edit("record", |l| {
        (l["state"], l["possibly_written"]) = (json!("CANCELLED"), json!(true));
        true
    });
    by_record.breaks(4);
    let mut by_time = late_event();
    by_time.edit("get", |l| {
        l["ended_us"] = json!(redis(2_400));
        true
    });
    by_time.breaks(4);
    let mut open_again = late_event();
    open_again.line("client", 3_000, "get", json!({"id": "c-1", "state": "PENDING"}));
    open_again.breaks(4);
    let mut two_records = late_event();
    two_records.publish(safe("c-1"), "ACKNOWLEDGED", "", 3_000, false);
    two_records.shows(4);
    two_records.edit("record", |l| {
        let second = l["offset"] == 2;
        if second {
            (l["record_id"], l["seq"]) = (json!("other"), json!(9));
        }
        second
    });
    two_records.breaks(4);
    let mut revived = late_event();
    revived.apply("router-2", "c-1", "timer", 0, ("applied", "PENDING"), 3_000);
    revived.breaks(4);
}

#[test]
fn under_relaxed_an_end_may_be_taken_back_by_the_loss_of_redis() {
    let mut story = late_event();
    story.edit("record", |l| {
        l["state"] = json!("CANCELLED");
        true
    });
    story.run["settings"]["durability"] = json!("relaxed");
    story.fault("kill", "redis", 2_600, 2_700);
    assert_eq!(story.check().violations, 0);
}

/// Two open commands are allowed, a third is refused until one has ended.
fn full_queue() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    story.accept(safe("c-2"), 2_100);
    let n = story.call(safe("c-3"), "c-3", "p", 2_200);
    story.reply(n, 2_210, json!({"ok": false, "code": "RESOURCE_EXHAUSTED"}));
    story.end(safe("c-1"), "CANCELLED", "", 2_400);
    story.accept(safe("c-4"), 2_500);
    story
}

#[test]
fn a_queue_that_refuses_at_its_bound_passes() {
    full_queue().shows(19);
}

#[test]
fn a_queue_beyond_its_bound_is_flagged() {
    let mut story = full_queue();
    story.accept(safe("c-5"), 2_600);
    let report = story.breaks(19);
    assert_eq!(report.details[0].charger, "cp-1");
}

#[test]
fn a_call_that_was_refused_for_the_bound_and_stored_is_flagged() {
    let mut story = full_queue();
    story
        .dump
        .push(json!({"key": "hf:{s1}:k:cp-1:c-3", "type": "string", "ttl_ms": -1, "value": "x|y"}));
    story.breaks(19);
}

#[test]
fn under_relaxed_a_command_that_redis_forgot_takes_no_place_in_the_queue() {
    let mut story = full_queue();
    story.accept(safe("c-5"), 2_600);
    story.fault("kill", "redis", 2_700, 2_800);
    story.breaks(19);
    story.run["settings"]["durability"] = json!("relaxed");
    assert_eq!(story.check().violations, 0);
}

#[test]
fn a_key_that_was_refused_once_and_called_again_without_an_answer_may_be_stored() {
    let mut story = full_queue();
    story.call(safe("c-3"), "c-3", "p", 2_600);
    story
        .dump
        .push(json!({"key": "hf:{s1}:k:cp-1:c-3", "type": "string", "ttl_ms": -1, "value": "x|y"}));
    story.shows(19);
}
