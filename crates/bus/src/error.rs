//! What can go wrong on the bus: [`SendError`] for one record, [`BusError`] for everything else.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// An operation of the bus, other than sending one record, failed.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The configuration was refused by librdkafka or the client could not start.
    #[error("building the Kafka {client}")]
    Client {
        /// Which client.
        client: &'static str,
        /// librdkafka's reason.
        #[source]
        source: KafkaError,
    },
    /// No broker answered a metadata request in time, or it refused.
    #[error("reading Kafka's metadata")]
    Metadata(#[source] KafkaError),
    /// Brokers were asked for metadata again and again, and gave none.
    #[error("Kafka at {bootstrap} gave no metadata within {waited:.1?}, although asked until then")]
    NoMetadata {
        /// Where they were asked.
        bootstrap: String,
        /// For how long.
        waited: Duration,
        /// librdkafka's reason of the last time.
        #[source]
        source: KafkaError,
    },
    /// The first and next offset of a partition could not be read: it does not exist, or no broker answers.
    #[error("reading the offsets of {topic}/{partition}")]
    Offsets {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// librdkafka's reason.
        #[source]
        source: KafkaError,
    },
    /// The partitions could not be assigned.
    #[error("assigning the lanes")]
    Assign(#[source] KafkaError),
    /// A topic could not be created.
    #[error("creating topic {topic}")]
    CreateTopic {
        /// The topic.
        topic: String,
        /// The broker's reason.
        #[source]
        source: KafkaError,
    },
    /// A topic exists with fewer partitions than the design needs. Growing it would move keys, so nobody does
    /// that here.
    #[error("topic {topic} has {found} partitions, {wanted} are needed")]
    TooFewPartitions {
        /// The topic.
        topic: String,
        /// Partitions it has.
        found: usize,
        /// Partitions that are needed.
        wanted: usize,
    },
    /// Topics that do not exist.
    #[error("missing topics: {}", .0.join(", "))]
    MissingTopics(Vec<String>),
    /// The deadline of a flush passed with records on their way.
    #[error("flushing: {undelivered} records without a delivery report")]
    Flush {
        /// Records whose fate is still open.
        undelivered: usize,
    },
    /// The thread that performs a blocking call went away.
    #[error("{operation}: the worker ended early")]
    Worker {
        /// What it did.
        operation: &'static str,
    },
    /// The embedded broker refused an instruction.
    #[error("embedded broker: {operation}")]
    Embedded {
        /// What it should do.
        operation: &'static str,
        /// librdkafka's reason.
        #[source]
        source: KafkaError,
    },
}

/// What became of a record that was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The producer's queue is full; nothing was queued.
    #[error("the producer's queue is full")]
    QueueFull,
    /// Refused here or by the broker.
    #[error("refused: {reason}")]
    Refused {
        /// What refused it.
        reason: String,
        /// Whether it was queued before: then an earlier attempt, whose answer was lost, may have been written.
        queued: bool,
    },
    /// Larger than the client or the broker takes.
    #[error("a record of {bytes} bytes is too large for {topic}")]
    TooLarge {
        /// The topic.
        topic: Arc<str>,
        /// Bytes of key and payload.
        bytes: usize,
        /// Whether it was queued before: then an earlier attempt, alone, may have been written.
        queued: bool,
    },
    /// The topic, or this partition of it, does not exist.
    #[error("topic {topic}, partition {partition:?} is unknown")]
    UnknownTopic {
        /// The topic.
        topic: Arc<str>,
        /// The partition asked for.
        partition: Option<i32>,
        /// Whether it was queued before: a topic that vanishes, if only from the metadata of a broker that
        /// restarts, may have taken an earlier attempt.
        queued: bool,
    },
    /// `message_timeout_ms` passed without a delivery report: the record may or may not be in the log.
    #[error("no delivery report from {topic} in time")]
    TimedOut {
        /// The topic.
        topic: Arc<str>,
    },
    /// Any other end after the record was queued: it may or may not be in the log.
    #[error("indeterminate: {reason}")]
    Indeterminate {
        /// What is known.
        reason: String,
    },
}

