//! The tables of dead letters, of replays and of purges.

use super::{fields, grid, optional, yes_no};
use crate::view::dead_letter::{AttemptView, BulkReplayView, DeadLetterView, PurgeView, ReplayView};
use crate::view::printable;

/// One dead letter: its command, then every attempt.
pub(crate) fn one(view: &DeadLetterView) -> String {
    let mut head = vec![("dead letter", optional(&view.reason))];
    head.extend(view.replayed_as.clone().map(|id| ("replayed as", id)));
    head.extend(super::command_fields(&view.command));
    format!("{}\n\n{}", fields(head), attempts(view))
}

/// Many dead letters, a line each.
pub(crate) fn many(views: &[DeadLetterView]) -> String {
    let header = [
        "COMMAND",
        "CHARGE POINT",
        "ACTION",
        "CLASS",
        "REASON",
        "ATTEMPTS",
        "ENDED",
        "REPLAYED AS",
    ];
    grid(
        &header,
        &[5],
        views.iter().map(|view| {
            vec![
                view.command.command_id.clone(),
                view.command.charge_point_id.clone(),
                view.command.action.clone(),
                optional(&view.command.redelivery_class),
                optional(&view.reason),
                view.command.attempts.to_string(),
                optional(&view.command.ended_at),
                optional(&view.replayed_as),
            ]
        }),
    )
}

/// One replay, a line a field.
pub(crate) fn replay(view: &ReplayView) -> String {
    let mut lines = vec![("dead letter", view.dead_letter_id.clone())];
    lines.push(("replayed as", optional(&view.command_id)));
    lines.extend(view.state.clone().map(|state| ("state", state)));
    lines.push(("replayed before", yes_no(view.deduplicated)));
    lines.push(("result", result(view)));
    fields(lines)
}

/// Many replays, a line each, and a line of sums.
pub(crate) fn replays(view: &BulkReplayView) -> String {
    let (would, not) = if view.dry_run {
        ("would be ", "would not")
    } else {
        ("", "not")
    };
    let (replayed, before, refused) = (view.replayed, view.replayed_before, view.refused);
    let sums = format!("{replayed} {would}replayed, {before} replayed before, {refused} {not}");
    if view.outcomes.is_empty() {
        return sums;
    }
    let rows = view.outcomes.iter().map(|outcome| {
        vec![
            outcome.dead_letter_id.clone(),
            optional(&outcome.command_id),
            result(outcome),
        ]
    });
    let lines = grid(&["DEAD LETTER", "REPLAYED AS", "RESULT"], &[], rows);
    format!("{lines}\n\n{sums}")
}

/// The removed ids, a line each, and their number.
pub(crate) fn purge(view: &PurgeView) -> String {
    let verb = if view.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut lines: Vec<String> = view.command_ids.iter().map(|id| printable(id)).collect();
    lines.push(format!("{} {verb}", view.command_ids.len()));
    lines.join("\n")
}

/// A line an attempt, and a line if there were more than are kept.
fn attempts(view: &DeadLetterView) -> String {
    let (kept, made) = (view.attempts.len(), view.command.attempts);
    let more = usize::try_from(made).is_ok_and(|made| made > kept);
    let lines = match kept {
        0 if more => return format!("none of its {made} attempts is kept"),
        0 => return "no attempt was made".to_owned(),
        _ => attempt_lines(&view.attempts),
    };
    if more {
        format!("{lines}\nthe latest {kept} of {made} attempts")
    } else {
        lines
    }
}

fn attempt_lines(views: &[AttemptView]) -> String {
    let header = ["ATTEMPT", "TIME", "POD", "INCARNATION", "CONNECTION", "OUTCOME"];
    let rows = views.iter().map(|attempt| {
        vec![
            attempt.number.to_string(),
            optional(&attempt.at),
            optional(&attempt.pod_id),
            attempt.incarnation.to_string(),
            attempt.connection_version.to_string(),
            optional(&attempt.outcome),
        ]
    });
    grid(&header, &[0, 3, 4], rows)
}

/// What was done with one, in words.
fn result(view: &ReplayView) -> String {
    match (&view.problem, view.deduplicated, view.dry_run) {
        (Some(problem), _, _) => problem.clone(),
        (None, true, _) => "replayed before".to_owned(),
        (None, false, true) => "would be replayed".to_owned(),
        (None, false, false) => "replayed".to_owned(),
    }
}
