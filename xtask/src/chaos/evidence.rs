//! The evidence page: what the runs showed, in numbers, and how to repeat them. It is written by the harness and by
//! nobody else; runs of seeds and of scenarios each write their own part of it (`page`).

mod page;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::fault::Kind;
use super::options::Options;
use super::scenario::Scenario;
use super::shown;
use super::summary::{INVARIANTS, Run, Summary};
use page::{Page, SEEDS};

/// Writes what the runs showed onto the page, and leaves there what others showed.
pub(super) fn write(page: &Path, summary: &Summary, options: &Options) -> Result<()> {
    let old = match std::fs::read_to_string(page) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("reading {}", page.display()))?,
    };
    let text = refreshed(&old, summary, options)?;
    std::fs::write(page, text).with_context(|| format!("writing {}", page.display()))
}

/// The page with the sections of these runs written anew.
fn refreshed(old: &str, summary: &Summary, options: &Options) -> Result<String> {
    let mut page = Page::parse(old);
    for run in &summary.runs {
        if let Some(scenario) = run.scenario {
            page.put(scenario.name(), &played(scenario, run, options)?);
        }
    }
    if summary.runs.iter().any(|run| run.scenario.is_none()) {
        page.put(SEEDS, &seeds(summary, options)?);
    }
    let order: Vec<String> = Scenario::value_variants().iter().map(|one| one.name()).collect();
    Ok(page.render(&order))
}

/// What one scenario showed.
fn played(scenario: Scenario, run: &Run, options: &Options) -> Result<String> {
    let mut text = String::new();
    let seconds = run.json["duration_s"].as_u64().unwrap_or(0);
    writeln!(
        text,
        "## Scenario `{0}`\n\n{1}\n\nRepeat it by\n\n```\ncargo xtask chaos --scenario {0} --duration {2}s --rate {3} \
         --brokers {4} --evidence docs/evidence.md\n```\n\n| what | how much |\n| --- | --- |",
        scenario.name(),
        scenario.about(),
        Scenario::faults_s(seconds),
        options.rate,
        options.brokers,
    )?;
    for (what, how_much) in played_figures(run) {
        writeln!(text, "| {what} | {how_much} |")?;
    }
    Ok(text)
}

/// The rows of a scenario's table.
fn played_figures(run: &Run) -> Vec<(String, String)> {
    const FIGURES: [(&str, &str); 10] = [
        ("durability", "durability"),
        ("commands accepted", "accepted"),
        ("lost", "lost"),
        (
            "unsafe ones executed twice, beyond what the setting says",
            "duplicated_unsafe",
        ),
        ("outcome unknown, and said so", "outcome_unknown"),
        ("violations", "violations"),
        ("faults injected", "faults"),
        ("everything drained without a hand", "drained"),
        ("ms from the last heal to drained", "drained_ms"),
        ("processes that ended though no fault ended them", "crashes"),
    ];
    let single = Summary {
        runs: vec![run.clone()],
        ..Summary::default()
    };
    let exercised = format!("{} of {INVARIANTS}", single.exercised().len());
    let known = FIGURES.map(|(what, key)| (what.to_owned(), shown::plain(&run.json[key])));
    let shown = run.json["shown"].as_object().into_iter().flatten();
    let versions = shown::plain(&run.json["versions"]);
    known
        .into_iter()
        .chain([("invariants exercised".to_owned(), exercised)])
        .chain(shown.map(|(name, value)| (shown::words(name), shown::plain(value))))
        .chain([("versions".to_owned(), versions)])
        .collect()
}

/// What the seeds showed.
fn seeds(summary: &Summary, options: &Options) -> Result<String> {
    let (mut text, seeds) = (String::new(), seeds_of(summary));
    writeln!(
        text,
        "## Faults drawn by seed\n\n\
         Two routers, three edges, real Redis and Kafka, 300 chargers, faults drawn by seed on every process and on every\n\
         link between two parts; a checker that reads only histories, the chargers' logs and a last dump of Redis judged the\n\
         {INVARIANTS} invariants.\n\n\
         Repeat it by\n\n```\n{}\n```\n\n\
         | what | how much |\n| --- | --- |",
        command(&seeds, options)
    )?;
    for (what, how_much) in figures(summary, options, seeds) {
        writeln!(text, "| {what} | {how_much} |")?;
    }
    runs(&mut text, &summary.runs)?;
    faults(&mut text, summary)?;
    parts(&mut text, summary)?;
    Ok(text)
}

