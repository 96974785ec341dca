//! Invariant 20: what nobody can read.

use serde_json::json;

use crate::story::Story;

/// An edge meets a poison record and goes on.
fn poison() -> Story {
    let mut story = Story::new();
    story.line(
        "faults",
        3_000,
        "inject",
        json!({"kind": "poison", "target": "edge-1",
            "detail": {"topic": "commands-down-shard-0", "partition": 3, "offset": 41}}),
    );
    story.line(
        "edge-1",
        3_100,
        "quarantine",
        json!({"topic": "commands-down-shard-0", "partition": 3, "offset": 41}),
    );
    for second in 4..20 {
        for lane in ["normal", "urgent"] {
            story.line(
                "edge-1",
                second * 1_000,
                "canary",
                json!({"lane": lane, "number": second}),
            );
        }
    }
    story.lease("edge-1", 19_000, 1_000_000);
    story.until(30_000);
    story
}

#[test]
fn a_poison_record_that_is_put_aside_passes() {
    poison().shows(20);
}

#[test]
fn a_poison_record_that_is_not_put_aside_is_flagged() {
    let mut silent = poison();
    silent.drop(|l| l["ev"] == "quarantine");
    silent.breaks(20);
    let mut late = poison();
    late.edit("quarantine", |l| {
        l["m_us"] = json!(12_000_000);
        true
    });
    late.breaks(20);
    let mut story = poison();
    story.edit("quarantine", |l| {
        l["offset"] = json!(40);
        true
    });
    story.breaks(20);
    story.edit("inject", |l| {
        l["detail"] = json!("commands-down-shard-0/3/40");
        true
    });
    story.shows(20);
}

#[test]
fn an_offset_that_does_not_advance_is_flagged() {
    let mut story = poison();
    story.line(
        "edge-1",
        3_900,
        "quarantine",
        json!({"topic": "commands-down-shard-0", "partition": 3, "offset": 41}),
    );
    story.breaks(20);
}

#[test]
fn a_consumer_that_dies_of_poison_is_flagged() {
    let mut story = poison();
    story.drop(|l| l["ev"] == "canary");
    story.breaks(20);
}

/// The same, where canaries tell their place: one before the poison, one behind it.
fn passed() -> Story {
    let mut story = poison();
    story.edit("canary", |l| {
        let second = l["m_us"].as_u64().unwrap() / 1_000_000;
        l["topic"] = json!("commands-down-shard-0");
        l["partition"] = json!(if l["lane"] == "urgent" { 11 } else { 3 });
        // The canary of 4 s lies right before the poison's offset, 41, and the one of 5 s behind it.
        l["offset"] = json!(36 + second + u64::from(second > 4));
        true
    });
    story
}

#[test]
fn a_poison_record_that_its_consumer_passed_and_put_aside_passes() {
    passed().shows(20);
    // It is exercised by the quarantine, and by the passage.
    assert_eq!(passed().check().invariants[19].exercised, 2);
}

#[test]
fn a_poison_record_that_its_consumer_passed_without_a_word_is_flagged() {
    let mut story = passed();
    story.drop(|l| l["ev"] == "quarantine");
    story.breaks(20);
    // Whoever did not consume there then is not asked.
    story.edit("canary", |l| {
        l["partition"] = json!(4);
        true
    });
    assert_eq!(story.check().violations, 0);
}

#[test]
fn another_edge_does_not_put_aside_for_the_one_that_passed() {
    let mut story = passed();
    story.edit("quarantine", |l| {
        l["proc"] = json!("router-9");
        true
    });
    story.breaks(20);
}

#[test]
fn a_record_that_nobody_injected_and_that_is_put_aside_is_flagged() {
    let mut story = passed();
    let good = json!({"topic": "commands-down-shard-0", "partition": 3, "offset": 44});
    story.line("edge-1", 9_000, "quarantine", good);
    story.breaks(20);
    // Unless poison was put there that nobody was told the place of.
    story.fault("poison", "edge-1", 8_900, 8_900);
    story.shows(20);
}

#[test]
fn poison_that_lies_twice_while_kafka_is_disturbed_is_no_good_record() {
    let mut story = passed();
    let doubled = json!({"topic": "commands-down-shard-0", "partition": 3, "offset": 42});
    story.line("edge-1", 3_200, "quarantine", doubled);
    story.breaks(20);
    story.fault("stall", "edge-1/kafka", 2_000, 2_900);
    story.shows(20);
}

#[test]
fn a_consumer_that_stops_where_poison_was_put_is_flagged() {
    let mut story = passed();
    // It consumed there a moment before, as a canary tells, and nothing since.
    story.edit("canary", |l| {
        let first = l["m_us"] == 4_000_000;
        if first {
            l["m_us"] = json!(2_900_000);
        }
        first
    });
    story.drop(|l| l["ev"] == "quarantine" || l["ev"] == "canary" && l["m_us"] != 2_900_000);
    // Another edge, whose canaries tell that it passed no poison.
    for offset in [7, 8] {
        let fields = json!({"lane": "normal", "number": offset, "topic": "commands-down-shard-0",
            "partition": 5, "offset": offset});
        story.line("edge-2", 3_000, "canary", fields);
    }
    story.breaks(20);
    let mut elsewhere = story.clone();
    elsewhere.edit("canary", |l| {
        l["partition"] = json!(6);
        true
    });
    assert_eq!(elsewhere.check().violations, 0, "it did not consume there");
    story.drop(|l| l["ev"] == "lease" && l["m_us"] == 19_000_000);
    assert_eq!(story.check().violations, 0, "it did not live on");
}
