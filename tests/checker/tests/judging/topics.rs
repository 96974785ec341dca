//! Invariants 18 and 21: what is on Kafka, and who reads it.

use serde_json::json;

use crate::story::{Cmd, Story, safe};

/// Two dead letters and a run that drained.
fn dead_letters() -> Story {
    let mut story = Story::new();
    for (id, ms) in [("c-1", 4_050), ("c-2", 4_150)] {
        let cmd = Cmd {
            deadline_ms: 4_000,
            ..safe(id)
        };
        story.accept(cmd, 2_000);
        story.end(cmd, "EXPIRED", "", ms);
    }
    story.healed(5_000, 6_000);
    story
}

#[test]
fn dead_letters_that_are_published_pass() {
    dead_letters().shows(18);
}

#[test]
fn a_dead_letter_that_is_published_twice_passes() {
    let mut story = dead_letters();
    let cmd = Cmd {
        deadline_ms: 4_000,
        ..safe("c-1")
    };
    story.publish(cmd, "EXPIRED", "", 4_400, true);
    story.publish(cmd, "EXPIRED", "", 4_500, false);
    story.shows(18);
}

#[test]
fn a_dead_letter_that_is_not_published_is_flagged() {
    let mut story = dead_letters();
    story.drop(|l| l["ev"] == "record" && l["proc"] == "dead-letters" && l["id"] == "c-1");
    story.breaks(18);
    let mut silent = dead_letters();
    silent.drop(|l| l["ev"] == "record" && l["id"] == "c-1");
    silent.breaks(18);
    // Until it is drained, that says nothing.
    silent.drop(|l| l["ev"] == "drained" || l["ev"] == "healed_all");
    assert_eq!(silent.check().violations, 0);
}

#[test]
fn two_dead_letters_with_one_id_are_flagged() {
    let mut story = dead_letters();
    story.edit("record", |l| {
        let second = l["id"] == "c-2";
        if second {
            l["record_id"] = json!("c-1");
        }
        second
    });
    story.breaks(18);
}

#[test]
fn a_result_behind_a_later_one_is_flagged() {
    let mut story = dead_letters();
    story.edit("record", |l| {
        let second = l["id"] == "c-2";
        if second {
            l["seq"] = json!(0);
        }
        second
    });
    story.breaks(18);
}

/// An edge that is ready while its canaries come, and says so when they do not.
fn canaries() -> Story {
    let mut story = Story::new();
    let canary = |story: &mut Story, ms: u64| {
        for lane in ["normal", "urgent"] {
            story.line("edge-1", ms, "canary", json!({"lane": lane, "number": ms}));
        }
    };
    canary(&mut story, 1_100);
    story.line("edge-1", 1_200, "ready", json!({"value": true}));
    canary(&mut story, 2_100);
    story.line("edge-1", 5_300, "ready", json!({"value": false}));
    canary(&mut story, 15_000);
    story.line("edge-1", 15_010, "ready", json!({"value": true}));
    story
}

#[test]
fn an_edge_that_is_ready_by_its_canaries_passes() {
    canaries().shows(21);
}

#[test]
fn an_edge_that_is_ready_without_canaries_is_flagged() {
    let mut unseen = canaries();
    unseen.drop(|l| l["lane"] == "urgent");
    unseen.breaks(21);
    let mut deaf = canaries();
    deaf.drop(|l| l["ev"] == "ready" && l["m_us"].as_u64().unwrap() > 2_000_000);
    deaf.breaks(21);
    deaf.fault("pause", "edge-1", 3_000, 14_000);
    assert_eq!(deaf.check().violations, 0, "who stands still cannot say so");
}

#[test]
fn readiness_that_is_taken_back_at_once_is_none() {
    let mut story = canaries();
    story.line("edge-1", 900, "ready", json!({"value": true}));
    story.breaks(21);
    story.line("edge-1", 901, "ready", json!({"value": false}));
    story.shows(21);
}
