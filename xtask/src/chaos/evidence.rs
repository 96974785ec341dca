//! The evidence page: what the runs showed, in numbers, and how to repeat them. It is written by the harness and by
//! nobody else.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::options::Options;
use super::summary::{INVARIANTS, Run, Summary};

/// Writes the page.
pub(super) fn write(page: &Path, summary: &Summary, options: &Options) -> Result<()> {
    let text = render(summary, options)?;
    std::fs::write(page, text).with_context(|| format!("writing {}", page.display()))
}

fn render(summary: &Summary, options: &Options) -> Result<String> {
    let (mut text, seeds) = (String::new(), seeds_of(summary));
    writeln!(
        text,
        "# Evidence\n\n\
         Written by `cargo xtask chaos`, not by hand. Two routers, three edges, real Redis and Kafka, 300 chargers, faults\n\
         drawn by seed on every process and on every link between two parts; a checker that reads only histories, the\n\
         chargers' logs and a last dump of Redis judged the {INVARIANTS} invariants.\n\n\
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
fn figures(summary: &Summary, options: &Options, seeds: String) -> [(&'static str, String); 15] {
    let sum = |key: &str| summary.sum(key).to_string();
    let shown = summary.exercised().len();
    let duration = options.duration.as_secs();
    [
        ("seeds", seeds),
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
    writeln!(text, "\n## Runs\n")?;
    writeln!(
        text,
        "| seed | accepted | lost | duplicated | unknown | violations | exercised | recovery |"
    )?;
    writeln!(text, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
    for run in runs {
        let single = Summary {
            runs: vec![run.clone()],
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
    writeln!(text, "\n## Faults\n\n| fault | injected |\n| --- | --- |")?;
    for (kind, number) in summary.faults() {
        writeln!(text, "| {kind} | {number} |")?;
    }
    Ok(())
}

fn parts(text: &mut String, summary: &Summary) -> Result<()> {
    writeln!(text, "\n## Parts\n\n| part | version |\n| --- | --- |")?;
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

    #[test]
    fn the_page_says_what_was_shown_and_what_was_not() {
        let mut summary = Summary::default();
        let exercised: Vec<u64> = (1..=22).collect();
        let json: Value = json!({
            "accepted": 100, "lost": 0, "violations": [], "exercised": exercised, "faults": {"cut": 3},
            "recovery_ms": 1_500, "versions": {"redis": "7.0.15"},
        });
        summary.add(Run {
            seed: 4,
            clean: true,
            json,
        });
        let options = Options {
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
        };
        let page = render(&summary, &options).unwrap();
        for part in [
            "| invariants exercised | 22 of 24 |",
            "| not exercised | 23, 24 |",
            "| redis | 7.0.15 |",
            "--seeds 4..4 --duration 120s",
            "| cut | 3 |",
        ] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }
}
