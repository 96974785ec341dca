//! Invariant 16: timers, by the auditor, by what sweepers had to mend, and by the dump itself.

use serde_json::{Value, json};

use crate::story::{Story, redis, safe};

fn hash(key: &str, value: &Value) -> Value {
    json!({"key": format!("hf:{{s1}}:{key}"), "type": "hash", "ttl_ms": -1, "value": value})
}

fn set(key: &str, value: &Value) -> Value {
    json!({"key": format!("hf:{{s1}}:{key}"), "type": "zset", "ttl_ms": -1, "value": value})
}

/// The auditor and the dump see open commands: one waits, one is on its way, one ended.
fn open_commands() -> Story {
    let mut story = Story::new();
    let audit = json!({"open": 2, "untimed": 0, "doubly_timed": 0, "violations": []});
    story.line("auditor", 3_000, "audit", audit);
    story.dump.extend([
        hash(
            "c:c-1",
            &json!({"st": "P", "cp": "cp-1", "dl": "90", "ti": "17", "sc": "5"}),
        ),
        hash(
            "c:c-2",
            &json!({"st": "S", "cp": "cp-1", "pr": "1", "dl": "60", "ti": "70", "mk": "-"}),
        ),
        json!({"key": "hf:{s1}:e:c-0", "type": "string", "ttl_ms": 9, "value": "packed"}),
        set("q:cp-1", &json!([["c-1", "5"]])),
        hash(
            "d:cp-1",
            &json!({"con": "1", "ver": "100", "ln": "c-2", "lu": "", "op": "2"}),
        ),
        set("due", &json!([["c-1", "17"], ["c-2", "60"]])),
    ]);
    story
}

/// The dump's key that ends so.
fn key<'a>(story: &'a mut Story, end: &str) -> &'a mut Value {
    let mut keys = story.dump.iter_mut();
    keys.find(|line| line["key"].as_str().unwrap().ends_with(end))
        .unwrap()
}

#[test]
fn open_commands_with_one_timer_each_pass() {
    open_commands().shows(16);
    assert_eq!(open_commands().check().invariants[15].exercised, 3);
}

#[test]
fn what_the_auditor_finds_is_flagged() {
    for (field, value) in [
        ("untimed", json!(1)),
        ("doubly_timed", json!(1)),
        ("violations", json!(["slot 3: a lane names what is not open"])),
    ] {
        let mut story = open_commands();
        story.edit("audit", |l| {
            l[field] = value.clone();
            true
        });
        story.breaks(16);
    }
}

#[test]
fn an_open_command_without_its_timer_is_flagged_though_the_auditor_is_content() {
    let mut untimed = open_commands();
    key(&mut untimed, ":due")["value"] = json!([["c-2", "60"]]);
    untimed.breaks(16);
    let mut late = open_commands();
    key(&mut late, ":due")["value"] = json!({"c-1": 17, "c-2": 70});
    late.breaks(16);
    let mut stray = open_commands();
    key(&mut stray, ":due")["value"] = json!({"c-1": 17, "c-2": 60, "c-9": 18});
    stray.breaks(16);
}

#[test]
fn a_marked_command_waits_for_its_timer_alone() {
    let mut story = open_commands();
    key(&mut story, "c:c-2")["value"]["mk"] = json!("c");
    story.breaks(16);
    key(&mut story, ":due")["value"] = json!({"c-1": 17, "c-2": 70});
    story.shows(16);
}

#[test]
fn queues_lanes_and_counts_that_contradict_the_commands_are_flagged() {
    let broken = |end: &str, change: fn(&mut Value)| {
        let mut story = open_commands();
        change(&mut key(&mut story, end)["value"]);
        story.breaks(16);
    };
    broken("q:cp-1", |queue| *queue = json!([]));
    broken("q:cp-1", |queue| *queue = json!([["c-1", "5"], ["c-2", "6"]]));
    broken("q:cp-1", |queue| *queue = json!([["c-1", "5"], ["c-0", "6"]]));
    broken("d:cp-1", |device| device["ln"] = json!(""));
    broken("d:cp-1", |device| device["lu"] = json!("c-1"));
    broken("d:cp-1", |device| device["op"] = json!("3"));
}

