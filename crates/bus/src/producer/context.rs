//! What librdkafka calls back into: delivery reports, fatal errors, logs, and the counters of both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
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
    rebuilds: Counter,
}

impl Instruments {
    /// Takes the handles and publishes the queue's limit.
    pub(super) fn new(queue_limit: u32) -> Self {
        gauge!(names::PRODUCER_QUEUE_LIMIT).set(f64::from(queue_limit));
        Self {
            produced: counter!(names::PRODUCED),
            seconds: histogram!(names::PRODUCE_SECONDS),
            queue: gauge!(names::PRODUCER_QUEUE),
            rebuilds: counter!(names::PRODUCER_REBUILDS),
        }
    }

    /// One record more waits for its report.
    pub(super) fn queued(&self) {
        self.queue.increment(1.0);
    }

    /// One record less waits for its report.
    pub(super) fn unqueued(&self) {
        self.queue.decrement(1.0);
    }

    /// Counts a failure by its kind.
    #[allow(
        clippy::unused_self,
        reason = "failures are rare: their counters are looked up, not kept"
    )]
    pub(super) fn failed(&self, error: &SendError) {
        counter!(names::PRODUCE_FAILURES, names::KIND => error.kind()).increment(1);
    }

    /// Counts a replaced client.
    pub(super) fn rebuilt(&self) {
        self.rebuilds.increment(1);
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
    fatal: AtomicBool,
    instruments: Instruments,
}

impl DeliveryContext {
    /// A healthy client's context.
    pub(super) fn new(instruments: Instruments) -> Self {
        Self {
            fatal: AtomicBool::new(false),
            instruments,
        }
    }

    /// Whether the client is beyond use.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Acquire)
    }

    /// Marks the client as beyond use; the next send replaces it.
    pub(super) fn mark_fatal(&self) {
        self.fatal.store(true, Ordering::Release);
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::native::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.mark_fatal();
        }
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
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                    self.mark_fatal();
                }
                let error = SendError::at_report(error, &pending.fate);
                self.instruments.failed(&error);
                Err(error)
            }
        };
        // The sender may have given up its future: then nobody asks.
        let _ = pending.reply.send(outcome);
    }
}
