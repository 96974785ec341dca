//! Many seeds on all cores. What comes out does not depend on how many there are: results are put together in
//! the order of the seeds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::plan::Plan;
use crate::run::run;
use crate::stats::Stats;
use crate::trace::Lines;
use crate::{Outcome, Violation};

/// Seeds that a thread takes at a time.
const CHUNK: u64 = 16;

/// Which seeds, and how.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// The store loses what it had not flushed.
    pub relaxed: bool,
    /// End with the first violation.
    pub until_first: bool,
    /// Threads.
    pub threads: usize,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many seeds ran.
    pub seeds: u64,
    /// What they did.
    pub stats: Stats,
    /// Which failed, and how; the lowest seed first.
    pub failed: Vec<(u64, Violation)>,
    /// A digest of the digests of all runs.
    pub digest: u64,
}

impl Campaign {
    /// Runs the seeds.
    #[must_use]
    pub fn run(&self) -> Verdict {
        let next = AtomicU64::new(self.from);
        let over = AtomicBool::new(false);
        let mut parts: Vec<(u64, Outcome)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads.max(1))
                .map(|_| scope.spawn(|| self.work(&next, &over)))
                .collect();
            workers
                .into_iter()
                .flat_map(|w| w.join().unwrap_or_default())
                .collect()
        });
        parts.sort_by_key(|(seed, _)| *seed);
        let mut verdict = Verdict::default();
        for (seed, outcome) in parts {
            verdict.seeds += 1;
            verdict.stats.add(&outcome.stats);
            verdict.digest = verdict.digest.rotate_left(7) ^ outcome.digest;
            verdict.failed.extend(outcome.violation.map(|v| (seed, v)));
        }
        verdict
    }

    fn work(&self, next: &AtomicU64, over: &AtomicBool) -> Vec<(u64, Outcome)> {
        let (end, mut done) = (self.from + self.seeds, Vec::new());
        while !over.load(Ordering::Relaxed) {
            let first = next.fetch_add(CHUNK, Ordering::Relaxed);
            if first >= end {
                break;
            }
            for seed in first..end.min(first + CHUNK) {
                let outcome = run(Plan::of_seed(seed, self.relaxed), Lines::None);
                let failed = outcome.violation.is_some();
                done.push((seed, outcome));
                if failed && self.until_first {
                    over.store(true, Ordering::Relaxed);
                    return done;
                }
            }
        }
        done
    }
}
