//! Invariants 9, 10 and 11: versions, leases and registrations.

use serde_json::json;

use crate::story::{LINK, Link, Story, redis, safe};

/// The same charger, later, at another edge.
const MOVED: Link = Link {
    edge: "edge-2",
    socket: 5,
    version: 200,
    ..LINK
};

/// The charger moves while its old socket still stands; the old edge hears of it later.
fn moved() -> Story {
    let mut story = Story::new();
    story.lease("edge-2", 500, 1_000_000);
    story.connect(MOVED, 5_000);
    story.line(
        "edge-1",
        5_500,
        "close",
        json!({"cp": "cp-1", "socket": 1, "why": "kicked"}),
    );
    story.line(
        "router-1",
        5_600,
        "unregistered",
        json!({"cp": "cp-1", "inc": 10, "version": 100, "applied": false, "now_us": redis(5_600)}),
    );
    story
}

#[test]
fn a_version_that_grows_passes() {
    moved().shows(9);
}

#[test]
fn a_version_that_does_not_grow_is_flagged() {
    for version in [100, 99] {
        let mut story = moved();
        story.edit("registered", |l| {
            let second = l["pod"] == "edge-2";
            if second {
                l["version"] = json!(version);
            }
            second
        });
        story.drop(|l| l["ev"] == "unregistered");
        story.breaks(9);
    }
}

#[test]
fn a_registration_that_is_answered_again_is_no_new_version() {
    let mut story = Story::new();
    story.connect(LINK, 4_000);
    let report = story.check();
    assert_eq!(report.violations, 0, "{}", report.table());
    assert!(!report.exercised.contains(&9));
}

/// A lease lapses under a charger, and the edge goes on in a new life.
fn lapse() -> Story {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.line("edge-1", 12_000, "lapsed", json!({"inc": 10}));
    story
}

#[test]
fn an_edge_that_stops_writing_with_its_lease_passes() {
    lapse().shows(10);
}

#[test]
fn a_write_after_the_lease_is_flagged() {
    let mut by_itself = lapse();
    by_itself.edit("write", |l| {
        l["lease_until_m_us"] = json!(1_900_000);
        true
    });
    by_itself.breaks(10);
    let mut by_the_lapse = lapse();
    by_the_lapse.edit("lapsed", |l| {
        l["m_us"] = json!(1_500_000);
        true
    });
    by_the_lapse.breaks(10);
    let mut without = lapse();
    without.edit("write", |l| {
        l["inc"] = json!(11);
        true
    });
    without.breaks(10);
}

#[test]
fn a_pause_between_check_and_write_is_a_declared_bound() {
    let mut story = lapse();
    story.edit("write", |l| {
        l["lease_until_m_us"] = json!(1_200_000);
        true
    });
    story.fault("pause", "edge-1", 1_100, 2_009);
    story.shows(10);
}

/// The store gives the edge's life its lease, until then, and the edge believes whatever it likes.
fn given(until_ms: u64) -> Story {
    let mut story = lapse();
    story.line(
        "router-1",
        600,
        "leased",
        json!({"pod": "edge-1", "inc": 10, "expires_us": redis(until_ms), "now_us": redis(600)}),
    );
    story
}

#[test]
fn a_write_under_the_lease_that_the_store_gave_passes() {
    given(10_600).shows(10);
}

#[test]
fn a_write_after_the_lease_that_the_store_gave_is_flagged_whatever_the_edge_believes() {
    given(1_800).breaks(10);
    let mut paused = given(1_800);
    paused.fault("pause", "edge-1", 1_700, 2_009);
    paused.shows(10);
    let mut elsewhere = given(10_600);
    elsewhere.edit("leased", |l| {
        l["inc"] = json!(9);
        true
    });
    elsewhere.breaks(10);
    let mut later = given(10_600);
    later.edit("leased", |l| {
        l["m_us"] = json!(2_500_000);
        true
    });
    later.breaks(10);
}

#[test]
fn a_write_by_a_life_that_a_newer_one_replaced_is_flagged() {
    let replaced = |ms: u64| {
        let mut story = given(10_600);
        story.line(
            "router-2",
            ms,
            "leased",
            json!({"pod": "edge-1", "inc": 11, "expires_us": redis(ms + 10_000), "now_us": redis(ms)}),
        );
        story
    };
    replaced(1_500).breaks(10);
    replaced(3_000).shows(10);
}

