//! What a scenario showed beside the invariants, in figures: how commands were accepted while the fault lasted, what a
//! crash took, how far a clock was off. All of it is read from the histories; none of it is a judgement.

mod losses;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::gauge;
use super::run::Outcome;
use super::scenario::Scenario;
use losses::Losses;

/// The figures of a run, by name.
pub(super) fn of(scenario: Scenario, folder: &Path, outcome: &Outcome) -> Result<Map<String, Value>> {
    let (faults, client) = (read(folder, "faults")?, read(folder, "client")?);
    let windows = windows(&faults);
    let mut shown = acceptance(&client, &windows);
    let (all, slot) = outcome.outbox;
    let restarts: Vec<String> = outcome
        .restarts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let figures = [
        ("faults_lasted_s", json!(total(&windows) / 1_000_000)),
        ("most_in_the_outbox", json!(all)),
        ("most_in_the_outbox_of_a_slot", json!(slot)),
        ("bound_of_the_outbox_of_a_slot", json!(gauge::BOUND)),
        ("restarts_by_the_supervisor", json!(restarts.join(", "))),
    ];
    shown.extend(figures.map(|(name, value)| (name.to_owned(), value)));
    match scenario {
        Scenario::RelaxedLoss => shown.extend(Losses::read(folder, &faults, &client)?.figures()),
        Scenario::ClockSkew => {
            let skew = skews(folder, &faults)?;
            shown.insert("clocks_were_off_by_at_most".to_owned(), json!(skew));
        }
        Scenario::KafkaOutage | Scenario::RedisRestart | Scenario::RedisFull => {}
    }
    Ok(shown)
}

/// The figures as lines for people.
pub(super) fn lines(shown: &Map<String, Value>) -> Vec<String> {
    let line = |(name, value): (&String, &Value)| format!("{}: {}", words(name), plain(value));
    shown.iter().map(line).collect()
}

/// A name as people write it.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A value as people write it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(map) if map.is_empty() => "none".to_owned(),
        Value::Object(map) => {
            let pairs: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect();
            pairs.join(", ")
        }
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// The lines of a history; a line that its writer's death tore is left out.
fn read(folder: &Path, name: &str) -> Result<Vec<Value>> {
    let path = folder.join(format!("{name}.jsonl"));
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
}

/// When faults lasted, on the machine's clock, from the first beginning to the last end where they overlap.
fn windows(faults: &[Value]) -> Vec<(u64, u64)> {
    let mut windows: Vec<(u64, u64)> = Vec::new();
    let mut open = 0_u32;
    for line in faults {
        let at = line["m_us"].as_u64().unwrap_or(0);
        match line["ev"].as_str() {
            Some("inject") => {
                if open == 0 {
                    windows.push((at, u64::MAX));
                }
                open += 1;
            }
            Some("heal") => open = open.saturating_sub(1),
            Some("healed_all") => open = 0,
            _ => continue,
        }
        if let (0, Some(last)) = (open, windows.last_mut()) {
            last.1 = last.1.min(at);
        }
    }
    windows
}

fn total(windows: &[(u64, u64)]) -> u64 {
    windows.iter().map(|(from, to)| to.saturating_sub(*from)).sum()
}

