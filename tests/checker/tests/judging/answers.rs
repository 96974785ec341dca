//! Invariants 5, 6, 7 and 8: what the charger said, and what is out of date.

use serde_json::json;

use crate::story::{LINK, Story, redis, safe};

#[test]
fn an_acknowledged_command_that_the_charger_answered_passes() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.shows(5);
}

#[test]
fn an_acknowledged_command_that_the_charger_never_answered_is_flagged() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    let mut unasked = story.clone();
    unasked.drop(|l| l["kind"] == "call_received" || l["kind"] == "reply_sent");
    unasked.breaks(5);
    let mut elsewhere = story.clone();
    elsewhere.edit("reply_sent", |l| {
        l["cp"] = json!("cp-2");
        true
    });
    elsewhere.breaks(5);
    story.drop(|l| l["kind"] == "reply_sent");
    story.breaks(5);
}

#[test]
fn an_acknowledgement_that_comes_before_the_reply_is_flagged() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.edit("reply_sent", |l| {
        l["m_us"] = json!(2_900_000);
        true
    });
    story.breaks(5);
}

/// A charger that refuses.
fn refusal() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    let dispatch = story.dispatch(safe("c-1"), LINK, 1, 2_005);
    story.write(safe("c-1"), LINK, dispatch, 1, 2_010);
    story.receive(safe("c-1"), LINK, 2_012);
    story.answer(
        safe("c-1"),
        LINK,
        2_020,
        json!({"payload": {"status": "Rejected"}}),
    );
    story.apply("router-1", "c-1", "answer", 0, ("applied", "ACKNOWLEDGED"), 2_024);
    story.end(safe("c-1"), "ACKNOWLEDGED", "", 2_024);
    story.edit("get", |l| {
        l["answer"] = json!({"result": "{\"status\":\"Rejected\"}"});
        true
    });
    story
}

#[test]
fn a_refusal_that_is_recorded_and_not_retried_passes() {
    refusal().shows(6);
    let mut error = refusal();
    error.edit("reply_sent", |l| {
        l["error_code"] = json!("NotSupported");
        true
    });
    error.edit("get", |l| {
        l["answer"] = json!({"error": {"code": "NotSupported", "description": "", "details": {}}});
        true
    });
    error.shows(6);
}

#[test]
fn a_refusal_that_is_recorded_as_something_else_is_flagged() {
    let mut story = refusal();
    story.edit("get", |l| {
        l["answer"] = json!({"result": {"status": "Accepted"}});
        true
    });
    story.breaks(6);
}

#[test]
fn a_refusal_that_ends_the_command_otherwise_or_not_at_all_is_flagged() {
    let mut failed = refusal();
    failed.edit("answer", |l| {
        let decided = l["ev"] == "applied";
        if decided {
            l["status"] = json!("FAILED");
        }
        decided
    });
    for ev in ["ended", "record", "get"] {
        failed.edit(ev, |l| {
            l["state"] = json!("FAILED");
            true
        });
    }
    failed.publish(safe("c-1"), "FAILED", "", 2_030, true);
    failed.breaks(6);
    let mut dropped = refusal();
    dropped.drop(|l| {
        ["applied", "ended", "published", "record", "get"]
            .iter()
            .any(|ev| l["ev"] == *ev)
    });
    assert_eq!(dropped.check().violations, 0, "it may be under way");
    dropped.until(20_000);
    dropped.breaks(6);
}

#[test]
fn a_refusal_that_is_retried_is_flagged() {
    let mut claimed = refusal();
    claimed.dispatch(safe("c-1"), LINK, 2, 2_100);
    claimed.breaks(6);
    let mut written = refusal();
    written.write(safe("c-1"), LINK, redis(2_005) + 1, 2, 2_100);
    written.breaks(6);
}

/// Attempt 1 is answered after its timer brought attempt 2 on its way.
fn late_answer() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    let first = story.dispatch(safe("c-1"), LINK, 1, 2_005);
    story.write(safe("c-1"), LINK, first, 1, 2_010);
    story.receive(safe("c-1"), LINK, 2_012);
    story.apply("router-1", "c-1", "timer", first, ("applied", "PENDING"), 7_010);
    story.dispatch(safe("c-1"), LINK, 2, 7_100);
    story.finish(safe("c-1"), LINK, 7_105);
    story.until(40_000);
    story
}

