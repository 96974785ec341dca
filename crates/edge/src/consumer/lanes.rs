//! Where records come from: Kafka, or something deaf in tests. Leaves out what a record says.

use std::future::Future;
use std::sync::Arc;

use bus::{BusConfig, BusError, Event, Lane, LaneConsumer, StartAt};

/// The two lanes of one place.
pub trait LaneSource: Send + Sized + 'static {
    /// A source of the same kind that consumes nothing yet.
    fn another(&self) -> Self;
    /// Begins behind the last record of each lane.
    fn open(&mut self, lanes: [Lane; 2]) -> impl Future<Output = Result<(), BusError>> + Send;
    /// The next record or error. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Event> + Send;
    /// Replaces what may be dead and continues at the next record.
    fn rebuild(&mut self) -> impl Future<Output = Result<(), BusError>> + Send;
    /// Ends it.
    fn close(self) -> impl Future<Output = Result<(), BusError>> + Send;
}

/// The lanes on Kafka.
pub struct KafkaLanes {
    config: Arc<BusConfig>,
    consumer: Option<LaneConsumer>,
}

impl KafkaLanes {
    /// Consumes from these brokers.
    #[must_use]
    pub fn new(config: BusConfig) -> Self {
        Self {
            config: Arc::new(config),
            consumer: None,
        }
    }
}

impl LaneSource for KafkaLanes {
    fn another(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            consumer: None,
        }
    }

    async fn open(&mut self, lanes: [Lane; 2]) -> Result<(), BusError> {
        if let Some(old) = self.consumer.take() {
            old.close().await?;
        }
        let topic = Arc::clone(&lanes[0].topic);
        let missing = bus::wait_for_topics(&self.config, &[&topic], self.config.request_timeout()).await?;
        if !missing.is_empty() {
            return Err(BusError::MissingTopics(missing));
        }
        self.consumer = Some(LaneConsumer::start(&self.config, &lanes, StartAt::End).await?);
        Ok(())
    }

    async fn next(&mut self) -> Event {
        match &mut self.consumer {
            Some(consumer) => consumer.recv().await,
            None => std::future::pending().await,
        }
    }

    async fn rebuild(&mut self) -> Result<(), BusError> {
        match &mut self.consumer {
            Some(consumer) => consumer.rebuild().await,
            None => Ok(()),
        }
    }

    async fn close(self) -> Result<(), BusError> {
        match self.consumer {
            Some(consumer) => consumer.close().await,
            None => Ok(()),
        }
    }
}
