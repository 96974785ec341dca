//! Invariant 24: what registry sweepers repair, and that two of them may.

use serde_json::json;

use crate::story::{LINK, Link, Story, redis};

/// Two sweepers pass at once, and both find a charger that a dead life had registered; one ends it.
fn two_passes() -> Story {
    let mut story = Story::new();
    for (sweeper, ms) in [("sweeper-1", 80_000), ("sweeper-2", 80_100)] {
        story.line(sweeper, ms, "pass", json!({"value": true}));
        let applied = sweeper == "sweeper-1";
        story.line(
            sweeper,
            ms + 100,
            "repair",
            json!({"what": "dead route", "cp": "cp-1", "pod": "edge-1", "inc": 10, "version": 100,
                "applied": applied, "now_us": redis(ms + 100)}),
        );
        story.line(sweeper, ms + 500, "pass", json!({"value": false}));
    }
    // The edge's lease is long over.
    story.edit("lease", |l| {
        l["until_m_us"] = json!(10_000_000);
        true
    });
    story
}

#[test]
fn two_sweepers_of_which_one_makes_the_repair_pass() {
    two_passes().shows(24);
}

#[test]
fn passes_that_do_not_overlap_or_never_end_show_nothing() {
    let mut apart = two_passes();
    apart.edit("pass", |l| {
        let second = l["proc"] == "sweeper-2";
        if second {
            l["m_us"] = json!(l["m_us"].as_u64().unwrap() + 60_000_000);
        }
        second
    });
    assert!(!apart.check().exercised.contains(&24));
    let mut endless = two_passes();
    endless.drop(|l| l["ev"] == "pass" && l["value"] == false);
    assert!(!endless.check().exercised.contains(&24));
    // A fault that set sweepers loose is no evidence that they worked.
    endless.fault("sweepers", "all", 79_000, 79_000);
    assert!(!endless.check().exercised.contains(&24));
}

#[test]
fn a_repair_that_two_sweepers_make_is_flagged() {
    let mut story = two_passes();
    story.edit("repair", |l| {
        l["applied"] = json!(true);
        true
    });
    story.breaks(24);
}

#[test]
fn a_repair_that_ends_a_newer_registration_is_flagged() {
    let mut story = two_passes();
    let newer = Link {
        edge: "edge-2",
        socket: 5,
        version: 200,
        ..LINK
    };
    story.lease("edge-2", 500, 1_000_000);
    story.connect(newer, 70_000);
    story.breaks(24);
    story.edit("repair", |l| {
        l["applied"] = json!(false);
        true
    });
    story.shows(24);
}

#[test]
fn a_repair_that_takes_from_a_living_life_is_flagged() {
    let mut by_the_edge = two_passes();
    by_the_edge.lease("edge-1", 79_000, 89_000);
    by_the_edge.breaks(24);
    let mut by_the_store = two_passes();
    by_the_store.line(
        "router-1",
        79_000,
        "leased",
        json!({"pod": "edge-1", "inc": 10, "expires_us": redis(89_000), "now_us": redis(79_000)}),
    );
    by_the_store.breaks(24);
}

#[test]
fn a_pod_that_was_dead_for_long_and_that_a_pass_leaves_recorded_is_flagged() {
    let mut story = two_passes();
    story.run["settings"]["forget_pod_ms"] = json!(60_000);
    let exp = |ms: u64| json!({"exp": redis(ms).to_string(), "inc": "1"});
    story
        .dump
        .push(json!({"key": "hf:{pods}:l:ghost-1", "type": "hash", "ttl_ms": -1, "value": exp(30_000)}));
    story.shows(24);
    story.dump.last_mut().unwrap()["value"] = exp(10_000);
    story.breaks(24);
    // Without a pass that came to its end nobody was to forget it.
    story.drop(|l| l["ev"] == "pass" && l["value"] == false);
    assert_eq!(story.check().violations, 0);
}

#[test]
fn a_repair_of_what_has_no_life_is_made_once_at_a_time() {
    let repaired = |later_us: u64, later_about: &str| {
        let mut story = two_passes();
        for (sweeper, us, about) in [("sweeper-1", 0, "cp-1"), ("sweeper-2", later_us, later_about)] {
            story.line(
                sweeper,
                80_200,
                "repair",
                json!({"what": "registration", "id": about, "applied": true, "now_us": redis(80_200) + us}),
            );
        }
        story
    };
    repaired(150, "cp-1").breaks(24);
    repaired(150, "cp-2").shows(24);
    repaired(1_000_000, "cp-1").shows(24);
}
