//! The producer: records go out at once, each with a future for its fate.
//!
//! `send` never blocks and never waits for an earlier record, so callers keep thousands in flight. Delivery
//! reports arrive on librdkafka's polling thread and complete a oneshot directly. Not here: retries beyond those
//! of librdkafka within `message_timeout_ms`, and any judgement of what an indeterminate record means.

mod context;
mod polled;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _};
use tokio::sync::oneshot;

use self::context::{DeliveryContext, Instruments, Pending};
use self::polled::Polled;
use crate::config::BusConfig;
use crate::disposal::Disposals;
use crate::error::{BusError, SendError};
use crate::native::blocking;
use crate::record::Message;

/// A fatal error that comes back at once, such as a missing permission, must not build clients in a loop.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// How long closing waits for a librdkafka client to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A handle to one idempotent producer; clones share it.
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
    /// Builds the client. No broker needs to be there yet.
    pub fn new(config: &BusConfig) -> Result<Self, BusError> {
        let instruments = Instruments::new(config.queue_max_records);
        let native = Native::build(config, &instruments)?;
        let shared = Shared {
            config: config.clone(),
            current: RwLock::new(Arc::new(native)),
            upkeep: Mutex::new(Upkeep::default()),
            instruments,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Queues a copy of a record. What is refused at once comes back as an error, most of all [`SendError::QueueFull`];
    /// everything later comes by the future. A producer that had a fatal error is replaced here.
    pub fn send(&self, message: &Message) -> Result<DeliveryFuture, SendError> {
        self.shared
            .send(message)
            .inspect_err(|error| self.shared.instruments.failed(error))
    }

    /// Learns the topics' leaders and gets the producer id, so that the first record pays for neither. A
    /// metadata answer makes librdkafka ask the same broker for the id at once instead of by its half-second
    /// timer; the second round trip then waits behind that request. No probe record is written, because other
    /// parties read these topics. Missing topics are an error that names them all.
    pub async fn warm(&self, topics: &[&str]) -> Result<(), BusError> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let native = self.shared.usable().unwrap_or_else(|_| self.shared.current());
        let timeout = self.shared.config.request_timeout();
        blocking("warming the producer", move || native.warm(&topics, timeout)).await
    }

    /// Waits until every queued record has its delivery report, at most `deadline`.
    pub async fn flush(&self, deadline: Duration) -> Result<(), BusError> {
        let native = self.shared.current();
        blocking("flushing the producer", move || native.flush(deadline)).await
    }

    /// Flushes and ends the clients; what is still on its way after `deadline` becomes indeterminate. Later
    /// sends through other clones are still possible as long as those live.
    pub async fn close(self, deadline: Duration) -> Result<(), BusError> {
        let flushed = self.flush(deadline).await;
        let shared = self.shared;
        blocking("closing the producer", move || {
            shared.upkeep().disposals.wait(CLOSE_TIMEOUT);
            drop(shared);
            Ok(())
        })
        .await?;
        flushed
    }

    /// Records that wait for their delivery report.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.shared.current().client.in_flight_count()).unwrap_or(0)
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
    current: RwLock<Arc<Native>>,
    upkeep: Mutex<Upkeep>,
    instruments: Instruments,
}

/// What is touched only when a client is replaced.
#[derive(Default)]
struct Upkeep {
    last_rebuild: Option<Instant>,
    disposals: Disposals,
}

impl Shared {
    /// The client in use. The lock guards one assignment, so a poisoned one still holds a whole value.
    fn current(&self) -> Arc<Native> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state of replacement, poisoned or not: each field stays whole by itself.
    fn upkeep(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends by the current client; one that turns out to be dead at this very moment is replaced once.
    fn send(&self, message: &Message) -> Result<DeliveryFuture, SendError> {
        let native = self.usable()?;
        match native.send(message, &self.instruments) {
            Err(KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) => {
                native.client.context().mark_fatal();
                self.usable()?.send(message, &self.instruments)
            }
            outcome => outcome,
        }
        .map_err(|error| match error {
            KafkaError::MessageProduction(RDKafkaErrorCode::Fatal) => rebuilding(),
            error => SendError::at_enqueue(&error, &message.fate()),
        })
    }

    /// The current client, or a new one where the current had a fatal error.
    fn usable(&self) -> Result<Arc<Native>, SendError> {
        let native = self.current();
        if native.client.context().is_fatal() {
            self.rebuild(&native)
        } else {
            Ok(native)
        }
    }

    /// Replaces the dead client `stale`, unless another thread did so already or it was replaced just now.
    fn rebuild(&self, stale: &Arc<Native>) -> Result<Arc<Native>, SendError> {
        let mut upkeep = self.upkeep();
        let current = self.current();
        if !Arc::ptr_eq(&current, stale) && !current.client.context().is_fatal() {
            return Ok(current);
        }
        if upkeep.last_rebuild.is_some_and(|at| at.elapsed() < REBUILD_PAUSE) {
            return Err(rebuilding());
        }
        upkeep.last_rebuild = Some(Instant::now());
        let fresh = Native::build(&self.config, &self.instruments).map_err(|error| SendError::Refused {
            reason: format!("{error} after a fatal error"),
            queued: false,
        })?;
        let fresh = Arc::new(fresh);
        let dead = std::mem::replace(
            &mut *self.current.write().unwrap_or_else(PoisonError::into_inner),
            Arc::clone(&fresh),
        );
        drop(current);
        upkeep.disposals.dispose(dead);
        self.instruments.rebuilt();
        tracing::warn!("the Kafka producer had a fatal error and was replaced");
        Ok(fresh)
    }
}

/// The refusal while a dead client waits for its replacement.
fn rebuilding() -> SendError {
    let reason = "the producer had a fatal error and is being replaced".to_owned();
    SendError::Refused {
        reason,
        queued: false,
    }
}

/// One librdkafka producer with its polling thread.
struct Native {
    client: Polled,
}

impl Native {
    /// Builds the client; it connects by itself.
    fn build(config: &BusConfig, instruments: &Instruments) -> Result<Self, BusError> {
        let context = DeliveryContext::new(instruments.clone());
        let client = config.producer().and_then(|native| Polled::new(&native, context));
        client
            .map(|client| Self { client })
            .map_err(|source| BusError::Client {
                client: "producer",
                source,
            })
    }

    /// Queues a copy of the record; the error is of the queueing only.
    fn send(&self, message: &Message, instruments: &Instruments) -> Result<DeliveryFuture, KafkaError> {
        let (reply, outcome) = oneshot::channel();
        let pending = Box::new(Pending::new(message, reply));
        let mut record: BaseRecord<'_, [u8], [u8], Box<Pending>> =
            BaseRecord::with_opaque_to(&message.topic, pending).payload(&message.payload);
        record.partition = message.partition;
        record.key = message.key.as_deref();
        record.headers = message.headers.to_native();
        // Counted before, because the delivery report may be faster than this thread.
        instruments.queued();
        self.client.send(record).map_err(|(error, _)| {
            instruments.unqueued();
            error
        })?;
        Ok(DeliveryFuture { outcome })
    }

    /// Two rounds of metadata over all topics; see [`Producer::warm`].
    fn warm(&self, topics: &[String], timeout: Duration) -> Result<(), BusError> {
        let deadline = Instant::now() + timeout;
        let mut missing = Vec::new();
        for round in 0..2 {
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
                if round == 0 && !known {
                    missing.push(topic.clone());
                }
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
            undelivered: usize::try_from(self.client.in_flight_count()).unwrap_or(0),
        })
    }
}
