//! What a pass found, for people and for programs.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

/// How many sentences of a kind are printed; all are counted.
const EXAMPLES: usize = 20;

/// The result of a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Slots looked at.
    pub slots: u64,
    /// Chargers looked at.
    pub chargers: u64,
    /// Connections looked at.
    pub connections: u64,
    /// Timers looked at.
    pub timers: u64,
    /// Pods looked at.
    pub pods: u64,
    /// Timers that no router handled in time; a sweeper does not handle them either.
    pub overdue: u64,
    /// What was wrong, by kind: how often, and the first sentences.
    pub findings: BTreeMap<String, Kind>,
}

/// One kind of finding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// How often.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was wrong: exit code 0.
    Clean,
    /// Something was wrong and was repaired, or would have been without `--dry-run`: exit code 3.
    Repaired,
    /// The pass could not be made, or found what only a router can mend: exit code 1.
    Failed,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Repaired => 3,
            Self::Failed => 1,
        }
    }
}

impl Report {
    /// Notes one finding.
    pub fn add(&mut self, kind: &str, what: String) {
        let entry = self.findings.entry(kind.to_owned()).or_default();
        entry.count += 1;
        if entry.examples.len() < EXAMPLES {
            entry.examples.push(what);
        }
    }

    /// What the process ends with.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.overdue > 0 {
            Outcome::Failed
        } else if self.findings.is_empty() {
            Outcome::Clean
        } else {
            Outcome::Repaired
        }
    }

    /// The report as a table with the sentences below it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(UTF8_FULL_CONDENSED)
            .set_header(["", "looked at", "wrong"]);
        let wrong = |kinds: &[&str]| -> u64 {
            kinds
                .iter()
                .filter_map(|k| self.findings.get(*k))
                .map(|k| k.count)
                .sum()
        };
        table.add_row(["slots", &self.slots.to_string(), ""]);
        table.add_row(["pods", &self.pods.to_string(), &wrong(&["pod"]).to_string()]);
        let connections = wrong(&["registration", "dead route"]).to_string();
        table.add_row(["connections", &self.connections.to_string(), &connections]);
        let chargers = wrong(&["queue", "lane", "count", "listing", "retention"]).to_string();
        table.add_row(["chargers", &self.chargers.to_string(), &chargers]);
        table.add_row(["timers", &self.timers.to_string(), &wrong(&["timer"]).to_string()]);
        let mut text = table.to_string();
        for (kind, found) in &self.findings {
            for what in &found.examples {
                text.push_str(&format!("\n{kind}: {what}"));
            }
            let more = found.count - u64::try_from(found.examples.len()).unwrap_or(found.count);
            if more > 0 {
                text.push_str(&format!("\n{kind}: and {more} more"));
            }
        }
        text.push_str(&format!("\n{}", self.summary()));
        text
    }

    fn summary(&self) -> String {
        let count: u64 = self.findings.values().map(|k| k.count).sum();
        let repaired = if self.dry_run {
            "would be repaired"
        } else {
            "repaired"
        };
        match (count, self.overdue) {
            (0, 0) => "clean".to_owned(),
            (_, 0) => format!("{count} {repaired}"),
            (_, overdue) => {
                format!("{overdue} timers are overdue: does a router run? {count} other findings {repaired}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: usize, overdue: u64) -> Report {
        let mut report = Report {
            slots: 64,
            chargers: 30,
            overdue,
            ..Report::default()
        };
        for n in 0..findings {
            report.add("timer", format!("command {n} has no timer"));
        }
        report
    }

    #[test]
    fn the_exit_code_tells_clean_repaired_and_failed_apart() {
        assert_eq!(report(0, 0).outcome().code(), 0);
        assert_eq!(report(1, 0).outcome().code(), 3);
        assert_eq!(report(1, 2).outcome().code(), 1);
    }

    #[test]
    fn a_table_counts_all_and_names_the_first() {
        insta::assert_snapshot!(report(22, 1).table());
    }
}
