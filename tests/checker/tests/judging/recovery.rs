//! Invariants 17, 22, 23 and 24: what goes on when something died, and who looks after it.

use serde_json::json;

use crate::story::{Cmd, LINK, Story, redis, risky, safe};

/// A router dies with a claim in its hands, and another one takes it over.
fn dead_router() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    let first = story.dispatch(safe("c-1"), LINK, 1, 2_900);
    story.fault("kill", "router-1", 3_000, 20_000);
    story.apply("router-2", "c-1", "timer", first, ("applied", "PENDING"), 8_900);
    let second = story.dispatch(safe("c-1"), LINK, 1, 9_000);
    story.edit("dispatch", |l| {
        let second = l["m_us"] == 9_000_000;
        if second {
            l["proc"] = json!("router-2");
        }
        second
    });
    story.write(safe("c-1"), LINK, second, 1, 9_010);
    story.receive(safe("c-1"), LINK, 9_012);
    story.finish(safe("c-1"), LINK, 9_020);
    story.until(60_000);
    story
}

#[test]
fn a_dead_router_whose_work_is_taken_over_passes() {
    dead_router().shows(17);
}

#[test]
fn a_claim_that_nobody_takes_over_is_flagged() {
    let mut story = dead_router();
    for ev in [
        "applied",
        "dispatch",
        "write",
        "call_received",
        "reply_sent",
        "answer",
        "ended",
        "published",
    ] {
        story.edit(ev, |l| {
            let later = l["m_us"].as_u64().unwrap() > 8_000_000;
            if later {
                l["m_us"] = json!(l["m_us"].as_u64().unwrap() + 5_000_000);
            }
            later || ev != "applied"
        });
    }
    story.edit("record", |l| {
        l["m_us"] = json!(14_100_000);
        true
    });
    story.edit("get", |l| {
        l["m_us"] = json!(14_200_000);
        true
    });
    story.breaks(17);
    // A charger that left explains it.
    story.seen("cp-1", 3_500, "disconnected", json!({}));
    assert_eq!(story.check().violations, 0);
}

#[test]
fn an_end_whose_result_nobody_publishes_is_flagged() {
    let mut story = dead_router();
    story.edit("record", |l| {
        l["m_us"] = json!(30_000_000);
        true
    });
    story.breaks(17);
}

/// A router that was paused speaks of an older dispatch on waking.
fn woken_router() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    let first = story.dispatch(safe("c-1"), LINK, 1, 2_900);
    story.fault("pause", "router-1", 3_000, 14_000);
    let second = story.dispatch(safe("c-1"), LINK, 1, 9_000);
    story.write(safe("c-1"), LINK, second, 1, 9_010);
    story.receive(safe("c-1"), LINK, 9_012);
    story.apply(
        "router-1",
        "c-1",
        "undelivered",
        first,
        ("stale", "DELIVERED"),
        14_010,
    );
    story.finish(safe("c-1"), LINK, 14_020);
    story.until(60_000);
    story
}

#[test]
fn a_woken_router_that_loses_passes() {
    woken_router().shows(17);
}

#[test]
fn a_woken_router_that_wins_is_flagged() {
    let mut story = woken_router();
    story.edit("undelivered", |l| {
        l["verdict"] = json!("applied");
        true
    });
    story.breaks(17);
}

#[test]
fn authentication_is_never_shown() {
    let report = dead_router().check();
    assert!(report.not_shown.contains(&22));
    assert!(report.table().contains("not shown"));
}

/// Commands that were open at the heal end soon after.
fn healed() -> Story {
    let mut story = Story::new();
    story.accept(safe("c-1"), 2_000);
    story.fault("stall", "kafka", 2_001, 8_000);
    story.healed(8_000, 9_000);
    let first = story.dispatch(safe("c-1"), LINK, 1, 8_100);
    story.write(safe("c-1"), LINK, first, 1, 8_110);
    story.receive(safe("c-1"), LINK, 8_112);
    story.finish(safe("c-1"), LINK, 8_120);
    story.until(40_000);
    story
}

#[test]
fn a_backlog_that_drains_passes() {
    healed().shows(23);
}

#[test]
fn a_backlog_that_drains_too_late_or_never_is_flagged() {
    let mut late = healed();
    late.edit("drained", |l| {
        l["m_us"] = json!(20_000_000);
        true
    });
    late.breaks(23);
    late.drop(|l| l["ev"] == "drained");
    late.breaks(23);
    late.drop(|l| l["ev"] == "healed_all");
    late.run["mode"] = json!("liveness");
    late.breaks(23);
    late.run["mode"] = json!("safety");
    assert_eq!(late.check().violations, 0);
}

#[test]
fn a_command_that_is_open_when_all_is_drained_is_flagged() {
    let mut story = healed();
    story.accept(safe("c-2"), 8_200);
    story.line("client", 9_500, "get", json!({"id": "c-2", "state": "PENDING"}));
    let report = story.breaks(23);
    assert_eq!((report.lost, report.details[0].command.as_str()), (0, "c-2"));
}

