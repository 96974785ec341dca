//! Topics on purpose: created where missing, checked against what the design needs, never created by a typo.
//!
//! Not here: growing, shrinking or deleting topics. A topic with too few partitions is an operator's decision.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::BusConfig;
use crate::error::BusError;
use crate::native::blocking;

/// Pause between looks at metadata that does not show a topic yet.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long brokers without metadata are asked again before topics are made: a broker opens its port some time before
/// its controller has registered it, and until then it has no metadata to give.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its full name.
    pub name: String,
    /// The partitions it needs.
    pub partitions: usize,
    /// Copies of each partition; -1 takes the broker's default.
    pub replication: i32,
    /// Topic settings such as `retention.ms`, used only at creation.
    pub config: BTreeMap<String, String>,
}

/// What became of one [`TopicSpec`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOutcome {
    /// The topic.
    pub name: String,
    /// The partitions that it has now.
    pub partitions: usize,
    /// How it came to be so.
    pub state: TopicState,
}

/// How a topic came to be as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// It was missing and was created.
    Created,
    /// It was there, as wanted.
    Existed,
    /// It was there with more partitions than wanted, which is accepted.
    Larger,
}

impl TopicSpec {
    /// A topic with the broker's default replication and settings.
    pub fn new(name: impl Into<String>, partitions: usize) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication: -1,
            config: BTreeMap::new(),
        }
    }

    /// Names the copies of each partition.
    #[must_use]
    pub fn replication(mut self, replication: i32) -> Self {
        self.replication = replication;
        self
    }

    /// Adds one topic setting.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

/// Creates what is missing and checks what exists. Several services may do so at once; a run that was cut off
/// is completed by the next. Brokers that are starting are waited for. Answers in the order of `specs`.
pub async fn ensure_topics(config: &BusConfig, specs: &[TopicSpec]) -> Result<Vec<TopicOutcome>, BusError> {
    let before = topics_of_starting(config, START_PATIENCE).await?;
    let missing: Vec<&TopicSpec> = specs
        .iter()
        .filter(|spec| !before.contains_key(&spec.name))
        .collect();
    let after = if missing.is_empty() {
        before.clone()
    } else {
        create(config, &missing).await?;
        settled(config, &missing).await?
    };
    let outcome = |spec: &TopicSpec| {
        let found = after.get(&spec.name).copied().unwrap_or(0);
        judge(spec, found, before.contains_key(&spec.name))
    };
    specs.iter().map(outcome).collect()
}

/// The number of a topic's partitions, `None` if it does not exist. Asking creates nothing.
pub async fn describe(config: &BusConfig, topic: &str) -> Result<Option<usize>, BusError> {
    Ok(all_topics(config).await?.get(topic).copied())
}

