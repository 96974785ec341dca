//! Which broker carries the records: Apache Kafka where Java and Maven are, else the embedded one.
//!
//! The embedded broker is our own binary around librdkafka's mock cluster: volatile and for small runs.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::kafka;
use super::kafka_fetch::{Jvm, KAFKA_VERSION, KafkaProgram};
use crate::progress::say;
use crate::supervise::{ChildSpec, Guarded, Ready, Supervisor};

/// The broker that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerChoice {
    /// Apache Kafka if it can be had, else the embedded broker.
    #[default]
    Auto,
    /// Apache Kafka or an error.
    Apache,
    /// The embedded broker.
    Embedded,
}

/// The broker that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerKind {
    /// The real one.
    Apache(KafkaProgram),
    /// Our stand-in.
    Embedded,
}

/// One topic, as `router topics --output json` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Topic {
    /// The topic's name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
}

impl BrokerKind {
    /// Decides, fetches what is needed and says what it is.
    pub async fn choose(choice: BrokerChoice, offline: bool) -> Result<Self> {
        let apache = match choice {
            BrokerChoice::Embedded => return Ok(Self::Embedded),
            BrokerChoice::Auto | BrokerChoice::Apache => KafkaProgram::find_or_get(offline).await,
        };
        match (apache, choice) {
            (Ok(program), _) => {
                say(format!("broker: Apache Kafka {KAFKA_VERSION}"));
                Ok(Self::Apache(program))
            }
            (Err(error), BrokerChoice::Apache) => Err(error.context("Apache Kafka was asked for")),
            (Err(error), _) => {
                say(format!(
                    "broker: the embedded one (volatile, for small runs), since {error:#}"
                ));
                Ok(Self::Embedded)
            }
        }
    }

    /// The same, but Java runs Apache Kafka like this.
    #[must_use]
    pub fn run_by(self, jvm: Jvm) -> Self {
        match self {
            Self::Apache(program) => Self::Apache(KafkaProgram { jvm, ..program }),
            Self::Embedded => Self::Embedded,
        }
    }

    /// The name in results: `apache` or `embedded`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Apache(_) => "apache",
            Self::Embedded => "embedded",
        }
    }

    /// Starts the broker under `name`; the embedded one gets its topics here, since only its host can make them.
    pub async fn start(
        &self,
        supervisor: &mut Supervisor,
        name: &str,
        embedded: &Path,
        topics: &[Topic],
    ) -> Result<SocketAddr> {
        match self {
            Self::Apache(program) => kafka::start(supervisor, program, name).await,
            Self::Embedded => start_embedded(supervisor, name, embedded, topics).await,
        }
    }
}

async fn start_embedded(
    supervisor: &mut Supervisor,
    name: &str,
    program: &Path,
    topics: &[Topic],
) -> Result<SocketAddr> {
    let ready_file = supervisor.ready_file(name);
    let mut command = Guarded::new(program)
        .arg("--exit-on-stdin-close")
        .arg("--ready-file")
        .arg(&ready_file);
    for topic in topics {
        command = command
            .arg("--topic")
            .arg(format!("{}:{}", topic.name, topic.partitions));
    }
    let spec = ChildSpec::new(name, command).ready(Ready::File(ready_file));
    let ready = supervisor.start_ready(spec).await?;
    let bootstrap = ready["bootstrap"]
        .as_str()
        .context("the embedded broker's ready file names no bootstrap")?;
    bootstrap
        .parse()
        .with_context(|| format!("{bootstrap:?} is not an address"))
}
