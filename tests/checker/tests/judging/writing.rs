//! Invariants 12, 13, 14 and 15: what is written when, and how often.

use serde_json::json;

use crate::story::{Cmd, LINK, Story, redis, risky, safe};

const URGENT: Cmd = Cmd {
    priority: 3,
    ..safe("urgent")
};

/// The second command was on its way while the first was out.
fn two_commands(second_ms: u64) -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    story.accept(safe("c-2"), 2_001);
    let first = story.dispatch(safe("c-1"), LINK, 1, 2_005);
    story.write(safe("c-1"), LINK, first, 1, 2_010);
    story.receive(safe("c-1"), LINK, 2_012);
    let second = story.dispatch(safe("c-2"), LINK, 1, 2_015);
    story.finish(safe("c-1"), LINK, 2_500);
    story.write(safe("c-2"), LINK, second, 1, second_ms);
    story.receive(safe("c-2"), LINK, second_ms + 2);
    story.finish(safe("c-2"), LINK, second_ms.max(2_501) + 10);
    story
}

#[test]
fn a_command_that_waits_for_the_one_before_passes() {
    two_commands(2_502).shows(12);
}

#[test]
fn a_command_that_does_not_wait_for_the_one_before_is_flagged() {
    let report = two_commands(2_100).breaks(12);
    assert_eq!(report.details[0].command, "c-2");
    assert_eq!(report.details[0].lines.len(), 2);
}

#[test]
fn after_its_timeout_a_call_is_not_in_flight_any_more() {
    let mut story = two_commands(7_020);
    story.edit("reply_sent", |l| {
        let first = l["message_id"] == "c-1";
        if first {
            l["m_us"] = json!(2_500_000);
        }
        first
    });
    story.drop(|l| l["ev"] == "answer" && l["id"] == "c-1");
    story.drop(|l| l["kind"] == "reply_sent" && l["message_id"] == "c-1");
    story.drop(|l| {
        l["id"] == "c-1"
            && ["ended", "applied", "record", "get", "published"].contains(&l["ev"].as_str().unwrap())
    });
    assert_eq!(story.check().violations, 0);
}

/// An urgent command comes while a lower one is out; so many lower ones are written before it.
fn overtaking(lower: usize) -> Story {
    let ids = ["l-1", "l-2", "l-3"];
    let mut story = Story::new();
    story.run["settings"]["max_open_per_charger"] = json!(10);
    story.accept(URGENT, 2_000);
    let dispatch = story.dispatch(URGENT, LINK, 1, 2_001);
    story.take(URGENT, LINK, dispatch, 2_015);
    for (i, id) in ids.into_iter().take(lower + 1).enumerate() {
        let ms = 2_010 + 100 * i as u64;
        story.accept(safe(id), 2_000);
        let dispatch = story.dispatch(safe(id), LINK, 1, ms - 5);
        story.take(safe(id), LINK, dispatch, ms - 2);
        story.write(safe(id), LINK, dispatch, 1, ms);
        story.receive(safe(id), LINK, ms + 2);
        story.finish(safe(id), LINK, ms + 50);
    }
    story.write(URGENT, LINK, dispatch, 1, 2_900);
    story.receive(URGENT, LINK, 2_902);
    story.finish(URGENT, LINK, 2_910);
    story
}

#[test]
fn an_urgent_command_that_waits_for_one_lower_write_passes() {
    overtaking(0).shows(13);
    overtaking(1).shows(13);
}

#[test]
fn an_urgent_command_that_waits_for_two_lower_writes_is_flagged() {
    let report = overtaking(2).breaks(13);
    assert_eq!(report.details[0].command, "urgent");
}

#[test]
fn without_the_edge_word_a_command_counts_as_arrived_a_second_after_its_dispatch() {
    let mut story = overtaking(2);
    story.drop(|l| l["ev"] == "taken");
    assert_eq!(story.check().violations, 0);
    story.edit("dispatch", |l| {
        let urgent = l["id"] == "urgent";
        if urgent {
            l["m_us"] = json!(1_010_000);
        }
        urgent
    });
    story.breaks(13);
}

/// A command that was claimed, and expires unwritten, which its caller is told.
pub(crate) fn expiring() -> Story {
    let cmd = Cmd {
        deadline_ms: 4_000,
        ..safe("c-1")
    };
    let mut story = Story::new();
    story.accept(cmd, 2_000);
    let dispatch = story.dispatch(cmd, LINK, 1, 2_005);
    story.apply(
        "router-1",
        "c-1",
        "notready",
        dispatch,
        ("applied", "PENDING"),
        2_010,
    );
    story.end(cmd, "EXPIRED", "", 4_050);
    story
}

#[test]
fn a_command_that_expires_unwritten_passes() {
    expiring().shows(14);
}

#[test]
fn a_skewed_process_that_keeps_the_deadline_passes() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.edit("write", |l| {
        l["t_us"] = json!(redis(2_010) + 120_000_000);
        true
    });
    story.shows(14);
}