#[test]
fn a_redelivery_long_after_the_heal_is_flagged() {
    let mut story = healed();
    story.accept(safe("c-2"), 20_000);
    for (attempt, ms) in [(1, 20_010), (2, 26_000)] {
        let dispatch = story.dispatch(safe("c-2"), LINK, attempt, ms - 5);
        story.write(safe("c-2"), LINK, dispatch, attempt, ms);
        story.receive(safe("c-2"), LINK, ms + 2);
    }
    story.finish(safe("c-2"), LINK, 26_020);
    story.breaks(23);
}

#[test]
fn a_redelivery_after_all_is_drained_is_flagged_unless_it_was_on_its_way() {
    for (ms, broken) in [(9_500, 0), (13_000, 1)] {
        let mut story = healed();
        let first = story.dispatch(safe("c-1"), LINK, 1, 8_100);
        story.edit("write", |l| {
            l["proc"] = json!("edge-2");
            true
        });
        story.write(safe("c-1"), LINK, first, 2, ms);
        story.receive(safe("c-1"), LINK, ms + 2);
        let report = story.check();
        let drained = report.invariants.iter().find(|row| row.invariant == 23);
        assert_eq!(drained.unwrap().violations, broken, "{}", report.table());
    }
}

/// Two routers make their rounds in the same second.
fn two_sweepers() -> Story {
    let mut story = Story::new();
    for (id, router, ms) in [("c-1", "router-1", 8_100), ("c-2", "router-2", 8_200)] {
        story.accept(safe(id), 2_000);
        let dispatch = story.dispatch(safe(id), LINK, 1, 2_005);
        story.apply(router, id, "timer", dispatch, ("applied", "PENDING"), ms);
    }
    story
}

#[test]
fn two_sweepers_at_once_pass() {
    two_sweepers().shows(24);
}

#[test]
fn a_timer_that_two_sweepers_fire_is_flagged() {
    let mut story = two_sweepers();
    story.apply(
        "router-2",
        "c-1",
        "timer",
        redis(2_005) + 1,
        ("applied", "PENDING"),
        8_100,
    );
    story.breaks(24);
}

#[test]
fn rounds_that_handle_different_timers_pass_and_the_same_one_at_once_is_flagged() {
    let mut story = Story::new();
    for (router, ms) in [("router-1", 8_100), ("router-2", 8_200)] {
        story.line(router, ms, "swept", json!({"id": "c-1", "now_us": redis(ms)}));
    }
    story.shows(24);
    story.edit("swept", |l| {
        let second = l["proc"] == "router-2";
        l["now_us"] = json!(redis(8_100) + if second { 150 } else { 0 });
        true
    });
    story.breaks(24);
}

#[test]
fn a_deadline_and_a_timer_that_a_stall_made_due_are_two_and_each_is_handled_once() {
    const ROUNDS: [(&str, u64); 3] = [("router-1", 0), ("router-2", 150), ("router-1", 300)];
    let swept = |cmd: Cmd, rounds: usize| {
        let mut story = Story::new();
        story.accept(cmd, 3_000);
        for (router, us) in &ROUNDS[..rounds] {
            let now_us = redis(8_100) + us;
            story.line(router, 8_100, "swept", json!({"id": cmd.id, "now_us": now_us}));
        }
        story
    };
    let unsafe_one = Cmd {
        deadline_ms: 8_000,
        ..risky("c-9")
    };
    let breaks = |cmd, rounds| {
        let report = swept(cmd, rounds).check();
        let mut rows = report.invariants.iter();
        rows.any(|row| row.invariant == 24 && row.violations > 0)
    };
    assert!(!breaks(unsafe_one, 2));
    assert!(breaks(unsafe_one, 3), "the timer was handled twice");
    let safe_one = Cmd {
        is_unsafe: false,
        ..unsafe_one
    };
    assert!(breaks(safe_one, 2), "the deadline of a safe one ends it");
    let before_it = Cmd {
        deadline_ms: 9_000,
        ..unsafe_one
    };
    assert!(breaks(before_it, 2));
}

#[test]
fn under_relaxed_a_timer_that_redis_forgot_was_handled_is_handled_again() {
    let mut story = Story::new();
    for (router, us) in [("router-1", 0), ("router-2", 150)] {
        let now_us = redis(8_100) + us;
        story.line(router, 8_100, "swept", json!({"id": "c-1", "now_us": now_us}));
    }
    story.fault("kill", "redis", 8_200, 8_300);
    story.breaks(24);
    story.run["settings"]["durability"] = json!("relaxed");
    story.shows(24);
}

#[test]
fn one_router_alone_and_two_timers_of_one_dispatch_pass() {
    let again = |router: &str, ms: u64| {
        let mut story = two_sweepers();
        let dispatch = redis(2_005) + 1;
        story.apply(router, "c-1", "timer", dispatch, ("applied", "PENDING"), ms);
        story
    };
    again("router-1", 8_100).shows(24);
    again("router-2", 9_100).shows(24);
    let mut alone = two_sweepers();
    for us in [0, 150] {
        let now_us = redis(8_300) + us;
        alone.line("router-1", 8_300, "swept", json!({"id": "c-1", "now_us": now_us}));
    }
    alone.shows(24);
    let mut forgotten = again("router-2", 8_100);
    forgotten.fault("kill", "redis", 8_300, 8_400);
    forgotten.breaks(24);
    forgotten.run["settings"]["durability"] = json!("relaxed");
    forgotten.shows(24);
}
