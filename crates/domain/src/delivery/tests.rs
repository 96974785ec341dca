//! What the decision table promises, over every cell.

use super::*;
use table::Row;

fn rows(event: EventKind) -> impl Iterator<Item = Row> {
    table::all().into_iter().filter(move |r| r.event == event)
}

#[test]
fn every_cell_has_one_row_with_a_key_of_its_own() {
    let keys: std::collections::BTreeSet<String> =
        table::all().iter().map(|r| table::key(r.event, r.cell)).collect();
    assert_eq!(keys.len(), table::all().len());
    assert_eq!(keys.len(), 12 * 3 * 2 * 3 * 8);
}

#[test]
fn the_table_is_pinned() {
    let lines: Vec<String> = table::all()
        .iter()
        .filter(|r| r.cell.fits)
        .map(|r| format!("{} => {:?}", table::key(r.event, r.cell), r.outcome))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn an_event_that_does_not_fit_changes_nothing() {
    assert!(
        table::all()
            .iter()
            .filter(|r| !r.cell.fits)
            .all(|r| r.outcome.change.is_none())
    );
}

#[test]
fn an_ended_command_never_changes() {
    for status in Status::ALL.into_iter().filter(|s| s.is_terminal()) {
        for row in table::all() {
            let outcome = decide(Cell { status, ..row.cell }, row.event);
            assert_eq!(
                outcome,
                Outcome {
                    verdict: Verdict::Ended,
                    change: None
                }
            );
        }
    }
}

#[test]
fn an_unsafe_command_leaves_delivered_only_by_answer_non_write_or_settlement() {
    for row in table::all() {
        let out = row.cell.status == Status::Delivered && row.cell.class == RedeliveryClass::Unsafe;
        let Some(change) = row.outcome.change.filter(|_| out) else {
            continue;
        };
        if change.to == Status::Delivered {
            continue;
        }
        assert!(
            matches!(
                row.event,
                EventKind::Answer | EventKind::NonWrite | EventKind::Timer
            ),
            "{row:?}"
        );
        if row.event == EventKind::Timer {
            assert_eq!(
                (change.to, change.reason),
                (Status::Failed, Some(FailureReason::OutcomeUnknown))
            );
        }
    }
}

#[test]
fn an_unsafe_command_is_granted_only_from_sent_and_unmarked_ends_of_it_are_sure() {
    for row in table::all() {
        let Some(change) = row.outcome.change else {
            continue;
        };
        if change.also == Also::Grant {
            assert_eq!(
                (row.cell.status, row.cell.class),
                (Status::Sent, RedeliveryClass::Unsafe)
            );
        }
        if row.cell.class == RedeliveryClass::Unsafe {
            assert!(!change.possibly_written, "{row:?}");
        }
    }
}

#[test]
fn a_safe_command_that_was_exposed_never_ends_as_surely_unwritten() {
    for event in [EventKind::Deadline, EventKind::Cancel] {
        for row in rows(event).filter(|r| r.cell.class == RedeliveryClass::Safe && r.cell.fits) {
            assert_eq!(
                row.outcome.change.map(|c| c.possibly_written),
                Some(row.cell.exposed)
            );
        }
    }
}

#[test]
fn an_answer_ends_whatever_is_open() {
    assert!(rows(EventKind::Answer).filter(|r| r.cell.fits).all(|r| {
        r.outcome
            .change
            .is_some_and(|c| c.to == Status::Acknowledged && c.place == Place::Gone)
    }));
}

#[test]
fn refusals_and_lapsed_claims_cost_no_attempt() {
    for row in table::all().into_iter().filter(|r| r.cell.status == Status::Sent) {
        if let Some(change) = row.outcome.change.filter(|c| c.to == Status::Pending) {
            assert_eq!((change.attempts, change.place), (Attempts::Keep, Place::Queue));
        }
    }
}

#[test]
fn terminal_changes_leave_every_place_and_no_other_change_does() {
    for row in table::all() {
        if let Some(change) = row.outcome.change {
            assert_eq!(change.to.is_terminal(), change.place == Place::Gone, "{row:?}");
        }
    }
}

#[test]
fn marks_become_ends_in_the_step_that_returns_the_command() {
    for row in rows(EventKind::NonWrite).filter(|r| r.cell.fits && r.cell.status == Status::Delivered) {
        let to = row.outcome.change.map(|c| c.to);
        match (row.cell.class, row.cell.mark) {
            (RedeliveryClass::Safe, _) => assert_eq!(to, None),
            (RedeliveryClass::Unsafe, Mark::None) => assert_eq!(to, Some(Status::Pending)),
            (RedeliveryClass::Unsafe, Mark::Deadline) => assert_eq!(to, Some(Status::Expired)),
            (RedeliveryClass::Unsafe, Mark::Cancel) => assert_eq!(to, Some(Status::Cancelled)),
        }
    }
}
