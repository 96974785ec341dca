//! Kafka for Holdfast: producing, lane consuming, topics, the embedded broker. The only crate that knows rdkafka.
//!
//! The bus moves opaque bytes between topics and partitions. What the bytes mean, which topics exist and what
//! a late or a lost record costs is the business of its callers: this crate says precisely what happened to
//! each record (delivered, surely not produced, indeterminate) and never retries on its own judgement.
//!
//! A metrics recorder must be installed before the first [`Producer`] or [`LaneConsumer`] is built: handles are
//! taken once, not looked up for every record.

pub mod admin;
pub mod config;
pub mod consumer;
mod disposal;
pub mod embedded;
pub mod error;
pub mod freshness;
pub mod metrics;
mod native;
pub mod producer;
pub mod record;

pub use admin::{TopicOutcome, TopicSpec, TopicState, describe, ensure_topics, wait_for_topics};
pub use config::{BusConfig, SaslMechanism, Secret, Security, SecurityProtocol};
pub use consumer::{Event, Lane, LaneConsumer, StartAt};
pub use embedded::EmbeddedBroker;
pub use error::{BusError, SendError};
pub use freshness::{CanaryLimits, CanaryWatch};
pub use producer::{Delivered, DeliveryFuture, Producer};
pub use record::{Headers, Message, Record};