/// The rows of the first table.
fn figures(summary: &Summary, options: &Options, seeds: String) -> [(&'static str, String); 17] {
    let sum = |key: &str| summary.sum(key).to_string();
    let shown = summary.exercised().len();
    let duration = options.duration.as_secs();
    [
        ("seeds", seeds),
        ("runs that broke off and show nothing", broken_off(summary)),
        (
            "duration of each",
            format!("{duration} s of faults, then heal and drain"),
        ),
        ("durability", options.durability.name().to_owned()),
        ("brokers", options.brokers.to_string()),
        (
            "faults injected",
            summary.faults().values().sum::<u64>().to_string(),
        ),
        ("kinds of faults that were not drawn", not_drawn(options)),
        ("commands accepted", sum("accepted")),
        ("lost", sum("lost")),
        ("unsafe ones executed twice", sum("duplicated_unsafe")),
        ("outcome unknown, and said so", sum("outcome_unknown")),
        ("violations", sum("violations")),
        ("invariants exercised", format!("{shown} of {INVARIANTS}")),
        ("not exercised", not_shown(summary)),
        ("from the last heal to drained", times(summary, "drained_ms")),
        (
            "from any heal to the end of the last command that was open then",
            times(summary, "recovery_ms"),
        ),
        ("processes that ended though no fault ended them", sum("crashes")),
    ]
}

/// The middle and the longest of a time.
fn times(summary: &Summary, key: &str) -> String {
    let all = summary.times_ms(key);
    match (all.get(all.len() / 2), all.last()) {
        (Some(middle), Some(longest)) => format!("{middle} ms in the middle, {longest} ms at most"),
        _ => "not measured".to_owned(),
    }
}

fn runs(text: &mut String, runs: &[Run]) -> Result<()> {
    writeln!(text, "\n### Runs\n")?;
    writeln!(
        text,
        "| seed | accepted | lost | duplicated | unknown | violations | exercised | recovery |"
    )?;
    writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for run in runs {
        let single = Summary {
            runs: vec![run.clone()],
            ..Summary::default()
        };
        let recovery = run.json["recovery_ms"]
            .as_u64()
            .map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {recovery} |",
            run.seed,
            single.sum("accepted"),
            single.sum("lost"),
            single.sum("duplicated_unsafe"),
            single.sum("outcome_unknown"),
            single.sum("violations"),
            single.exercised().len(),
        )?;
    }
    Ok(())
}

fn faults(text: &mut String, summary: &Summary) -> Result<()> {
    writeln!(text, "\n### Faults\n\n| fault | injected |\n| --- | --- |")?;
    for (kind, number) in summary.faults() {
        writeln!(text, "| {kind} | {number} |")?;
    }
    let strangers = summary.counts("intruders");
    if !strangers.is_empty() {
        writeln!(
            text,
            "\n| stranger and what the edge did | times |\n| --- | --- |"
        )?;
    }
    for (stranger, number) in strangers {
        writeln!(text, "| {stranger} | {number} |")?;
    }
    Ok(())
}

fn parts(text: &mut String, summary: &Summary) -> Result<()> {
    writeln!(text, "\n### Parts\n\n| part | version |\n| --- | --- |")?;
    let versions = summary
        .runs
        .first()
        .and_then(|run| run.json["versions"].as_object());
    for (part, version) in versions.into_iter().flatten() {
        let version = version.as_str().unwrap_or("unknown");
        writeln!(text, "| {part} | {version} |")?;
    }
    Ok(())
}

/// The seeds, as a range where they are one.
fn seeds_of(summary: &Summary) -> String {
    let seeds: Vec<u64> = summary.runs.iter().map(|run| run.seed).collect();
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) => format!("{first}..{last}"),
        _ => String::new(),
    }
}

