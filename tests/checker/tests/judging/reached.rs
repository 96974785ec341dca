//! What reached the charger, and what the caller is told of that: invariants 1, 5 and 15.

use serde_json::json;

use crate::story::{Cmd, LINK, Story, safe};
use crate::writing::expiring;

#[test]
fn a_command_that_is_told_as_unwritten_and_was_not_passes() {
    expiring().shows(15);
}

#[test]
fn a_command_that_is_told_as_unwritten_and_reached_the_charger_is_flagged() {
    let mut story = expiring();
    let cmd = Cmd {
        deadline_ms: 4_000,
        ..safe("c-1")
    };
    story.write(cmd, LINK, 7, 1, 3_000);
    story.receive(cmd, LINK, 3_002);
    story.breaks(15);
    for ev in ["get", "record"] {
        story.edit(ev, |l| {
            l["possibly_written"] = json!(true);
            true
        });
    }
    assert_eq!(story.check().violations, 0);
}

/// A command whose CALL the charger's log tells in full.
fn delivered() -> Story {
    let mut story = Story::new();
    for (id, ms) in [("c-1", 2_000), ("c-2", 3_000)] {
        story.deliver(safe(id), ms);
    }
    story.edit("call_received", |l| {
        l["action"] = json!("Reset");
        l["payload"] = json!({"type": "Soft"});
        true
    });
    story
}

#[test]
fn a_call_that_is_what_was_asked_for_passes() {
    assert_eq!(delivered().check().violations, 0);
}

#[test]
fn a_call_with_another_action_or_payload_is_flagged() {
    for (field, value) in [
        ("action", json!("UnlockConnector")),
        ("payload", json!({"type": "Hard"})),
    ] {
        let mut story = delivered();
        story.edit("call_received", |l| {
            let second = l["message_id"] == "c-2";
            if second {
                l[field] = value.clone();
            }
            second
        });
        story.breaks(15);
    }
}

#[test]
fn a_call_that_reaches_another_charger_is_flagged() {
    let mut story = expiring();
    story.edit("get", |l| {
        l["possibly_written"] = json!(true);
        true
    });
    story.edit("record", |l| {
        l["possibly_written"] = json!(true);
        true
    });
    story.write(safe("c-1"), LINK, 7, 1, 3_000);
    story.receive(safe("c-1"), LINK, 3_002);
    assert_eq!(story.check().violations, 0);
    story.edit("call_received", |l| {
        l["cp"] = json!("cp-2");
        true
    });
    story.breaks(15);
}

#[test]
fn an_answer_that_the_charger_never_gave_is_flagged() {
    let mut story = delivered();
    story.shows(5);
    story.edit("get", |l| {
        l["answer"] = json!({"result": {"status": "Scheduled"}});
        true
    });
    story.breaks(5);
}

/// A charger is connected and idle, and its command expires.
fn idle() -> Story {
    let cmd = Cmd {
        deadline_ms: 30_000,
        ..safe("c-1")
    };
    let mut story = Story::new();
    story.accept(cmd, 20_000);
    story.end(cmd, "EXPIRED", "", 30_050);
    story
}

#[test]
fn a_command_that_nobody_tried_to_write_to_an_idle_charger_is_flagged() {
    idle().breaks(1);
}

#[test]
fn whatever_may_have_kept_a_command_from_being_written_excuses_it() {
    let excused = |change: fn(&mut Story)| {
        let mut story = idle();
        change(&mut story);
        let report = story.check();
        assert_eq!(report.violations, 0, "{}", report.table());
    };
    excused(|story| story.seen("cp-1", 25_000, "disconnected", json!({})));
    excused(|story| story.fault("stall", "edge-1/kafka", 10_000, 15_000));
    excused(|story| {
        story.call(safe("c-2"), "c-2", "p", 19_000);
    });
}

#[test]
fn a_command_with_too_little_time_may_expire_unwritten() {
    let expires_at = |deadline_ms: u64| {
        let cmd = Cmd {
            deadline_ms,
            ..safe("c-1")
        };
        let mut story = Story::new();
        story.accept(cmd, 20_000);
        story.end(cmd, "EXPIRED", "", deadline_ms + 50);
        story
    };
    expires_at(23_500).breaks(1);
    assert_eq!(expires_at(22_500).check().violations, 0);
}

#[test]
fn what_is_no_company_excuses_nothing() {
    let mut elsewhere = idle();
    elsewhere.call(safe("c-2"), "c-2", "p", 19_000);
    elsewhere.edit("call", |l| {
        let second = l["n"] == 2;
        if second {
            l["cp"] = json!("cp-2");
        }
        second
    });
    elsewhere.breaks(1);
    let mut before = idle();
    before.deliver(safe("c-0"), 5_000);
    before.breaks(1);
    let mut after = idle();
    after.call(safe("c-2"), "c-2", "p", 31_000);
    after.breaks(1);
}