#[test]
fn a_late_answer_that_ends_the_command_passes() {
    late_answer().shows(7);
}

#[test]
fn an_answer_in_time_does_not_exercise_the_late_one() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    assert!(!story.check().exercised.contains(&7));
}

#[test]
fn a_write_after_a_late_answer_is_flagged() {
    let mut story = late_answer();
    story.write(safe("c-1"), LINK, redis(7_100) + 1, 2, 7_130);
    story.receive(safe("c-1"), LINK, 7_132);
    story.breaks(7);
}

#[test]
fn a_write_by_another_edge_after_a_late_answer_is_a_declared_bound() {
    let mut story = late_answer();
    story.edit("answer", |l| {
        let edge = l["proc"] == "edge-1";
        if edge {
            l["proc"] = json!("edge-2");
        }
        edge
    });
    story.write(safe("c-1"), LINK, redis(7_100) + 1, 2, 7_130);
    story.shows(7);
}

#[test]
fn a_late_answer_that_ends_nothing_is_flagged() {
    let mut story = late_answer();
    story.drop(|l| l["kind"] == "answer");
    for (ev, state) in [("ended", "FAILED"), ("record", "FAILED"), ("get", "FAILED")] {
        story.edit(ev, |l| {
            l["state"] = json!(state);
            true
        });
    }
    story.breaks(7);
}

/// A notice of the first dispatch comes when the second is out.
fn stale_notice() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    let first = story.dispatch(safe("c-1"), LINK, 1, 2_005);
    story.apply("router-1", "c-1", "timer", first, ("applied", "PENDING"), 8_010);
    let second = story.dispatch(safe("c-1"), LINK, 1, 8_100);
    story.apply("router-1", "c-1", "notready", first, ("stale", "SENT"), 8_200);
    story.write(safe("c-1"), LINK, second, 1, 8_210);
    story.apply(
        "router-1",
        "c-1",
        "written",
        second,
        ("applied", "DELIVERED"),
        8_220,
    );
    story.receive(safe("c-1"), LINK, 8_212);
    story.finish(safe("c-1"), LINK, 8_230);
    story
}

#[test]
fn a_stale_notice_that_is_refused_passes() {
    stale_notice().shows(8);
}

#[test]
fn a_stale_notice_that_takes_effect_is_flagged() {
    let mut story = stale_notice();
    story.edit("notready", |l| {
        l["verdict"] = json!("applied");
        true
    });
    story.breaks(8);
    let mut other_version = stale_notice();
    other_version.edit("written", |l| {
        l["version"] = json!(99);
        true
    });
    other_version.breaks(8);
}

#[test]
fn an_answer_that_an_open_command_refuses_is_flagged() {
    let mut story = stale_notice();
    story.apply("router-1", "c-1", "answer", 0, ("stale", "DELIVERED"), 8_215);
    story.breaks(8);
}

#[test]
fn under_relaxed_an_answer_may_meet_an_end_that_redis_forgot() {
    let mut story = stale_notice();
    story.apply("router-1", "c-1", "answer", 0, ("ended", "EXPIRED"), 8_205);
    let flagged = |story: &Story| {
        let report = story.check();
        let mut rows = report.invariants.iter();
        rows.any(|row| row.invariant == 8 && row.violations > 0)
    };
    let killed = |from_ms, durability| {
        let mut story = story.clone();
        story.fault("kill", "redis", from_ms, from_ms + 2);
        story.run["settings"]["durability"] = json!(durability);
        story
    };
    assert!(flagged(&killed(8_206, "fsync")));
    assert!(
        flagged(&killed(8_240, "relaxed")),
        "the end on record is from before"
    );
    assert!(flagged(&killed(12_000, "relaxed")), "so old an end is not lost");
    assert_eq!(killed(8_206, "relaxed").check().violations, 0);
}
