//! The producer: records go out at once, each with a future for its fate.
//!
//! `send` never blocks and never waits for an earlier record, so callers keep thousands in flight. Delivery
//! reports arrive on librdkafka's polling thread and complete a oneshot directly. Not here: retries beyond those
//! of librdkafka within `message_timeout_ms`, and any judgement of what an indeterminate record means.

mod context;
mod polled;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer as _};
use tokio::sync::oneshot;

use self::context::{DeliveryContext, Instruments, Pending};
use self::polled::Polled;
use crate::config::BusConfig;
use crate::error::{BusError, SendError};
use crate::native::blocking;
use crate::record::Message;

/// A handle to one producer; clones share it.
///
/// It is not idempotent in Kafka's sense, so that a confirmation is always about the record it is given for: the record
/// is in the log, at that offset. The price is that a retry of librdkafka's may double a record, and may set it behind
/// one that was sent after it; who needs an order waits for each confirmation.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

/// Where a confirmed record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Resolves when the fate of one record is known, at the latest about a second after `message_timeout_ms`.
/// Dropping it gives up the answer, not the record.
#[must_use = "the future carries the fate of the record"]
#[derive(Debug)]
pub struct DeliveryFuture {
    outcome: oneshot::Receiver<Result<Delivered, SendError>>,
}

impl Producer {
    /// Builds the client, by which nothing waits for a batch. No broker needs to be there yet.
    pub fn new(config: &BusConfig) -> Result<Self, BusError> {
        Self::lingering(config, Duration::ZERO)
    }

    /// The same, but a record waits so long, in whole milliseconds, for others of its partition.
    pub fn lingering(config: &BusConfig, linger: Duration) -> Result<Self, BusError> {
        let instruments = Instruments::new();
        let context = DeliveryContext::new(instruments.clone());
        let client = config
            .producer(linger)
            .and_then(|native| Polled::new(&native, context))
            .map_err(|source| BusError::Client {
                client: "producer",
                source,
            })?;
        instruments.opened(config.queue_max_records);
        let shared = Shared {
            config: config.clone(),
            client,
            instruments,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Queues a copy of a record. What is refused at once comes back as an error, most of all [`SendError::QueueFull`];
    /// everything later comes by the future.
    pub fn send(&self, message: &Message) -> Result<DeliveryFuture, SendError> {
        self.shared
            .send(message)
            .inspect_err(|error| self.shared.instruments.failed(error))
    }

    /// Learns the topics' leaders, so that the first record does not pay for it. No probe record is written, because
    /// other parties read these topics. Missing topics are an error that names them all.
    pub async fn warm(&self, topics: &[&str]) -> Result<(), BusError> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let shared = Arc::clone(&self.shared);
        blocking("warming the producer", move || shared.warm(&topics)).await
    }

    /// Waits until every queued record has its delivery report, at most `deadline`.
    pub async fn flush(&self, deadline: Duration) -> Result<(), BusError> {
        let shared = Arc::clone(&self.shared);
        blocking("flushing the producer", move || shared.flush(deadline)).await
    }

    /// Flushes and ends the client; what is still on its way after `deadline` becomes indeterminate. Later
    /// sends through other clones are still possible as long as those live.
    pub async fn close(self, deadline: Duration) -> Result<(), BusError> {
        let flushed = self.flush(deadline).await;
        blocking("closing the producer", move || {
            drop(self);
            Ok(())
        })
        .await?;
        flushed
    }

    /// Records that wait for their delivery report.
    pub fn in_flight(&self) -> usize {
        self.shared.instruments.waiting()
    }

    /// How full the queue is, 0 to 1: what shedding looks at.
    pub fn queue_fullness(&self) -> f64 {
        let in_flight = u32::try_from(self.in_flight()).unwrap_or(u32::MAX);
        f64::from(in_flight) / f64::from(self.shared.config.queue_max_records)
    }
}

impl Future for DeliveryFuture {
    type Output = Result<Delivered, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(cx).map(|outcome| {
            outcome.unwrap_or_else(|_| {
                Err(SendError::Indeterminate {
                    reason: "the producer went away".to_owned(),
                })
            })
        })
    }
}

/// What all clones of a producer share.
struct Shared {
    config: BusConfig,
    client: Polled,
    instruments: Instruments,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.instruments.closed(self.config.queue_max_records);
    }
}

impl Shared {
    /// Queues a copy of the record.
    fn send(&self, message: &Message) -> Result<DeliveryFuture, SendError> {
        let (reply, outcome) = oneshot::channel();
        let pending = Box::new(Pending::new(message, reply));
        let mut record: BaseRecord<'_, [u8], [u8], Box<Pending>> =
            BaseRecord::with_opaque_to(&message.topic, pending).payload(&message.payload);
        record.partition = message.partition;
        record.key = message.key.as_deref();
        record.headers = message.headers.to_native();
        // Counted before, because the delivery report may be faster than this thread.
        self.instruments.queued();
        self.client.send(record).map_err(|(error, _)| {
            self.instruments.unqueued();
            SendError::at_enqueue(&error, &message.fate())
        })?;
        Ok(DeliveryFuture { outcome })
    }

    /// Asks for the metadata of each topic.
    fn warm(&self, topics: &[String]) -> Result<(), BusError> {
        let deadline = Instant::now() + self.config.request_timeout();
        let mut missing = Vec::new();
        for topic in topics {
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            let metadata = self
                .client
                .client()
                .fetch_metadata(Some(topic), left)
                .map_err(BusError::Metadata)?;
            let known = metadata
                .topics()
                .iter()
                .any(|t| t.name() == topic && !t.partitions().is_empty());
            if !known {
                missing.push(topic.clone());
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(BusError::MissingTopics(missing))
        }
    }

    /// Waits for every delivery report.
    fn flush(&self, deadline: Duration) -> Result<(), BusError> {
        self.client.flush(deadline).map_err(|_| BusError::Flush {
            undelivered: self.instruments.waiting(),
        })
    }
}
