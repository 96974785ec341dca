//! `cargo xtask sim`: the deterministic simulation of the delivery protocol over many seeds, then the small case with every
//! interleaving. Both are programs of their own, built optimized and with every debug assertion.
//!
//! Left out: what they do (packages `simulation` and `exhaustive`).

use std::ffi::OsString;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::progress::say;
use crate::supervise::Guarded;
use crate::workspace::{Metadata, cargo};

/// The profile: as fast as a release, with debug assertions.
const PROFILE: &str = "checked";

/// `cargo xtask sim`.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// How many seeds.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long)]
    from: Option<u64>,
    /// `table` or `json`.
    #[arg(long)]
    output: Option<String>,
    /// Without the exhaustive small case.
    #[arg(long)]
    no_exhaustive: bool,
    /// Further arguments of the simulation.
    #[arg(last = true)]
    rest: Vec<OsString>,
}

/// Runs both; the exit code is that of the first that found something.
pub async fn run(args: &SimArgs) -> Result<u8> {
    let metadata = Metadata::load().await?;
    let mut packages = vec!["simulation"];
    if !args.no_exhaustive {
        packages.push("exhaustive");
    }
    build(&metadata, &packages, &[]).await?;
    let code = run_built(&metadata, "simulation", args.simulation_flags()).await?;
    if code != 0 || args.no_exhaustive {
        return Ok(code);
    }
    let output = args
        .output
        .iter()
        .flat_map(|output| ["--output".into(), output.into()]);
    run_built(&metadata, "exhaustive", output.collect()).await
}

/// Builds programs of the tests, with features.
pub(crate) async fn build(metadata: &Metadata, packages: &[&str], features: &[&str]) -> Result<()> {
    say(format!(
        "building {} (cargo build --profile {PROFILE})",
        packages.join(" and ")
    ));
    let mut build = cargo(&metadata.workspace_root).args(["build", "--profile", PROFILE]);
    for package in packages {
        build = build.args(["--package", package]);
    }
    for feature in features {
        build = build.args(["--features", feature]);
    }
    if !build.run().await?.success() {
        bail!("it does not build; repeat it by: {}", build.describe());
    }
    Ok(())
}

/// Runs a program that was built; its exit code is ours.
pub(crate) async fn run_built(metadata: &Metadata, binary: &str, flags: Vec<OsString>) -> Result<u8> {
    let status = program(metadata, binary).args(flags).run().await?;
    let code = status
        .code()
        .with_context(|| format!("{binary} ended without a code"))?;
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// A program that was built.
pub(crate) fn program(metadata: &Metadata, binary: &str) -> Guarded {
    Guarded::new(metadata.target_directory.join(PROFILE).join(binary))
}

impl SimArgs {
    fn simulation_flags(&self) -> Vec<OsString> {
        let mut flags = Vec::new();
        let numbers = [("--seeds", self.seeds), ("--from", self.from)];
        for (flag, number) in numbers {
            flags.extend(
                number
                    .iter()
                    .flat_map(|number| [flag.to_owned(), number.to_string()]),
            );
        }
        flags.extend(
            self.output
                .iter()
                .flat_map(|output| ["--output".to_owned(), output.clone()]),
        );
        flags
            .into_iter()
            .map(OsString::from)
            .chain(self.rest.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_left_to_the_simulation() {
        let args = |seeds, rest: &[&str]| SimArgs {
            seeds,
            from: None,
            output: None,
            no_exhaustive: false,
            rest: rest.iter().map(OsString::from).collect(),
        };
        assert!(args(None, &[]).simulation_flags().is_empty());
        assert_eq!(
            args(Some(7), &["--trace"]).simulation_flags(),
            ["--seeds", "7", "--trace"]
        );
    }
}
