//! The tables for people. Leaves out what the fields mean: those are `view`'s.

pub(crate) mod dead_letter;

use comfy_table::{CellAlignment, Table, presets};

use crate::view::command::{AnswerView, CommandView};
use crate::view::connection::ConnectionView;
use crate::view::json::Json;
use crate::view::printable;

/// Stands where there is nothing.
const NOTHING: &str = "-";

/// One command, a line a field.
pub(crate) fn command(view: &CommandView) -> String {
    fields(command_fields(view))
}

/// The names and values of a command's lines.
fn command_fields(view: &CommandView) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("command", view.command_id.clone()),
        ("charge point", view.charge_point_id.clone()),
        ("action", view.action.clone()),
        ("priority", optional(&view.priority)),
        ("class", optional(&view.redelivery_class)),
        ("state", optional(&view.state)),
    ];
    lines.extend(view.failure_reason.clone().map(|reason| ("reason", reason)));
    lines.extend(view.answer.iter().map(|answer| ("answer", answer_line(answer))));
    lines.extend(
        view.possibly_written
            .then(|| ("note", "the charger may have received it".to_owned())),
    );
    lines.extend(view.cancel_requested.then(|| {
        (
            "note",
            "cancelled or past its deadline; the charger may have received it, its answer is awaited"
                .to_owned(),
        )
    }));
    lines.extend(view.replay_of.clone().map(|id| ("replay of", id)));
    lines.push(("attempts", view.attempts.to_string()));
    lines.push(("last pod", optional(&view.last_pod_id)));
    lines.push(("created", optional(&view.created_at)));
    lines.push(("deadline", optional(&view.deadline)));
    lines.extend(view.ended_at.clone().map(|time| ("ended", time)));
    lines.push(("revision", view.revision.to_string()));
    lines.extend(
        view.payload
            .iter()
            .map(|payload| ("payload", payload.as_str().to_owned())),
    );
    lines
}

/// Many commands, a line each.
pub(crate) fn commands(views: &[CommandView]) -> String {
    let header = [
        "COMMAND",
        "CHARGE POINT",
        "ACTION",
        "PRIORITY",
        "STATE",
        "REASON",
        "ATTEMPTS",
        "POD",
        "CREATED",
    ];
    grid(
        &header,
        &[6],
        views.iter().map(|view| {
            vec![
                view.command_id.clone(),
                view.charge_point_id.clone(),
                view.action.clone(),
                optional(&view.priority),
                optional(&view.state),
                optional(&view.failure_reason),
                view.attempts.to_string(),
                optional(&view.last_pod_id),
                optional(&view.created_at),
            ]
        }),
    )
}

/// One change of a command, while it is watched.
pub(crate) fn change(view: &CommandView) -> String {
    let state = optional(&view.state);
    let pod = optional(&view.last_pod_id);
    let reason = view.failure_reason.as_deref().unwrap_or_default();
    let line = format!("{state:<13} attempts {:<3} pod {pod}  {reason}", view.attempts);
    printable(line.trim_end())
}

/// One connection, a line a field.
pub(crate) fn connection(view: &ConnectionView) -> String {
    fields(vec![
        ("charge point", view.charge_point_id.clone()),
        ("connected", yes_no(view.connected)),
        ("pod", optional(&view.pod_id)),
        ("incarnation", view.incarnation.to_string()),
        ("connection", view.version.to_string()),
        ("protocol", optional(&view.ocpp_version)),
        ("registered", optional(&view.registered_at)),
        ("expires", optional(&view.expires_at)),
        ("open commands", view.open_commands.to_string()),
    ])
}

/// Many connections, a line each.
pub(crate) fn connections(views: &[ConnectionView]) -> String {
    let header = [
        "CHARGE POINT",
        "CONNECTED",
        "POD",
        "PROTOCOL",
        "CONNECTION",
        "OPEN",
        "REGISTERED",
        "EXPIRES",
    ];
    grid(
        &header,
        &[4, 5],
        views.iter().map(|view| {
            vec![
                view.charge_point_id.clone(),
                yes_no(view.connected),
                optional(&view.pod_id),
                optional(&view.ocpp_version),
                view.version.to_string(),
                view.open_commands.to_string(),
                optional(&view.registered_at),
                optional(&view.expires_at),
            ]
        }),
    )
}

/// Names on the left, values on the right.
pub(crate) fn fields(lines: Vec<(&str, String)>) -> String {
    let mut table = plain();
    for (name, value) in lines {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    trimmed(&table)
}

/// A header and a line an entry; the columns of numbers are aligned to the right.
fn grid(header: &[&str], numbers: &[usize], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = plain();
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for &index in numbers {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    trimmed(&table)
}

/// A table without lines: it can be cut and searched by other tools.
fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

/// Without the blanks that a table without lines has at its sides.
fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn optional(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| NOTHING.to_owned())
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

fn answer_line(answer: &AnswerView) -> String {
    let text = |json: &Option<Json>| json.as_ref().map_or("{}", Json::as_str).to_owned();
    match answer {
        AnswerView::Result(result) => format!("CALLRESULT {}", text(result)),
        AnswerView::Error {
            code,
            description,
            details,
        } => {
            format!("CALLERROR {code} \"{description}\" {}", text(details))
        }
    }
}
