//! The order in which files are read, and how lines are spread over them, changes nothing.

use std::path::PathBuf;

use checker::Report;
use proptest::prelude::*;
use serde_json::json;

use crate::story::{Cmd, LINK, Link, Story, redis, risky, safe};

/// A run with something of everything, and some things that are wrong.
fn busy() -> Story {
    let mut story = Story::new();
    let moved = Link {
        edge: "edge-2",
        socket: 5,
        version: 200,
        ..LINK
    };
    story.lease("edge-2", 501, 1_000_000);
    story.deliver(safe("c-1"), 2_000);
    story.accept(risky("c-2"), 3_000);
    let first = story.dispatch(risky("c-2"), LINK, 1, 3_100);
    story.write(risky("c-2"), LINK, first, 1, 3_110);
    story.receive(risky("c-2"), LINK, 3_112);
    story.fault("kill", "edge-1", 3_200, 4_000);
    story.connect(moved, 4_100);
    let second = story.dispatch(risky("c-2"), moved, 2, 4_200);
    story.write(risky("c-2"), moved, second, 2, 4_210);
    story.receive(risky("c-2"), moved, 4_212);
    story.apply("router-2", "c-2", "written", first, ("stale", "DELIVERED"), 4_300);
    story.end(risky("c-2"), "FAILED", "OUTCOME_UNKNOWN", 24_000);
    let brief = Cmd {
        deadline_ms: 5_000,
        ..safe("c-3")
    };
    story.accept(brief, 4_400);
    story.write(brief, moved, redis(4_500), 1, 6_000);
    story.line(
        "client",
        30_000,
        "get",
        json!({"id": "c-3", "state": "NOT_FOUND"}),
    );
    story.healed(25_000, 26_000);
    story
}

/// A report without the names of files, which the spreading changes.
fn without_places(mut report: Report) -> Report {
    for detail in &mut report.details {
        detail.lines = vec![detail.lines.len().to_string()];
    }
    report.details.sort_by_key(|d| format!("{d:?}"));
    report
}

#[test]
fn a_run_with_several_faults_of_its_own_is_flagged_for_each() {
    let report = busy().check();
    let mut broken: Vec<u8> = report.details.iter().map(|d| d.invariant).collect();
    broken.dedup();
    assert_eq!(broken, [1, 12, 14, 15], "{}", report.table());
    assert_eq!(
        (report.lost, report.duplicated_unsafe, report.outcome_unknown),
        (1, 1, 1)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_files_changes_nothing(seed in any::<u64>()) {
        let folder = busy().folder();
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "jsonl") && !path.ends_with("dump.jsonl"))
            .collect();
        let hash = |path: &PathBuf| path.to_string_lossy().bytes().fold(seed, |sum, byte| mix(sum, byte.into()));
        files.sort_by_key(hash);
        let shuffled = checker::check_files(folder.path(), &files).unwrap();
        prop_assert_eq!(shuffled, checker::check(folder.path(), None).unwrap());
    }

    #[test]
    fn spreading_the_lines_over_other_files_changes_nothing(seed in any::<u64>(), parts in 1_u64..5) {
        let whole = busy();
        let mut spread = whole.clone();
        spread.files.clear();
        let mut n = 0;
        for (name, lines) in &whole.files {
            for line in lines {
                n += 1;
                // The chargers' lines take the name of their process from the file.
                let part = mix(seed, n) % parts;
                spread.files.entry(format!("{part}-{name}")).or_default().push(line.clone());
            }
        }
        prop_assert_eq!(without_places(spread.check()), without_places(whole.check()));
    }
}

/// A number that depends on both.
fn mix(seed: u64, n: u64) -> u64 {
    (seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_mul(0xBF58_476D_1CE4_E5B9)
        .rotate_left(31)
}
