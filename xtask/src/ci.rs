//! `cargo xtask ci`: what continuous integration runs once the machine has its tools.
//!
//! The tools themselves are installed by `.ci/run`. Left out: anything that a developer cannot run alike.

use anyhow::{Context, Result};

use crate::progress::say;
use crate::supervise::{Guarded, find_program};
use crate::test::{self, TestArgs};

/// What is reported before the steps, so that a log tells which machine it came from.
const VERSIONS: [(&str, &str); 5] = [
    ("cargo", "--version"),
    ("redis-server", "--version"),
    ("java", "--version"),
    ("mvn", "--version"),
    ("node", "--version"),
];

/// `cargo xtask ci`.
#[derive(Debug, clap::Args)]
pub struct CiArgs {
    #[command(flatten)]
    test: TestArgs,
}

/// Reports the tools' versions, then runs every step of `cargo xtask test`.
pub async fn run(args: &CiArgs) -> Result<u8> {
    for (program, flag) in VERSIONS {
        match find_program(&[program]) {
            None => say(format!("{program}: not there")),
            Some(path) => {
                let text = Guarded::new(path)
                    .arg(flag)
                    .output()
                    .await
                    .context("asking for a version")?;
                say(text.lines().next().unwrap_or_default());
            }
        }
    }
    test::run(&args.test).await
}
