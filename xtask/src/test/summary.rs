//! What `cargo xtask test` shows: a line as each step begins and ends, a table at the end.

use std::time::{Duration, Instant};

use comfy_table::{Table, presets};

use super::steps::{Context, Step};
use crate::progress::{complain, human, print, say};

/// The outcomes so far.
#[derive(Debug, Default)]
pub(super) struct Summary {
    rows: Vec<Row>,
}

/// One step's outcome.
#[derive(Debug)]
struct Row {
    name: &'static str,
    passed: bool,
    took: Duration,
    repeat: String,
}

impl Summary {
    /// Runs one step and notes its outcome.
    pub(super) async fn run(&mut self, context: &Context, step: Step) {
        let name = step.name();
        say(format!("{name} …"));
        let begun = Instant::now();
        let outcome = context.run(step).await;
        let took = begun.elapsed();
        match &outcome {
            Ok(()) => say(format!("{name}: ok ({})", human(took))),
            Err(error) => complain(format!("{name}: {error:#} ({})", human(took))),
        }
        self.rows.push(Row {
            name,
            passed: outcome.is_ok(),
            took,
            repeat: context.repeat(step),
        });
    }

    /// Prints the table; the exit code.
    pub(super) fn finish(&self) -> u8 {
        print(format!("\n{}", self.table()));
        let failed: Vec<&Row> = self.rows.iter().filter(|row| !row.passed).collect();
        for row in &failed {
            complain(format!("{} failed; just that again: {}", row.name, row.repeat));
        }
        self.code()
    }

    fn code(&self) -> u8 {
        u8::from(self.rows.iter().any(|row| !row.passed))
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_header(["STEP", "RESULT", "TIME"]);
        for row in &self.rows {
            let result = if row.passed { "ok" } else { "FAILED" };
            table.add_row([row.name, result, &human(row.took)]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, passed: bool) -> Row {
        Row {
            name,
            passed,
            took: Duration::from_millis(5),
            repeat: "again".to_owned(),
        }
    }

    #[test]
    fn one_failed_step_fails_the_whole() {
        assert_eq!(
            Summary {
                rows: vec![row("format", true)]
            }
            .code(),
            0
        );
        let summary = Summary {
            rows: vec![row("format", true), row("lint", false)],
        };
        assert_eq!(summary.code(), 1);
        let table = summary.table().to_string();
        assert!(
            table
                .lines()
                .any(|line| line.contains("lint") && line.contains("FAILED")),
            "{table}"
        );
    }
}
