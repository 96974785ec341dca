//! `cargo xtask test`: formatting, tidiness, lints (of the proto files too) and three rings of tests, with their parts started here.
//!
//! Without arguments everything runs, also behind a failure, so that one run shows all that is wrong. With
//! `--ring` or a filter only tests run. Left out: how a step is done (`steps`).

mod steps;
mod summary;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::parts::broker::BrokerChoice;
use steps::{Context, Step};
use summary::Summary;

/// `cargo xtask test`.
#[derive(Debug, Clone, Default, Args)]
pub struct TestArgs {
    /// Only this ring, without formatting and lints.
    #[arg(long, value_enum)]
    pub ring: Option<Ring>,
    /// Only tests whose name contains this, without formatting and lints.
    pub filter: Option<String>,
    /// Which broker the whole ring gets.
    #[arg(long, value_enum, default_value_t)]
    pub broker: BrokerChoice,
    /// Fetches nothing.
    #[arg(long)]
    pub offline: bool,
}

/// How much of the world a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ring {
    /// Nothing but the process itself.
    Pure,
    /// Real Redis, alone and as a cluster.
    Parity,
    /// Whole services with real Redis and Kafka.
    Whole,
}

impl Ring {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Parity => "parity",
            Self::Whole => "whole",
        }
    }
}

/// Runs the steps; exit code 1 if one failed.
pub async fn run(args: &TestArgs) -> Result<u8> {
    let context = Context::load(args).await?;
    let mut summary = Summary::default();
    for step in plan(args) {
        summary.run(&context, step).await;
    }
    Ok(summary.finish())
}

/// The steps that the arguments ask for.
fn plan(args: &TestArgs) -> Vec<Step> {
    let rings = [Ring::Pure, Ring::Parity, Ring::Whole];
    match (args.ring, &args.filter) {
        (Some(ring), _) => vec![Step::Ring(ring)],
        (None, Some(_)) => rings.map(Step::Ring).to_vec(),
        (None, None) => [Step::Format, Step::Tidy, Step::Lint, Step::Proto]
            .into_iter()
            .chain(rings.map(Step::Ring))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_everything_runs_cheapest_first() {
        let plan = plan(&TestArgs::default());
        assert_eq!(plan.len(), 7);
        assert_eq!(plan[0], Step::Format);
        assert_eq!(plan[6], Step::Ring(Ring::Whole));
    }

    #[test]
    fn a_ring_or_a_filter_leaves_the_lints_out() {
        let ring = TestArgs {
            ring: Some(Ring::Parity),
            ..TestArgs::default()
        };
        assert_eq!(plan(&ring), [Step::Ring(Ring::Parity)]);
        let filter = TestArgs {
            filter: Some("late_reply".to_owned()),
            ..TestArgs::default()
        };
        assert_eq!(plan(&filter).len(), 3);
    }
}
