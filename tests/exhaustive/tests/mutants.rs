//! Every planted bug is found. A process of its own, because a bug is planted in the whole process; empty in builds
//! without the feature `mutants`.
#![cfg(feature = "mutants")]

use domain::mutant::{Mutant, plant};
use exhaustive::{Case, Fault, Limits, Outcome, explore};

const LIMITS: Limits = Limits {
    max_states: 3_000_000,
    threads: 1,
};

/// Two cases of one command find most bugs; a deadline is passed only behind a CALL that is not answered.
fn cases() -> Vec<Case> {
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(|f| *f != Fault::RollBack).collect();
    vec![
        Case::new("unsafe", &["unsafe"], &faults, 1),
        Case::new("safe", &["safe"], &faults, 1),
        Case::new("late", &["safe", "urgent-safe"], &[Fault::Silence], 1).deadline(1),
    ]
}

#[test]
fn every_planted_bug_is_found_and_none_where_none_is_planted() {
    for case in cases() {
        let report = explore(&case, LIMITS);
        assert_eq!(
            report.outcome,
            Outcome::Complete,
            "{}: {:#?}",
            case.name,
            report.broken
        );
    }
    for mutant in Mutant::ALL {
        plant(Some(mutant));
        let broken: Vec<_> = cases()
            .iter()
            .flat_map(|case| explore(case, LIMITS).broken)
            .collect();
        plant(None);
        assert!(!broken.is_empty(), "{} goes unnoticed", mutant.name());
        assert!(broken.iter().all(|b| !b.path.is_empty()));
    }
}
