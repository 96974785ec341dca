//! Plants each bug in turn and runs seeds until the judge notices.

use std::fmt::Write as _;

use domain::mutant::{Mutant, plant};

use crate::campaign::Campaign;

/// How a planted bug was noticed.
#[derive(Debug, Clone)]
pub struct Caught {
    /// The bug.
    pub mutant: Mutant,
    /// The invariant, the lowest seed that was seen to break it, and how; none if nobody noticed.
    pub by: Option<(u8, u64, String)>,
    /// How many seeds ran until then.
    pub seeds: u64,
}

/// Plants one bug; at most so many seeds are spent on it. The bug is taken out again.
#[must_use]
pub fn hunt(mutant: Mutant, campaign: &Campaign) -> Caught {
    plant(Some(mutant));
    let verdict = Campaign {
        until_first: true,
        threads: 1,
        ..*campaign
    }
    .run();
    plant(None);
    let first = verdict.failed.into_iter().next();
    Caught {
        mutant,
        by: first.map(|(seed, violation)| (violation.invariant, seed, violation.text)),
        seeds: verdict.seeds,
    }
}

/// Plants every bug, one after the other.
#[must_use]
pub fn hunt_all(campaign: &Campaign) -> Vec<Caught> {
    Mutant::ALL
        .into_iter()
        .map(|mutant| hunt(mutant, campaign))
        .collect()
}

/// A table of what was caught.
#[must_use]
pub fn table(caught: &[Caught]) -> String {
    let mut text = format!(
        "{:<18} {:>9} {:>8} {:>8}  how\n",
        "mutant", "invariant", "seed", "seeds"
    );
    for one in caught {
        let name = one.mutant.name();
        let line = match &one.by {
            Some((invariant, seed, how)) => {
                writeln!(
                    text,
                    "{name:<18} {invariant:>9} {seed:>8} {:>8}  {how}",
                    one.seeds
                )
            }
            None => writeln!(text, "{name:<18} {:>9} {:>8} {:>8}", "NOT CAUGHT", "", one.seeds),
        };
        debug_assert!(line.is_ok(), "a string takes every text");
    }
    let count = caught.iter().filter(|one| one.by.is_some()).count();
    text.push_str(&format!("{count}/{} caught\n", caught.len()));
    text
}

/// The same as JSON.
#[must_use]
pub fn json(caught: &[Caught]) -> String {
    let rows = caught.iter().map(|one| {
        let by = one.by.as_ref();
        serde_json::json!({
            "mutant": one.mutant.name(),
            "caught": by.is_some(),
            "invariant": by.map(|b| b.0),
            "seed": by.map(|b| b.1),
            "seeds": one.seeds,
            "how": by.map(|b| &b.2),
        })
    });
    serde_json::Value::from(rows.collect::<Vec<_>>()).to_string()
}