/// Waits until all topics exist, at most `timeout`, and returns those that are still missing: a service says so
/// at start, since later a missing topic would show only as records that time out. Brokers that do not answer
/// within `timeout` are an error.
pub async fn wait_for_topics(
    config: &BusConfig,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<String>, BusError> {
    let deadline = Instant::now() + timeout;
    loop {
        let late = Instant::now() >= deadline;
        match all_topics(config).await {
            Ok(known) => {
                let missing = missing_of(topics, &known);
                if missing.is_empty() || late {
                    return Ok(missing);
                }
            }
            Err(error) if late => return Err(error),
            Err(error) => tracing::debug!(%error, "no metadata yet"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The names that metadata does not show.
fn missing_of(topics: &[&str], known: &BTreeMap<String, usize>) -> Vec<String> {
    topics
        .iter()
        .filter(|topic| !known.contains_key(**topic))
        .map(|topic| (*topic).to_owned())
        .collect()
}

/// Judges what was found against what is wanted.
fn judge(spec: &TopicSpec, found: usize, existed: bool) -> Result<TopicOutcome, BusError> {
    if found < spec.partitions {
        return Err(BusError::TooFewPartitions {
            topic: spec.name.clone(),
            found,
            wanted: spec.partitions,
        });
    }
    let state = match (existed, found > spec.partitions) {
        (_, true) => TopicState::Larger,
        (true, false) => TopicState::Existed,
        (false, false) => TopicState::Created,
    };
    Ok(TopicOutcome {
        name: spec.name.clone(),
        partitions: found,
        state,
    })
}

/// Every topic and its partitions. The whole list on purpose: a broker that creates topics on demand does so
/// for the topic that is asked for, never for this question.
async fn all_topics(config: &BusConfig) -> Result<BTreeMap<String, usize>, BusError> {
    let config = config.clone();
    blocking("reading metadata", move || {
        let client = client(&config)?;
        let read = client.inner().fetch_metadata(None, config.request_timeout());
        let metadata = read.map_err(BusError::Metadata)?;
        let live = metadata
            .topics()
            .iter()
            .filter(|topic| !topic.partitions().is_empty());
        Ok(live
            .map(|topic| (topic.name().to_owned(), topic.partitions().len()))
            .collect())
    })
    .await
}

/// Every topic of brokers that may just be starting: they are asked until they answer, and for the last time once
/// `patience` has passed.
async fn topics_of_starting(
    config: &BusConfig,
    patience: Duration,
) -> Result<BTreeMap<String, usize>, BusError> {
    let begun = Instant::now();
    loop {
        let waited = begun.elapsed();
        match all_topics(config).await {
            Err(BusError::Metadata(source)) if waited >= patience => {
                return Err(BusError::NoMetadata {
                    bootstrap: config.bootstrap_servers.clone(),
                    waited: begun.elapsed(),
                    source,
                });
            }
            Err(BusError::Metadata(error)) => tracing::debug!(%error, "no metadata yet"),
            answered => return answered,
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Asks for the topics; one that somebody else created meanwhile is fine.
async fn create(config: &BusConfig, specs: &[&TopicSpec]) -> Result<(), BusError> {
    let client = client(config)?;
    let options = AdminOptions::new()
        .request_timeout(Some(config.request_timeout()))
        .operation_timeout(Some(config.request_timeout()));
    let topics: Vec<NewTopic<'_>> = specs.iter().map(|spec| new_topic(spec)).collect();
    let failed = |topic: &str, source: KafkaError| BusError::CreateTopic {
        topic: topic.to_owned(),
        source,
    };
    let names = || {
        specs
            .iter()
            .map(|spec| spec.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let results = client
        .create_topics(&topics, &options)
        .await
        .map_err(|e| failed(&names(), e))?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(failed(&topic, KafkaError::AdminOp(code))),
        }
    }
    // The client joins its thread when it is dropped.
    blocking("closing the admin client", move || {
        drop(client);
        Ok(())
    })
    .await
}

/// Metadata that shows all created topics, or the error that names those it still does not.
async fn settled(config: &BusConfig, specs: &[&TopicSpec]) -> Result<BTreeMap<String, usize>, BusError> {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let missing = wait_for_topics(config, &names, config.request_timeout()).await?;
    if !missing.is_empty() {
        return Err(BusError::MissingTopics(missing));
    }
    all_topics(config).await
}

/// librdkafka's form of a wish.
fn new_topic(spec: &TopicSpec) -> NewTopic<'_> {
    let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
    let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(spec.replication));
    spec.config
        .iter()
        .fold(topic, |topic, (key, value)| topic.set(key, value))
}

/// Builds a client for metadata and administration.
fn client(config: &BusConfig) -> Result<AdminClient<AdminContext>, BusError> {
    let client = config
        .admin()
        .and_then(|native| native.create_with_context(AdminContext));
    client.map_err(|source| BusError::Client {
        client: "admin client",
        source,
    })
}

/// Routes the logs.
struct AdminContext;

impl ClientContext for AdminContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::native::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "admin event");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_partitions_name_topic_and_both_numbers() {
        let error = judge(&TopicSpec::new("shard-0", 8), 4, true).unwrap_err();
        assert_eq!(error.to_string(), "topic shard-0 has 4 partitions, 8 are needed");
    }

    #[test]
    fn more_partitions_are_accepted_and_reported() {
        let outcome = judge(&TopicSpec::new("shard-0", 2), 4, true).unwrap();
        assert_eq!((outcome.partitions, outcome.state), (4, TopicState::Larger));
    }

    #[tokio::test]
    async fn brokers_that_never_give_metadata_are_named_with_how_long_they_were_asked() {
        // It accepts connections as a broker does that is starting, and answers nothing.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let bootstrap = port.local_addr().unwrap().to_string();
        let config = BusConfig {
            request_timeout_ms: 100,
            ..BusConfig::at(&bootstrap)
        };
        let error = topics_of_starting(&config, Duration::from_millis(300))
            .await
            .unwrap_err();
        let BusError::NoMetadata { waited, .. } = &error else {
            panic!("{error}")
        };
        assert!(*waited >= Duration::from_millis(300), "{waited:?}");
        assert!(error.to_string().contains(&bootstrap), "{error}");
    }

    #[test]
    fn missing_names_keep_their_order() {
        let known = BTreeMap::from([("b".to_owned(), 1)]);
        assert_eq!(missing_of(&["c", "b", "a"], &known), ["c", "a"]);
    }
}
