//! What several runs showed together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use super::scenario::Scenario;

/// How many invariants there are.
pub(super) const INVARIANTS: u64 = 24;

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) seed: u64,
    /// What was played; none if the faults were drawn.
    pub(super) scenario: Option<Scenario>,
    /// Nothing is wrong.
    pub(super) clean: bool,
    /// What the checker said, and what else the run showed.
    pub(super) json: Value,
}

impl Run {
    /// The scenario, or the seed.
    pub(super) fn name(&self) -> String {
        self.scenario
            .map_or_else(|| self.seed.to_string(), Scenario::name)
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) runs: Vec<Run>,
    /// The names of runs that broke off, of which nothing is known.
    pub(super) broken_off: Vec<String>,
}

impl Summary {
    /// One more run.
    pub(super) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Nothing is wrong with any.
    pub(super) fn clean(&self) -> bool {
        self.broken_off.is_empty() && self.runs.iter().all(|run| run.clean)
    }

    /// The sum of a number, or of the length of a list.
    pub(super) fn sum(&self, key: &str) -> u64 {
        self.runs.iter().map(|run| count(&run.json[key])).sum()
    }

    /// The invariants that any run exercised.
    pub(super) fn exercised(&self) -> BTreeSet<u64> {
        let lists = self
            .runs
            .iter()
            .filter_map(|run| run.json["exercised"].as_array());
        lists.flatten().filter_map(Value::as_u64).collect()
    }

    /// How often each kind of fault was injected.
    pub(super) fn faults(&self) -> BTreeMap<String, u64> {
        self.counts("faults")
    }

    /// Numbers by name, such as `faults`, added up over the runs.
    pub(super) fn counts(&self, key: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let objects = self.runs.iter().filter_map(|run| run.json[key].as_object());
        for (name, number) in objects.flatten() {
            *counts.entry(name.clone()).or_default() += number.as_u64().unwrap_or(0);
        }
        counts
    }

    /// A time of each run that has it, in milliseconds, the shortest first: `drained_ms` from the last heal until all
    /// had drained, `recovery_ms` from any heal until the last command that was open then had ended.
    pub(super) fn times_ms(&self, key: &str) -> Vec<u64> {
        let mut all: Vec<u64> = self
            .runs
            .iter()
            .filter_map(|run| run.json[key].as_u64())
            .collect();
        all.sort_unstable();
        all
    }

    /// All of it for programs, with the keys of a single run.
    pub(super) fn json(&self) -> Value {
        json!({
            "seeds": self.runs.iter().map(|run| run.seed).collect::<Vec<_>>(),
            "accepted": self.sum("accepted"),
            "lost": self.sum("lost"),
            "duplicated_unsafe": self.sum("duplicated_unsafe"),
            "outcome_unknown": self.sum("outcome_unknown"),
            "violations": self.sum("violations"),
            "exercised": self.exercised(),
            "faults": self.faults(),
            "intruders": self.counts("intruders"),
            "recovery_ms": self.times_ms("recovery_ms"),
            "drained_ms": self.times_ms("drained_ms"),
            "broken_off": self.broken_off,
            "runs": self.runs.iter().map(|run| &run.json).collect::<Vec<_>>(),
        })
    }

    /// One row a run.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header([
            "RUN",
            "ACCEPTED",
            "LOST",
            "DUPLICATED",
            "UNKNOWN",
            "VIOLATIONS",
            "SHOWN",
            "FAULTS",
            "RECOVERY",
            "",
        ]);
        for run in &self.runs {
            table.add_row(row(run));
        }
        let shown = self.exercised().len();
        let mut text = format!("{table}\n{shown} of {INVARIANTS} invariants were exercised over the set");
        for name in &self.broken_off {
            let _ = write!(text, "\n{name} broke off and shows nothing");
        }
        text
    }
}

/// The cells of a run.
fn row(run: &Run) -> Vec<String> {
    let number = |key: &str| count(&run.json[key]).to_string();
    let faults: u64 = run.json["faults"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, n)| n.as_u64())
        .sum();
    let recovery = run.json["recovery_ms"].as_u64();
    vec![
        run.name(),
        number("accepted"),
        number("lost"),
        number("duplicated_unsafe"),
        number("outcome_unknown"),
        number("violations"),
        number("exercised"),
        faults.to_string(),
        recovery.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        (if run.clean { "" } else { "WRONG" }).to_owned(),
    ]
}

/// A number, or the length of a list.
fn count(value: &Value) -> u64 {
    let length = value
        .as_array()
        .map(|list| u64::try_from(list.len()).unwrap_or(u64::MAX));
    value.as_u64().or(length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up() {
        let run = |seed, lost, exercised: &[u64]| Run {
            seed,
            scenario: None,
            clean: lost == 0,
            json: json!({
                "accepted": 10, "lost": lost, "violations": if lost == 0 { json!([]) } else { json!(["a"]) },
                "exercised": exercised, "faults": {"cut": 2}, "recovery_ms": 100 - seed,
            }),
        };
        let mut summary = Summary::default();
        summary.add(run(1, 0, &[1, 2]));
        assert!(summary.clean());
        summary.add(run(2, 1, &[2, 3]));
        assert!(!summary.clean());
        let json = summary.json();
        assert_eq!(
            (&json["accepted"], &json["lost"], &json["violations"]),
            (&json!(20), &json!(1), &json!(1))
        );
        assert_eq!(
            (&json["exercised"], &json["faults"]),
            (&json!([1, 2, 3]), &json!({"cut": 4}))
        );
        assert_eq!(json["recovery_ms"], json!([98, 99]));
        assert!(summary.table().contains("WRONG"));
    }
}
