//! Events to Kafka. Leaves out what an event is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bus::{Message, Producer};
use domain::topics::EVENTS_UP;
use metrics::{Counter, Gauge, counter, gauge};

use super::{Confirmation, EventSink, NotTaken};
use crate::metrics::{REASON, UPSTREAM_FAILURES, UPSTREAM_IN_FLIGHT};

/// Produces to the topic of upstream events.
pub struct KafkaSink {
    producer: Producer,
    topic: Arc<str>,
    max_in_flight: usize,
    durable: Arc<AtomicUsize>,
    gauge: Gauge,
    full: Counter,
    dropped: Counter,
    unconfirmed: Counter,
}

/// One event in flight; counts itself out however it ends.
struct InFlight(Arc<AtomicUsize>);

impl KafkaSink {
    /// Produces by `producer`; at most `max_in_flight` events wait for their delivery report.
    #[must_use]
    pub fn new(producer: Producer, max_in_flight: usize) -> Self {
        let failures = |reason: &'static str| counter!(UPSTREAM_FAILURES, REASON => reason);
        Self {
            producer,
            topic: Arc::from(EVENTS_UP),
            max_in_flight,
            durable: Arc::default(),
            gauge: gauge!(UPSTREAM_IN_FLIGHT),
            full: failures("full"),
            dropped: failures("dropped"),
            unconfirmed: failures("unconfirmed"),
        }
    }

    fn message(&self, charge_point_id: &str, event: Vec<u8>) -> Message {
        Message::new(Arc::clone(&self.topic), event)
            .key(charge_point_id.as_bytes().to_vec())
            .headers(crate::trace::headers())
    }

    fn is_full(&self) -> bool {
        let in_flight = self.producer.in_flight();
        self.gauge
            .set(f64::from(u32::try_from(in_flight).unwrap_or(u32::MAX)));
        in_flight >= self.max_in_flight || self.durable.load(Ordering::Relaxed) >= self.max_in_flight
    }
}

impl EventSink for KafkaSink {
    fn send(&self, charge_point_id: &str, event: Vec<u8>) -> Result<Confirmation, NotTaken> {
        if self.is_full() {
            self.full.increment(1);
            return Err(NotTaken);
        }
        let sent = self.producer.send(&self.message(charge_point_id, event));
        let report = sent.map_err(|error| {
            tracing::debug!(%error, charge_point_id, "an event was not taken");
            self.full.increment(1);
            NotTaken
        })?;
        self.durable.fetch_add(1, Ordering::Relaxed);
        let (in_flight, unconfirmed) = (InFlight(Arc::clone(&self.durable)), self.unconfirmed.clone());
        Ok(Box::pin(async move {
            let _in_flight = in_flight;
            let outcome = report.await;
            if let Err(error) = &outcome {
                tracing::debug!(%error, "an event was not confirmed");
                unconfirmed.increment(1);
            }
            outcome.is_ok()
        }))
    }

    fn send_and_forget(&self, charge_point_id: &str, event: Vec<u8>) {
        let sent = !self.is_full() && self.producer.send(&self.message(charge_point_id, event)).is_ok();
        if !sent {
            self.dropped.increment(1);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