impl SendError {
    /// The closed set of label values of `gateway_kafka_produce_failures_total`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Refused { .. } => "refused",
            Self::TooLarge { .. } => "too_large",
            Self::UnknownTopic { .. } => "unknown_topic",
            Self::TimedOut { .. } => "timed_out",
            Self::Indeterminate { .. } => "indeterminate",
        }
    }

    /// Reads librdkafka's code for `message`, which it refused to queue: nothing can have been written.
    pub(crate) fn at_enqueue(error: &KafkaError, fate: &Fate) -> Self {
        match Self::classify(error, fate, false) {
            Self::Indeterminate { reason } => Self::Refused {
                reason,
                queued: false,
            },
            Self::TimedOut { topic } => Self::Refused {
                reason: format!("{topic} timed out"),
                queued: false,
            },
            other => other,
        }
    }

    /// Reads librdkafka's code in a delivery report. Between queueing and report there may have been attempts
    /// that nobody saw the answer of, so no code proves that nothing was written.
    pub(crate) fn at_report(error: &KafkaError, fate: &Fate) -> Self {
        Self::classify(error, fate, true)
    }

    /// The variant of a code.
    fn classify(error: &KafkaError, fate: &Fate, queued: bool) -> Self {
        use RDKafkaErrorCode as Code;
        let topic = || Arc::clone(&fate.topic);
        let code = match error {
            KafkaError::MessageProduction(code) => *code,
            other => {
                return Self::Refused {
                    reason: other.to_string(),
                    queued,
                };
            }
        };
        match code {
            Code::QueueFull => Self::QueueFull,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize => Self::TooLarge {
                topic: topic(),
                bytes: fate.bytes,
                queued,
            },
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
                Self::UnknownTopic {
                    topic: topic(),
                    partition: fate.partition,
                    queued,
                }
            }
            Code::MessageTimedOut => Self::TimedOut { topic: topic() },
            Code::InvalidTopic
            | Code::InvalidRecord
            | Code::InvalidArgument
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed => Self::Refused {
                reason: code.to_string(),
                queued,
            },
            other => Self::Indeterminate {
                reason: other.to_string(),
            },
        }
    }
}

/// What an error about a record says of it.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// The topic.
    pub(crate) topic: Arc<str>,
    /// The partition asked for.
    pub(crate) partition: Option<i32>,
    /// Bytes of key and payload.
    pub(crate) bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate() -> Fate {
        Fate {
            topic: Arc::from("t"),
            partition: Some(1),
            bytes: 9,
        }
    }

    /// Whether an error leaves open that the record was written.
    fn leaves_it_open(error: &SendError) -> bool {
        match error {
            SendError::QueueFull => false,
            SendError::TooLarge { queued, .. }
            | SendError::Refused { queued, .. }
            | SendError::UnknownTopic { queued, .. } => *queued,
            SendError::TimedOut { .. } | SendError::Indeterminate { .. } => true,
        }
    }

    #[test]
    fn what_was_refused_at_once_was_not_written() {
        for code in [
            RDKafkaErrorCode::QueueFull,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::UnknownPartition,
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::State,
        ] {
            let error = SendError::at_enqueue(&KafkaError::MessageProduction(code), &fate());
            assert!(!leaves_it_open(&error), "{code:?}");
        }
    }

    #[test]
    fn a_report_proves_nothing() {
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::UnknownTopic,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::NotEnoughReplicas,
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::MessageSizeTooLarge,
        ] {
            let error = SendError::at_report(&KafkaError::MessageProduction(code), &fate());
            assert!(leaves_it_open(&error), "{code:?}");
        }
    }

    #[test]
    fn unknown_partition_names_topic_and_partition() {
        let code = KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition);
        let error = SendError::at_report(&code, &fate());
        assert_eq!(
            error,
            SendError::UnknownTopic {
                topic: "t".into(),
                partition: Some(1),
                queued: true
            }
        );
    }

    #[test]
    fn every_kind_belongs_to_the_closed_set() {
        let reason = String::new;
        let topic = || Arc::from("t");
        for error in [
            SendError::QueueFull,
            SendError::Refused {
                reason: reason(),
                queued: true,
            },
            SendError::TooLarge {
                topic: topic(),
                bytes: 1,
                queued: true,
            },
            SendError::UnknownTopic {
                topic: topic(),
                partition: None,
                queued: true,
            },
            SendError::TimedOut { topic: topic() },
            SendError::Indeterminate { reason: reason() },
        ] {
            assert!(
                crate::metrics::PRODUCE_FAILURE_KINDS.contains(&error.kind()),
                "{}",
                error.kind()
            );
        }
    }
}
