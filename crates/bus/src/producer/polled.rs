//! A librdkafka producer with the thread that polls it for delivery reports.
//!
//! rdkafka's own polling thread asks in rounds of 100 ms, and rdkafka spins through the last millisecond of each
//! round, which costs an idle process most of a percent of a core. Longer rounds cost as much less, and delay no
//! report: those that come are handled at once.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::BaseProducer;

use super::context::DeliveryContext;

/// How long the thread asks before it looks whether it should end: hardly more than whole milliseconds. rdkafka waits
/// for these and spins through the rest.
const ROUND: Duration = Duration::from_micros(1_000_050);

/// The producer. Dropping it waits for the thread, at most a round.
pub(super) struct Polled {
    client: Arc<BaseProducer<DeliveryContext>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Polled {
    /// Builds the client and its thread.
    pub(super) fn new(config: &ClientConfig, context: DeliveryContext) -> KafkaResult<Self> {
        let client = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&client), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("kafka-reports".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    polled.poll(ROUND);
                }
            })
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for its reports: {error}")))?;
        let thread = Some(thread);
        Ok(Self { client, stop, thread })
    }
}

impl Deref for Polled {
    type Target = BaseProducer<DeliveryContext>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of a producer's delivery reports panicked");
        }
    }
}
