//! Looks over the store every second, by a sweeper that changes nothing, and writes down what it saw. A second in which
//! Redis does not answer has no line: the checker counts what there is.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::chronicle::Chronicle;
use crate::stack::binaries::Binaries;
use crate::supervise::Guarded;

/// How often it looks.
const EACH: Duration = Duration::from_secs(1);

/// The longest look. One that takes long on a busy machine is a look all the same; ended early, it would have to begin
/// anew on the same machine, and nobody would look at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Findings of these kinds contradict an invariant. A registration may be out of date, which its own timer ends.
const CONTRADICTIONS: [&str; 6] = ["timer", "queue", "lane", "count", "listing", "retention"];

/// What the sweeper says of an open command that has no timer, or not the one that it should have.
const UNTIMED: [&str; 1] = ["is open and its timer"];

/// What it says of a timer too many. The timers are a sorted set by command, so that a second one is always one that
/// belongs to no open command.
const TIMED_TOO_OFTEN: [&str; 2] = ["has a timer but is not stored", "has ended but has a timer"];

/// A pass of the sweeper over the Redis at `url`.
pub(super) fn sweeper(binaries: &Binaries, url: &str, dry: bool) -> Guarded {
    let command = Guarded::new(binaries.path("registry-sweeper"))
        .args(["--output", "json", "--set"])
        .arg(format!("redis.url={url}"));
    if dry { command.arg("--dry-run") } else { command }
}

/// Audits until it is dropped.
pub(super) async fn audit(binaries: Binaries, url: String, folder: std::path::PathBuf) -> Result<()> {
    let chronicle = open(&folder)?;
    let look = sweeper(&binaries, &url, true);
    let mut ticks = interval(EACH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(Some(report)) = timeout(PATIENCE, report(&look)).await {
            chronicle.note("audit", fields(&report))?;
        }
    }
}

fn open(folder: &Path) -> Result<Chronicle> {
    Chronicle::open(folder, "auditor")
}

/// The sweeper's report. It exits with other codes than 0 when it found something; the report says what.
async fn report(look: &Guarded) -> Option<Value> {
    let outcome = look.outcome().await.ok()?;
    serde_json::from_str(outcome.out.lines().last()?).ok()
}

/// What the checker reads of a report.
fn fields(report: &Value) -> Value {
    let sentences = |kind: &str| -> Vec<String> {
        let examples = report["findings"][kind]["examples"].as_array();
        let texts = examples.into_iter().flatten().filter_map(Value::as_str);
        texts.map(|text| format!("{kind}: {text}")).collect()
    };
    let all: Vec<String> = CONTRADICTIONS.iter().flat_map(|kind| sentences(kind)).collect();
    let with = |words: &[&str]| {
        let found = all
            .iter()
            .filter(|text| words.iter().any(|word| text.contains(word)));
        found.count()
    };
    json!({
        // Every open command has its place among the timers, and nothing else has.
        "open": report["timers"].as_u64().unwrap_or(0),
        "untimed": with(&UNTIMED),
        "doubly_timed": with(&TIMED_TOO_OFTEN),
        "violations": all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_belongs_to_no_open_command_is_one_too_many() {
        let line = fields(&json!({
            "timers": 3,
            "findings": {"timer": {"count": 3, "examples": [
                "x has a timer but is not stored", "y has ended but has a timer",
                "z is open and its timer is not what it should be",
            ]}},
        }));
        assert_eq!((&line["doubly_timed"], &line["untimed"]), (&json!(2), &json!(1)));
    }

    #[test]
    fn a_report_becomes_a_line_with_what_contradicts_an_invariant() {
        let report = json!({
            "timers": 12,
            "findings": {
                "timer": {"count": 1, "examples": ["x is open and its timer is not what it should be"]},
                "dead route": {"count": 3, "examples": ["y"]},
            },
        });
        let line = fields(&report);
        assert_eq!((&line["open"], &line["untimed"]), (&json!(12), &json!(1)));
        assert_eq!(line["violations"].as_array().unwrap().len(), 1);
        assert_eq!(
            fields(&json!({"timers": 0, "findings": {}}))["violations"],
            json!([])
        );
    }
}