#[test]
fn a_displaced_version_may_write_until_the_kick_and_no_longer() {
    let write_at = |ms: u64| {
        let mut story = moved();
        story.drop(|l| l["ev"] == "close");
        story.accept(safe("c-1"), ms - 10);
        let dispatch = story.dispatch(safe("c-1"), LINK, 1, ms - 5);
        story.write(safe("c-1"), LINK, dispatch, 1, ms);
        story
    };
    write_at(6_000).shows(10);
    write_at(12_000).breaks(10);
    let mut disturbed = write_at(12_000);
    disturbed.fault("stall", "kafka", 6_000, 11_000);
    disturbed.shows(10);
}

#[test]
fn a_write_by_a_version_that_its_own_edge_knows_to_be_old_is_flagged() {
    let mut story = Story::new();
    let newer = Link {
        socket: 2,
        version: 300,
        ..LINK
    };
    story.connect(newer, 3_000);
    story.accept(safe("c-1"), 3_490);
    let dispatch = story.dispatch(safe("c-1"), LINK, 1, 3_495);
    story.write(safe("c-1"), LINK, dispatch, 1, 3_500);
    story.breaks(10);
}

#[test]
fn an_old_socket_that_leaves_the_newer_registration_alone_passes() {
    moved().shows(11);
}

#[test]
fn an_old_socket_that_ends_without_a_word_to_the_store_counts_as_well() {
    let mut story = moved();
    story.drop(|l| l["ev"] == "unregistered");
    story.shows(11);
    story.drop(|l| l["ev"] == "close");
    assert!(!story.check().exercised.contains(&11));
}

#[test]
fn an_old_socket_that_removes_the_newer_registration_is_flagged() {
    let mut story = moved();
    story.edit("unregistered", |l| {
        l["applied"] = json!(true);
        true
    });
    story.breaks(11);
    // Without a Redis time it takes more than a second between the two lines.
    story.edit("unregistered", |l| {
        l["now_us"] = json!(null);
        true
    });
    assert_eq!(story.check().violations, 0);
    story.edit("unregistered", |l| {
        l["m_us"] = json!(7_000_000);
        true
    });
    story.breaks(11);
}

#[test]
fn a_connected_charger_that_the_store_does_not_know_at_the_end_is_flagged() {
    let device = |con: &str| {
        let mut story = moved();
        story.healed(6_000, 7_000);
        story.line("faults", 8_000, "dumped", json!({}));
        // The end of the run ends the connection, which the dump cannot know.
        story.seen("cp-1", 9_000, "disconnected", json!({}));
        story
            .dump
            .push(json!({"key": "hf:{s1}:d:cp-1", "type": "hash", "ttl_ms": -1,
            "value": {"con": con, "ver": "200", "pod": "edge-2"}}));
        story
    };
    device("1").shows(11);
    device("0").breaks(11);
    let mut gone = device("1");
    gone.dump.last_mut().unwrap()["key"] = json!("hf:{s1}:d:cp-2");
    gone.breaks(11);
}

#[test]
fn a_write_under_a_longer_lease_than_any_that_was_told_by_then_is_flagged() {
    let mut longer = lapse();
    longer.edit("write", |l| {
        l["lease_until_m_us"] = json!(1_000_200_000);
        true
    });
    longer.breaks(10);
    let mut later = lapse();
    later.edit("lease", |l| {
        l["m_us"] = json!(2_500_000);
        true
    });
    later.breaks(10);
    // An edge whose lease ended between its check and the line goes by what was told.
    let mut ended = lapse();
    ended.edit("write", |l| {
        l["lease_until_m_us"] = json!(0);
        true
    });
    ended.shows(10);
}

#[test]
fn a_life_that_lapsed_or_was_replaced_while_its_edge_stood_still_may_have_written() {
    let mut lapsed = lapse();
    lapsed.edit("lapsed", |l| {
        l["m_us"] = json!(1_500_000);
        true
    });
    lapsed.fault("pause", "edge-1", 1_400, 2_009);
    lapsed.shows(10);
    let mut replaced = given(10_600);
    let newer = json!({"pod": "edge-1", "inc": 11, "expires_us": redis(11_500), "now_us": redis(1_500)});
    replaced.line("router-2", 1_500, "leased", newer);
    replaced.breaks(10);
    replaced.fault("pause", "edge-1", 1_400, 2_009);
    replaced.shows(10);
}

#[test]
fn the_longest_lease_that_the_store_gave_a_life_counts() {
    let mut story = given(1_800);
    let renewed = json!({"pod": "edge-1", "inc": 10, "expires_us": redis(11_500), "now_us": redis(1_500)});
    story.line("router-1", 1_500, "leased", renewed);
    story.shows(10);
}

#[test]
fn a_lease_that_lapses_under_nobody_shows_nothing() {
    let mut story = lapse();
    story.line(
        "edge-1",
        11_000,
        "close",
        json!({"cp": "cp-1", "socket": 1, "why": "left"}),
    );
    assert!(!story.check().exercised.contains(&10));
}