fn broken_off(summary: &Summary) -> String {
    if summary.broken_off.is_empty() {
        "none".to_owned()
    } else {
        summary.broken_off.join(", ")
    }
}

fn not_shown(summary: &Summary) -> String {
    let shown = summary.exercised();
    let missing: Vec<String> = (1..=INVARIANTS)
        .filter(|number| !shown.contains(number))
        .map(|number| number.to_string())
        .collect();
    if missing.is_empty() {
        "none".to_owned()
    } else {
        missing.join(", ")
    }
}

/// The kinds that were not asked for, or that cannot be had here.
fn not_drawn(options: &Options) -> String {
    let kinds = Kind::value_variants().iter();
    let missing: Vec<String> = kinds
        .filter(|kind| !options.kinds.contains(kind))
        .map(|kind| kind.name())
        .collect();
    if missing.is_empty() {
        "none".to_owned()
    } else {
        missing.join(", ")
    }
}

/// The command line that repeats the runs.
fn command(seeds: &str, options: &Options) -> String {
    format!(
        "cargo xtask chaos --seeds {seeds} --duration {}s --rate {} --brokers {} --durability {} --evidence docs/evidence.md",
        options.duration.as_secs(),
        options.rate,
        options.brokers,
        options.durability.name(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::options::{Durability, Mode};
    use super::*;

    fn options() -> Options {
        Options {
            scenario: None,
            duration: Duration::from_secs(120),
            kinds: Vec::new(),
            links: "",
            mode: Mode::Both,
            brokers: 1,
            durability: Durability::Fsync,
            rate: 30,
            drain: Duration::from_secs(60),
            offline: false,
            log: None,
            mutant: None,
        }
    }

    fn summary(scenario: Option<Scenario>, json: Value) -> Summary {
        let mut summary = Summary::default();
        summary.add(Run {
            seed: 4,
            scenario,
            clean: true,
            json,
        });
        summary
    }

    #[test]
    fn the_page_says_what_was_shown_and_what_was_not() {
        let exercised: Vec<u64> = (1..=22).collect();
        let json: Value = json!({
            "accepted": 100, "lost": 0, "violations": [], "exercised": exercised, "faults": {"cut": 3},
            "recovery_ms": 1_500, "versions": {"redis": "7.0.15"}, "intruders": {"oversized: closed with 1009": 6},
        });
        let mut summary = summary(None, json);
        assert!(summary.clean());
        summary.broken_off.push("seed-5".to_owned());
        assert!(!summary.clean(), "a run that broke off is no clean one");
        let page = refreshed("", &summary, &options()).unwrap();
        for part in [
            "| runs that broke off and show nothing | seed-5 |",
            "| invariants exercised | 22 of 24 |",
            "| not exercised | 23, 24 |",
            "| redis | 7.0.15 |",
            "--seeds 4..4 --duration 120s",
            "| cut | 3 |",
            "| oversized: closed with 1009 | 6 |",
            "clock-skew",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }

    #[test]
    fn a_scenario_and_the_seeds_each_leave_the_other_alone() {
        let seeds = summary(None, json!({"accepted": 777}));
        let outage = |accepted: u64| {
            let json = json!({
                "accepted": accepted, "lost": 0, "duration_s": 313,
                "shown": {"calls_refused_meanwhile_by_code": {"UNAVAILABLE": 3}},
            });
            summary(Some(Scenario::KafkaOutage), json)
        };
        let first = refreshed("", &seeds, &options()).unwrap();
        let second = refreshed(&first, &outage(555), &options()).unwrap();
        let third = refreshed(&second, &outage(666), &options()).unwrap();
        assert!(third.contains("777") && third.contains("| commands accepted | 666 |"));
        assert!(!third.contains("555"));
        assert!(third.contains("--scenario kafka-outage --duration 300s"));
        assert!(third.contains("| calls refused meanwhile by code | UNAVAILABLE 3 |"));
        assert_eq!(refreshed(&third, &seeds, &options()).unwrap(), third);
    }
}
