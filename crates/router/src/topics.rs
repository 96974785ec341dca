//! The subcommands about Kafka topics: `topics` prints what there has to be, `create-topics` makes it so.

use std::io::Write;

use anyhow::Context as _;
use bus::{TopicSpec, TopicState, ensure_topics};
use domain::topics::{self, TopicSettings};
use serde::Serialize;

use crate::config::RouterConfig;

/// How `topics` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// `name:partitions`, one a line.
    #[default]
    Text,
    /// A JSON array of name, partitions and settings.
    Json,
}

/// Prints the topics of a configuration.
pub fn print(settings: &TopicSettings, output: Output, out: &mut impl Write) -> anyhow::Result<()> {
    let topics = topics::all(settings);
    match output {
        Output::Text => topics
            .iter()
            .try_for_each(|t| writeln!(out, "{}:{}", t.name, t.partitions))?,
        Output::Json => {
            let rows = topics.iter().map(|t| Row {
                name: &t.name,
                partitions: t.partitions,
                config: &t.config,
            });
            serde_json::to_writer_pretty(&mut *out, &rows.collect::<Vec<_>>())?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Creates what is missing and says what became of each topic.
pub async fn create(config: &RouterConfig, out: &mut impl Write) -> anyhow::Result<()> {
    let specs: Vec<TopicSpec> = topics::all(&config.topics)
        .into_iter()
        .map(spec)
        .collect::<anyhow::Result<_>>()?;
    for outcome in ensure_topics(&config.kafka, &specs).await? {
        let state = match outcome.state {
            TopicState::Created => "created",
            TopicState::Existed => "exists",
            TopicState::Larger => "exists with more partitions",
        };
        writeln!(out, "{}:{} {state}", outcome.name, outcome.partitions)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    partitions: u32,
    config: &'a std::collections::BTreeMap<String, String>,
}

fn spec(topic: topics::TopicSpec) -> anyhow::Result<TopicSpec> {
    let replication = i32::try_from(topic.replication).context("too many replicas")?;
    let partitions = usize::try_from(topic.partitions).context("too many partitions")?;
    Ok(TopicSpec {
        name: topic.name,
        partitions,
        replication,
        config: topic.config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_name_every_topic() {
        let settings = TopicSettings {
            shards: 2,
            ..TopicSettings::default()
        };
        let mut text = Vec::new();
        print(&settings, Output::Text, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with("commands-down-shard-0:16\ncommands-down-shard-1:16\n"),
            "{text}"
        );
        let mut json = Vec::new();
        print(&settings, Output::Json, &mut json).unwrap();
        let rows: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(rows.as_array().map(Vec::len), Some(text.lines().count()));
        assert_eq!(rows[0]["partitions"], 16);
        assert_eq!(rows[0]["config"]["retention.ms"], "3600000");
    }
}