/// How calls were answered while faults lasted.
fn acceptance(client: &[Value], windows: &[(u64, u64)]) -> Map<String, Value> {
    let mut accepted = 0_u64;
    let mut refused: BTreeMap<String, u64> = BTreeMap::new();
    let mut calls: BTreeMap<u64, u64> = BTreeMap::new();
    let mut took = Vec::new();
    for line in client {
        let (at, number) = (line["m_us"].as_u64().unwrap_or(0), line["n"].as_u64());
        match (line["ev"].as_str(), number) {
            (Some("call"), Some(number)) => {
                calls.insert(number, at);
            }
            (Some("reply"), Some(number)) if windows.iter().any(|(from, to)| (*from..=*to).contains(&at)) => {
                if line["ok"] == json!(true) {
                    accepted += 1;
                    took.push(at.saturating_sub(calls.get(&number).copied().unwrap_or(at)) / 1_000);
                } else {
                    let code = line["code"].as_str().unwrap_or("UNKNOWN");
                    *refused.entry(code.to_owned()).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100);
    let mut figures = Map::new();
    figures.insert("calls_accepted_meanwhile".to_owned(), json!(accepted));
    figures.insert("calls_refused_meanwhile_by_code".to_owned(), json!(refused));
    figures.insert("ms_to_accept_meanwhile_p99".to_owned(), json!(p99));
    figures
}

/// By how many seconds the wall clock of each router and edge was off at most, by name; those that were right are not
/// named. The run's own clock, in the faults' history, is the measure.
fn skews(folder: &Path, faults: &[Value]) -> Result<BTreeMap<String, String>> {
    let distance = |line: &Value| Some(line["t_us"].as_i64()? - line["m_us"].as_i64()?);
    let measure = faults.iter().find_map(distance).context("no line of a fault")?;
    let mut skews = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let is_service = name.starts_with("router-") || name.starts_with("edge-");
        if !is_service || path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let lines = read(folder, name)?;
        let off = lines
            .iter()
            .filter_map(|line| Some(distance(line)? - measure))
            .max_by_key(|off| off.abs());
        let seconds = (off.unwrap_or(0) + 500_000).div_euclid(1_000_000);
        if seconds != 0 {
            skews.insert(name.to_owned(), format!("{seconds:+} s"));
        }
    }
    Ok(skews)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_overlap_are_one_window_and_a_heal_of_all_ends_it() {
        let line = |ev: &str, at: u64| json!({"ev": ev, "m_us": at});
        let faults = [
            line("inject", 10),
            line("inject", 20),
            line("heal", 30),
            line("heal", 40),
            line("inject", 50),
            line("healed_all", 70),
            line("drained", 90),
        ];
        assert_eq!(windows(&faults), [(10, 40), (50, 70)]);
        assert_eq!(total(&windows(&faults)), 50);
    }

    #[test]
    fn only_what_is_answered_while_a_fault_lasts_counts() {
        let call = |n: u64, at: u64| json!({"ev": "call", "n": n, "m_us": at});
        let client = [
            call(1, 5),
            json!({"ev": "reply", "n": 1, "m_us": 9, "ok": true}),
            call(2, 9),
            json!({"ev": "reply", "n": 2, "m_us": 3_009, "ok": true}),
            call(3, 11),
            json!({"ev": "reply", "n": 3, "m_us": 12, "ok": false, "code": "UNAVAILABLE"}),
        ];
        let figures = acceptance(&client, &[(10, 4_000)]);
        assert_eq!(figures["calls_accepted_meanwhile"], json!(1));
        assert_eq!(
            figures["calls_refused_meanwhile_by_code"],
            json!({"UNAVAILABLE": 1})
        );
        assert_eq!(figures["ms_to_accept_meanwhile_p99"], json!(3));
        assert!(lines(&figures).contains(&"calls refused meanwhile by code: UNAVAILABLE 1".to_owned()));
    }

    #[test]
    fn a_clock_that_is_off_is_measured_against_the_runs_own() {
        let folder = tempfile::tempdir().unwrap();
        let line = |t: i64, m: i64| format!("{}\n", json!({"t_us": t, "m_us": m, "ev": "x"}));
        let torn = format!("{}{}{{\"t_us\"", line(1_000, 500), line(120_002_000, 1_500));
        std::fs::write(folder.path().join("edge-1.jsonl"), torn).unwrap();
        std::fs::write(folder.path().join("router-1.jsonl"), line(900, 400)).unwrap();
        let faults = [json!({"t_us": 600, "m_us": 100})];
        let skews = skews(folder.path(), &faults).unwrap();
        assert_eq!(
            skews,
            BTreeMap::from([("edge-1".to_owned(), "+120 s".to_owned())])
        );
    }
}
