//! Building our own binaries, with cargo's progress visible, and asking the router for the topics.
//!
//! A stack for people and tests runs what they have just compiled; only the bench asks for a release build.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use clap::ValueEnum;
use serde::Serialize;

use super::settings::{self, BINARIES, LIST_TOPICS};
use crate::parts::broker::{BrokerChoice, Topic};
use crate::progress::say;
use crate::supervise::Guarded;
use crate::workspace::{Metadata, cargo};

/// How our binaries are compiled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Quickly, for development.
    #[default]
    Dev,
    /// As in production.
    Release,
}

impl Profile {
    /// The folder below cargo's target folder.
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }

    /// The name that cargo has for it.
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }
}

/// The folder with our binaries.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// Builds all of them in one go.
    pub async fn build() -> Result<Self> {
        Self::build_for(Profile::Dev, &BINARIES).await
    }

    /// Builds what a stack without services needs: at most the stand-in broker.
    pub async fn build_for_parts(broker: BrokerChoice) -> Result<Self> {
        let embedded = BINARIES
            .iter()
            .filter(|(_, binary)| *binary == settings::EMBEDDED_BROKER);
        match broker {
            BrokerChoice::Apache => Self::build_for(Profile::Dev, &[]).await,
            BrokerChoice::Auto | BrokerChoice::Embedded => {
                Self::build_for(Profile::Dev, &embedded.copied().collect::<Vec<_>>()).await
            }
        }
    }

    /// Builds some, given as `(package, binary)`.
    pub async fn build_for(profile: Profile, binaries: &[(&str, &str)]) -> Result<Self> {
        let metadata = Metadata::load().await?;
        let folder = metadata.target_directory.join(profile.folder());
        if binaries.is_empty() {
            return Ok(Self(folder));
        }
        say("building the services (cargo build)");
        let mut build = cargo(&metadata.workspace_root).args(["build", "--profile", profile.name()]);
        for (package, binary) in binaries {
            build = build.args(["--package", package, "--bin", binary]);
        }
        if !build.run().await?.success() {
            bail!("the services do not build; repeat it by: {}", build.describe());
        }
        Ok(Self(folder))
    }

    /// A folder where they were built before.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// One binary.
    #[must_use]
    pub fn path(&self, binary: &str) -> PathBuf {
        self.0.join(binary)
    }

    /// The topics the system needs, by the router's own word.
    pub async fn topics(&self) -> Result<Vec<Topic>> {
        let list = Guarded::new(self.path(settings::ROUTER))
            .args(LIST_TOPICS)
            .output()
            .await?;
        serde_json::from_str(&list).context("reading the router's list of topics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_listing_may_carry_more_than_is_needed() {
        let text = r#"[{"name":"commands-down-shard-0","partitions":8,"config":{"retention.ms":"1"}}]"#;
        let topics: Vec<Topic> = serde_json::from_str(text).unwrap();
        assert_eq!(
            topics,
            [Topic {
                name: "commands-down-shard-0".to_owned(),
                partitions: 8
            }]
        );
    }
}