#[test]
fn a_write_after_the_deadline_is_flagged_whatever_the_edge_believes() {
    let cmd = Cmd {
        deadline_ms: 4_000,
        ..safe("c-1")
    };
    let mut story = expiring();
    story.drop(|l| l["ev"] == "applied");
    story.write(cmd, LINK, redis(2_005) + 1, 1, 4_300);
    story.breaks(14);
    story.edit("write", |l| {
        l["redis_upper_us"] = json!(redis(3_000));
        true
    });
    story.breaks(14);
    // Within ε nothing is flagged but what the edge itself says.
    story.edit("write", |l| {
        l["m_us"] = json!(4_080_000);
        true
    });
    assert_eq!(story.check().violations, 0);
}

/// A safe command, written so many times.
fn written(times: u32) -> Story {
    let mut story = Story::new();
    let cmd = safe("c-1");
    story.accept(cmd, 2_000);
    for attempt in 1..=times {
        let ms = 2_000 + u64::from(attempt) * 6_000;
        let dispatch = story.dispatch(cmd, LINK, attempt, ms - 5);
        story.write(cmd, LINK, dispatch, attempt, ms);
        story.receive(cmd, LINK, ms + 2);
    }
    story.finish(cmd, LINK, 2_000 + u64::from(times) * 6_000 + 20);
    story
}

#[test]
fn a_safe_command_may_be_written_again_within_its_bound() {
    written(3).shows(15);
    // Three attempts, and the one more that is declared.
    written(4).shows(15);
    written(5).breaks(15);
}

#[test]
fn each_new_version_allows_one_write_more() {
    let mut story = written(5);
    let newer = crate::story::Link {
        socket: 2,
        version: 300,
        ..LINK
    };
    story.connect(newer, 9_000);
    for ev in ["write", "dispatch"] {
        story.edit(ev, |l| {
            let later = l["m_us"].as_u64().unwrap() > 9_000_000;
            if later {
                (l["socket"], l["version"]) = (json!(2), json!(300));
            }
            later
        });
    }
    story.shows(15);
}

/// An unsafe command whose answer never came.
fn unknown_outcome() -> Story {
    let mut story = Story::new();
    let cmd = risky("c-1");
    story.accept(cmd, 2_000);
    let dispatch = story.dispatch(cmd, LINK, 1, 2_005);
    story.apply(
        "router-1",
        "c-1",
        "intent",
        dispatch,
        ("applied", "DELIVERED"),
        2_007,
    );
    story.write(cmd, LINK, dispatch, 1, 2_010);
    story.receive(cmd, LINK, 2_012);
    story.end(cmd, "FAILED", "OUTCOME_UNKNOWN", 22_000);
    story
}

#[test]
fn an_unsafe_command_that_is_given_up_passes() {
    unknown_outcome().shows(15);
    assert_eq!(unknown_outcome().check().outcome_unknown, 1);
}

#[test]
fn an_unsafe_command_that_is_written_without_a_grant_is_flagged() {
    let mut story = unknown_outcome();
    story.shows(15);
    story.edit("write", |l| {
        l["nonce"] = serde_json::Value::Null;
        true
    });
    story.breaks(15);
}

#[test]
fn an_unsafe_command_that_is_repeated_is_flagged() {
    let mut story = unknown_outcome();
    let again = story.dispatch(risky("c-1"), LINK, 2, 8_005);
    story.write(risky("c-1"), LINK, again, 2, 8_010);
    story.breaks(15);
    story.receive(risky("c-1"), LINK, 8_012);
    let report = story.breaks(15);
    assert_eq!(report.duplicated_unsafe, 1);
}

#[test]
fn an_unsafe_command_that_was_not_written_may_be_written_later() {
    let mut story = unknown_outcome();
    story.drop(|l| l["kind"] == "call_received");
    let first = redis(2_005) + 1;
    story.apply(
        "router-1",
        "c-1",
        "nonwrite",
        first,
        ("applied", "PENDING"),
        2_100,
    );
    let again = story.dispatch(risky("c-1"), LINK, 1, 8_005);
    story.write(risky("c-1"), LINK, again, 1, 8_010);
    story.receive(risky("c-1"), LINK, 8_012);
    story.shows(15);
}

#[test]
fn an_unsafe_command_of_which_no_byte_was_written_may_be_written_later() {
    let mut story = unknown_outcome();
    story.drop(|l| l["kind"] == "call_received");
    story.line(
        "edge-1",
        2_011,
        "unwritten",
        json!({"id": "c-1", "cp": "cp-1", "socket": 1}),
    );
    let again = story.dispatch(risky("c-1"), LINK, 1, 8_005);
    story.write(risky("c-1"), LINK, again, 1, 8_010);
    story.receive(risky("c-1"), LINK, 8_012);
    story.shows(15);
    story.edit("unwritten", |l| {
        l["socket"] = json!(2);
        true
    });
    story.breaks(15);
}

#[test]
fn an_unsafe_command_that_is_written_after_its_end_is_flagged() {
    let mut story = unknown_outcome();
    story.edit("write", |l| {
        l["m_us"] = json!(23_000_000);
        l["redis_upper_us"] = json!(redis(23_000));
        true
    });
    story.edit("call_received", |l| {
        l["m_us"] = json!(23_002_000);
        true
    });
    story.breaks(15);
}

#[test]
fn a_call_that_no_edge_told_of_is_flagged() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.drop(|l| l["ev"] == "write");
    story.breaks(15);
}
