//! Every Kafka topic name, its partitions and its settings. Names are here and nowhere else.

use serde::{Deserialize, Serialize};

use crate::command::Lane;
use crate::ids::{PodId, Shard, stable_hash};

/// Results of commands, keyed by charge point id.
pub const COMMAND_RESULTS: &str = "command-results";
/// Commands that failed or expired, keyed by charge point id.
pub const DEAD_LETTERS: &str = "commands-dead-letter";
/// What chargers say, keyed by charge point id.
pub const EVENTS_UP: &str = "ocpp-events-up";
/// The prefix of the shard topics.
pub const SHARD_PREFIX: &str = "commands-down-shard-";

/// The topic of a shard.
#[must_use]
pub fn shard_topic(shard: Shard) -> String {
    format!("{SHARD_PREFIX}{shard}")
}

/// The shard of a topic name.
#[must_use]
pub fn shard_of_topic(topic: &str) -> Option<Shard> {
    let number = topic.strip_prefix(SHARD_PREFIX)?;
    let canonical = number == "0" || !number.starts_with(['0', '+']);
    number.parse().ok().filter(|_| canonical).map(Shard)
}

/// The partition of a pod's lane inside its shard topic: the lower half carries the normal lanes, the
/// upper half the urgent ones, so that a backlog of one never stands before the other.
#[must_use]
pub fn partition(pod: &PodId, lane: Lane, partitions: u32) -> i32 {
    let half = u64::from((partitions / 2).max(1));
    let place = stable_hash(pod.as_str().as_bytes()) % half;
    let offset = match lane {
        Lane::Normal => 0,
        Lane::Urgent => half,
    };
    i32::try_from(place + offset).unwrap_or(i32::MAX)
}

/// How many of each there are; the same in every router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicSettings {
    /// Shard topics.
    pub shards: u32,
    /// Partitions of each shard topic: even, half of them for the urgent lane.
    pub shard_partitions: u32,
    /// Partitions of the results, dead letter and event topics.
    pub up_partitions: u32,
    /// Replicas of every topic.
    pub replication: u32,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            shards: 4,
            shard_partitions: 16,
            up_partitions: 12,
            replication: 1,
        }
    }
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: u32,
    /// Its replicas.
    pub replication: u32,
    /// Broker settings by name.
    pub config: std::collections::BTreeMap<String, String>,
}

/// All topics.
#[must_use]
pub fn all(settings: &TopicSettings) -> Vec<TopicSpec> {
    let up = [COMMAND_RESULTS, DEAD_LETTERS, EVENTS_UP];
    let shards = (0..settings.shards).map(|s| {
        // Nothing older than a deadline is ever read again: an hour is ample.
        spec(
            &shard_topic(Shard(s)),
            settings.shard_partitions,
            settings,
            "3600000",
        )
    });
    let up = up
        .into_iter()
        .map(|name| spec(name, settings.up_partitions, settings, "604800000"));
    shards.chain(up).collect()
}

fn spec(name: &str, partitions: u32, settings: &TopicSettings, retention_ms: &str) -> TopicSpec {
    let mut config = std::collections::BTreeMap::from([("retention.ms".to_owned(), retention_ms.to_owned())]);
    if settings.replication > 2 {
        config.insert("min.insync.replicas".to_owned(), "2".to_owned());
    }
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: settings.replication,
        config,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_topics_read_back_and_strangers_do_not() {
        assert_eq!(shard_of_topic(&shard_topic(Shard(12))), Some(Shard(12)));
        for name in [
            "commands-down-shard-",
            "commands-down-shard-01",
            "commands-down-shard-+1",
            "x",
        ] {
            assert_eq!(shard_of_topic(name), None);
        }
    }

    #[test]
    fn the_lanes_of_a_pod_never_share_a_partition() {
        for n in 0..500 {
            let pod = PodId::parse(&format!("edge-{n}")).unwrap();
            for partitions in [2, 3, 8, 16, 63] {
                let (normal, urgent) = (
                    partition(&pod, Lane::Normal, partitions),
                    partition(&pod, Lane::Urgent, partitions),
                );
                assert!(normal < urgent && urgent < i32::try_from(partitions).unwrap());
            }
        }
    }

    #[test]
    fn topic_count_depends_on_shards_alone() {
        insta::assert_json_snapshot!(all(&TopicSettings::default()));
    }
}
