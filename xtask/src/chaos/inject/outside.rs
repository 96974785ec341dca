//! The faults that come from outside the processes: topics that grow, strangers at the doors, the end of a file that is
//! gone.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::Injector;
use super::acts::SWEEP;
use crate::chaos::fault::Kind;
use crate::chaos::intruders::{self, LORISES, SPEAKERS};
use crate::chaos::plan::Injection;
use crate::chaos::rig::Rig;
use crate::progress::say;
use crate::supervise::Guarded;

/// How many strangers of each manner come to each edge.
const SPEAKERS_EACH: usize = 2;
const LORISES_EACH: usize = 12;

/// How many partitions a topic gets at a time.
const GROWTH: &str = "2";

impl Injector {
    /// Gives a topic more partitions and writes down how many. Without a broker that answers it stays as it is.
    pub(super) async fn grow(&mut self, rig: &Rig, injection: &Injection) -> Result<()> {
        let topics = rig.binaries.topics().await?;
        let number: usize = injection.detail.parse().unwrap_or(0);
        let topic = topics.get(number % topics.len().max(1)).context("no topic")?;
        let grow = Guarded::new(rig.binaries.path("topic-grow")).args([
            "--bootstrap",
            &rig.kafka,
            "--topic",
            &topic.name,
            "--by",
            GROWTH,
        ]);
        let Ok(Ok(said)) = timeout(SWEEP, grow.output()).await else {
            say(format!("{} did not grow: no broker answered in time", topic.name));
            return Ok(());
        };
        let grown: Value = serde_json::from_str(&said).context("how far a topic has grown")?;
        self.grown
            .insert(topic.name.clone(), grown["to"].as_u64().unwrap_or(0));
        self.note_begin("grow-partitions", &topic.name, &grown)?;
        self.note_end("grow-partitions", &topic.name)
    }

    /// Whether a reader may have missed partitions.
    pub(in crate::chaos) fn has_grown_topics(&self) -> bool {
        !self.grown.is_empty()
    }

    /// Strangers come to every edge, beside whatever else happens.
    pub(super) fn send_strangers(&mut self, rig: &Rig, kind: Kind) {
        let (manners, each) = match kind {
            Kind::Slowloris => (LORISES, LORISES_EACH),
            _ => (SPEAKERS, SPEAKERS_EACH),
        };
        self.strangers
            .spawn(intruders::visit(rig.edges.clone(), manners, each));
    }

    /// Waits for what all strangers saw.
    pub(super) async fn meet_all(&mut self) -> Result<()> {
        while let Some(met) = self.strangers.join_next().await {
            self.meetings.extend(met.context("a stranger ended abnormally")?);
        }
        Ok(())
    }

    /// Kills Redis and cuts off what it wrote last; it comes back when the fault ends.
    pub(super) async fn cut_redis(&mut self, rig: &mut Rig, injection: &Injection) -> Result<()> {
        let target = injection.target.as_str();
        self.held.insert(target.to_owned());
        self.expected.insert(target.to_owned());
        let span = Duration::from_millis(injection.detail.parse().unwrap_or(0));
        let end = Instant::now();
        rig.supervisor.kill9(target).await?;
        let lengths = self.lengths.as_ref().context("nobody watches the file")?;
        let gone = lengths.cut(end, span)?;
        say(format!(
            "the last {gone} bytes that Redis wrote in {} ms are gone",
            span.as_millis()
        ));
        Ok(())
    }
}
