//! What librdkafka calls back into: delivery reports, errors, logs, and their counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use tokio::sync::oneshot;

use super::Delivered;
use crate::error::{Fate, SendError};
use crate::metrics as names;
use crate::record::Message;

/// Metric handles, taken once.
#[derive(Clone)]
pub(super) struct Instruments {
    produced: Counter,
    seconds: Histogram,
    queue: Gauge,
    limit: Gauge,
    /// Records of this producer that wait: librdkafka's own count takes in what it has to say besides.
    waiting: Arc<AtomicUsize>,
}

impl Instruments {
    /// Takes the handles.
    pub(super) fn new() -> Self {
        Self {
            produced: counter!(names::PRODUCED),
            seconds: histogram!(names::PRODUCE_SECONDS),
            queue: gauge!(names::PRODUCER_QUEUE),
            limit: gauge!(names::PRODUCER_QUEUE_LIMIT),
            waiting: Arc::default(),
        }
    }

    /// A producer takes so many records more.
    pub(super) fn opened(&self, queue_limit: u32) {
        self.limit.increment(f64::from(queue_limit));
    }

    /// A producer that took so many records is gone.
    pub(super) fn closed(&self, queue_limit: u32) {
        self.limit.decrement(f64::from(queue_limit));
    }

    /// One record more waits for its report.
    pub(super) fn queued(&self) {
        self.queue.increment(1.0);
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One record less waits for its report.
    pub(super) fn unqueued(&self) {
        self.queue.decrement(1.0);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Records that wait for their report.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts a failure by its kind.
    #[allow(
        clippy::unused_self,
        reason = "failures are rare: their counters are looked up, not kept"
    )]
    pub(super) fn failed(&self, error: &SendError) {
        counter!(names::PRODUCE_FAILURES, names::KIND => error.kind()).increment(1);
    }
}

/// What travels with a record through librdkafka, to be found again in its delivery report.
pub(super) struct Pending {
    reply: oneshot::Sender<Result<Delivered, SendError>>,
    fate: Fate,
    sent: Instant,
}

impl Pending {
    /// What a failure report of this message needs to say.
    pub(super) fn new(message: &Message, reply: oneshot::Sender<Result<Delivered, SendError>>) -> Self {
        Self {
            reply,
            fate: message.fate(),
            sent: Instant::now(),
        }
    }
}

/// The callbacks of one librdkafka producer.
pub(super) struct DeliveryContext {
    instruments: Instruments,
}

impl DeliveryContext {
    /// Counts with these.
    pub(super) fn new(instruments: Instruments) -> Self {
        Self { instruments }
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::native::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "producer event");
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Box<Pending>) {
        self.instruments.unqueued();
        let outcome = match report {
            Ok(message) => {
                self.instruments.produced.increment(1);
                self.instruments
                    .seconds
                    .record(pending.sent.elapsed().as_secs_f64());
                Ok(Delivered {
                    partition: message.partition(),
                    offset: message.offset(),
                })
            }
            Err((error, _)) => {
                let error = SendError::at_report(error, &pending.fate);
                self.instruments.failed(&error);
                Err(error)
            }
        };
        // The sender may have given up its future: then nobody asks.
        let _ = pending.reply.send(outcome);
    }
}
