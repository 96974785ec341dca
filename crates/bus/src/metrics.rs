//! Names and label values of what the bus measures. Topics are no label: shard topics are not a closed set.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Records that a broker confirmed.
pub const PRODUCED: &str = "gateway_kafka_produced_total";
/// Records that were not confirmed, by [`KIND`].
pub const PRODUCE_FAILURES: &str = "gateway_kafka_produce_failures_total";
/// From `send` to the delivery report.
pub const PRODUCE_SECONDS: &str = "gateway_kafka_produce_seconds";
/// Records that wait for their delivery report.
pub const PRODUCER_QUEUE: &str = "gateway_kafka_producer_queue_records";
/// How many records may wait, over all producers of the process, each of which refuses at its own share.
pub const PRODUCER_QUEUE_LIMIT: &str = "gateway_kafka_producer_queue_limit_records";
/// Records handed to their consumer.
pub const CONSUMED: &str = "gateway_kafka_consumed_total";
/// Errors that librdkafka reported to a consumer, by [`KIND`].
pub const CONSUMER_ERRORS: &str = "gateway_kafka_consumer_errors_total";
/// Consumers that were replaced.
pub const CONSUMER_REBUILDS: &str = "gateway_kafka_consumer_rebuilds_total";
/// Lanes that did not continue at the next offset: records were gone, or the log began anew.
pub const OFFSET_RESETS: &str = "gateway_kafka_consumer_offset_resets_total";

/// The label that says what kind of failure it was.
pub const KIND: &str = "kind";

/// Values of [`KIND`] for [`PRODUCE_FAILURES`].
pub const PRODUCE_FAILURE_KINDS: &[&str] = &[
    "queue_full",
    "refused",
    "too_large",
    "unknown_topic",
    "timed_out",
    "indeterminate",
];

/// Values of [`KIND`] for [`CONSUMER_ERRORS`].
pub const CONSUMER_ERROR_KINDS: &[&str] = &[
    "transport",
    "all_brokers_down",
    "timed_out",
    "unknown_topic",
    "offset",
    "security",
    "fatal",
    "other",
];

/// Describes every metric of this crate to the installed recorder.
pub fn describe() {
    describe_counter!(PRODUCED, "Records confirmed by Kafka");
    describe_counter!(PRODUCE_FAILURES, "Records not confirmed by Kafka, by kind");
    describe_histogram!(PRODUCE_SECONDS, Unit::Seconds, "From send to delivery report");
    describe_gauge!(PRODUCER_QUEUE, "Records waiting for their delivery report");
    describe_gauge!(PRODUCER_QUEUE_LIMIT, "Records that may wait, over all producers");
    describe_counter!(CONSUMED, "Records consumed");
    describe_counter!(CONSUMER_ERRORS, "Errors reported to a consumer, by kind");
    describe_counter!(CONSUMER_REBUILDS, "Consumers replaced");
    describe_counter!(OFFSET_RESETS, "Lanes that did not continue at the next offset");
}