#[test]
fn a_written_unsafe_command_may_stand_aside() {
    let mut story = open_commands();
    for (field, value) in [("st", "D"), ("cl", "u")] {
        key(&mut story, "c:c-2")["value"][field] = json!(value);
    }
    key(&mut story, "d:cp-1")["value"]["ln"] = json!("");
    story.shows(16);
}

#[test]
fn an_ended_command_that_is_kept_for_ever_or_open_too_is_flagged() {
    let mut kept = open_commands();
    key(&mut kept, "e:c-0")["ttl_ms"] = json!(-1);
    kept.breaks(16);
    let mut both = open_commands();
    key(&mut both, "e:c-0")["key"] = json!("hf:{s1}:e:c-1");
    both.breaks(16);
}

#[test]
fn what_moved_while_the_dump_was_made_says_nothing() {
    let mut story = open_commands();
    key(&mut story, ":due")["value"] = json!([["c-2", "60"]]);
    story.line(
        "router-1",
        20_000,
        "swept",
        json!({"id": "c-1", "now_us": redis(20_000)}),
    );
    story.line("faults", 21_000, "dumped", json!({}));
    assert_eq!(story.check().violations, 0);
    story.edit("dumped", |l| {
        l["m_us"] = json!(40_000_000);
        true
    });
    story.breaks(16);
}

/// A command is open for 30 s, and the auditor looks all the time.
fn watched() -> Story {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    let later = [
        "answer",
        "applied",
        "ended",
        "published",
        "record",
        "get",
        "reply_sent",
    ];
    for ev in later {
        story.edit(ev, |l| {
            l["m_us"] = json!(l["m_us"].as_u64().unwrap() + 30_000_000);
            true
        });
    }
    story.until(40_000);
    story
}

#[test]
fn an_auditor_that_was_silent_for_long_is_flagged() {
    assert_eq!(watched().check().violations, 0);
    let between = |from: u64, to: u64| {
        let mut story = watched();
        story.drop(|l| l["ev"] == "audit" && (from..to).contains(&(l["m_us"].as_u64().unwrap() / 1_000)));
        story
    };
    between(6_000, 29_000).breaks(16);
    between(0, 29_000).breaks(16);
    assert_eq!(
        between(6_000, 24_000).check().violations,
        0,
        "twenty seconds are allowed"
    );
    let mut dead = between(16_000, 50_000);
    dead.line("faults", 45_000, "dumped", json!({}));
    dead.breaks(16);
    let mut away = between(6_000, 29_000);
    away.fault("pause", "redis", 7_000, 14_000);
    assert_eq!(away.check().violations, 0, "Redis could not be asked");
}

#[test]
fn while_nothing_is_open_nobody_need_look() {
    let mut story = Story::new();
    story.deliver(safe("c-1"), 2_000);
    story.until(60_000);
    story.drop(|l| l["ev"] == "audit" && (9_000_000..50_000_000).contains(&l["m_us"].as_u64().unwrap()));
    assert_eq!(story.check().violations, 0);
}

#[test]
fn what_a_sweeper_had_to_mend_was_broken() {
    let mended = |what: &str, applied: bool| {
        let mut story = open_commands();
        let repair = json!({"what": what, "id": "cp-1", "applied": applied, "now_us": redis(8_000)});
        story.line("sweeper-1", 8_000, "repair", repair);
        story
    };
    for what in ["timer", "queue", "lane", "count", "listing", "retention"] {
        mended(what, true).breaks(16);
    }
    mended("timer", false).shows(16);
    let mut story = mended("timer", true);
    story.fault("kill", "redis", 8_100, 8_200);
    story.breaks(16);
    let mut forgotten = story.clone();
    forgotten.run["settings"]["durability"] = json!("relaxed");
    forgotten.shows(16);
    story.edit("repair", |l| {
        l["what"] = json!("registration");
        true
    });
    story.shows(16);
}
