//! The smallest case in full, and proof that the judge finds what is wrong.

use super::*;

const LIMITS: Limits = Limits {
    max_states: 3_000_000,
    threads: 1,
};

#[test]
fn the_smallest_case_holds_in_every_interleaving() {
    let report = explore(&tiny(), LIMITS);
    assert_eq!(report.outcome, Outcome::Complete, "{:#?}", report.broken);
    assert_eq!(report.held.len(), Invariant::ALL.len());
    for happened in [
        "a command is acknowledged",
        "a command is cancelled",
        "an outcome is unknown",
    ] {
        assert!(report.reached.contains(&happened), "{happened} is never reached");
    }
    assert!(
        report.states > 1_000,
        "{} states are no exploration",
        report.states
    );
}

#[test]
fn one_fault_of_any_kind_leaves_no_command_stuck() {
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|f| *f != Fault::RollBack).collect();
    for command in ["safe", "unsafe"] {
        let report = explore(&Case::new(command, &[command], &faults, 1).far_deadline(), LIMITS);
        assert_eq!(report.outcome, Outcome::Complete, "{:#?}", report.broken);
        assert!(!report.reached.contains(&"a command expires"));
    }
}

#[test]
fn without_the_barrier_a_roll_back_of_the_store_is_found_to_do_harm() {
    let case = Case::new("relaxed", &["unsafe"], &[Fault::RollBack], 1).relaxed();
    let report = explore(&case, LIMITS);
    assert_eq!(report.outcome, Outcome::Violated);
    let path = &report.broken[0].path;
    assert!(path.iter().any(|step| step.contains("RollBack")), "{path:#?}");
}

#[test]
fn a_limit_on_states_is_reported_as_incomplete() {
    let limits = Limits {
        max_states: 100,
        threads: 1,
    };
    assert_eq!(explore(&tiny(), limits).outcome, Outcome::Incomplete);
}

#[test]
fn the_presets_have_names_of_their_own() {
    let names: std::collections::BTreeSet<String> = presets().into_iter().map(|c| c.name).collect();
    assert_eq!(names.len(), presets().len());
}

#[test]
fn commands_are_read_and_written_alike() {
    for text in ["safe", "unsafe", "urgent-safe", "urgent-unsafe"] {
        assert_eq!(
            CommandSpec::parse(text).map(|spec| spec.to_string()),
            Ok(text.to_owned())
        );
    }
    assert!(CommandSpec::parse("urgent").is_err());
}
