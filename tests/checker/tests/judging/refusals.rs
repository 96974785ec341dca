//! Invariant 19: refusals for the bound of a charger's queue, due and not due.

use serde_json::json;

use crate::story::{Story, safe};

/// Why the gateway refuses at a bound of two.
const WHY: &str = "the charge point has 2 open commands, the limit";

/// So many commands are open, the bound is two, and one more is refused.
fn refused(open: usize, why: &str) -> Story {
    let mut story = Story::new();
    for id in ["c-1", "c-2"].into_iter().take(open) {
        story.accept(safe(id), 2_000);
    }
    let n = story.call(safe("c-3"), "c-3", "p", 2_200);
    story.reply(
        n,
        2_210,
        json!({"ok": false, "code": "RESOURCE_EXHAUSTED", "why": why}),
    );
    story
}

#[test]
fn a_refusal_at_the_bound_is_due() {
    refused(2, WHY).shows(19);
}

#[test]
fn a_refusal_below_the_bound_is_flagged() {
    let report = refused(1, WHY).breaks(19);
    assert_eq!(report.details[0].charger, "cp-1");
    // One that does not say why may have been for too many calls at the router.
    assert_eq!(refused(1, "").check().violations, 0);
    refused(2, "").shows(19);
}

#[test]
fn a_refusal_that_may_have_been_due_is_neither_flagged_nor_counted() {
    // A call without an answer may have become the second command.
    let mut unsure = refused(1, WHY);
    unsure.call(safe("c-9"), "c-9", "p", 2_100);
    let report = unsure.check();
    assert_eq!(report.violations, 0, "{}", report.table());
    assert!(!report.exercised.contains(&19));
    // One that ended while the call lasted may still have been open.
    let mut ended = refused(2, WHY);
    ended.end(safe("c-1"), "CANCELLED", "", 2_205);
    let report = ended.check();
    assert_eq!(report.violations, 0, "{}", report.table());
    assert!(!report.exercised.contains(&19));
}

#[test]
fn a_refusal_after_a_command_ended_is_flagged() {
    let mut story = refused(2, WHY);
    story.end(safe("c-1"), "CANCELLED", "", 2_050);
    story.breaks(19);
}

#[test]
fn a_call_that_was_refused_for_certain_was_never_open() {
    let mut story = refused(1, WHY);
    let n = story.call(safe("c-9"), "c-9", "p", 2_100);
    story.reply(n, 2_105, json!({"ok": false, "code": "INVALID_ARGUMENT"}));
    story.breaks(19);
}

#[test]
fn a_refusal_that_names_another_bound_is_flagged() {
    refused(2, "the charge point has 7 open commands, the limit").breaks(19);
}

#[test]
fn a_refusal_for_another_bound_than_the_queue_is_no_evidence() {
    let others = [
        "100000 results wait to leave for Kafka, the limit",
        "Too many active requests",
    ];
    for why in others {
        let report = refused(1, why).check();
        assert_eq!(report.violations, 0, "{}", report.table());
        assert!(!report.exercised.contains(&19));
    }
}

#[test]
fn under_relaxed_a_refusal_may_be_for_what_redis_forgot() {
    let mut story = refused(1, WHY);
    story.fault("kill", "redis", 2_300, 2_400);
    story.breaks(19);
    story.run["settings"]["durability"] = json!("relaxed");
    assert_eq!(story.check().violations, 0);
}
