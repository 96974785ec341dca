//! Records for this pod: read, told apart, and given to their shard. A record that cannot be read is counted,
//! logged with its place, and passed over, so that it never blocks its lane.
//!
//! Leaves out how Kafka is consumed (`bus`), behind [`LaneSource`], and when a lane counts as alive
//! ([`CanaryGate`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bus::{BusConfig, BusError, CanaryLimits, Event, Lane, LaneConsumer, Record, StartAt};
use chassis::{Backoff, Condition};
use domain::edge::Input;
use domain::ids::{LinkNumber, PodId};
use metrics::counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::WireError;
use wire::gateway::link::v1::Placement;
use wire::map::record::{ShardMessage, read_shard_record};

use crate::app::conditions;
use crate::canary::CanaryGate;
use crate::hub::Hub;
use crate::metrics::{CANARY_AGE, FOREIGN_RECORDS, POISON_RECORDS};

/// How often the canaries are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Where records come from; Kafka, or something deaf in tests.
pub trait LaneSource: Send + 'static {
    /// Begins behind the last record of each lane.
    fn open(&mut self, lanes: [Lane; 2]) -> impl Future<Output = Result<(), BusError>> + Send;
    /// The next record or error. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Event> + Send;
    /// Replaces what may be dead and continues at the next record.
    fn rebuild(&mut self) -> impl Future<Output = Result<(), BusError>> + Send;
}

/// The lanes on Kafka.
pub struct KafkaLanes {
    config: BusConfig,
    consumer: Option<LaneConsumer>,
}

/// The task that consumes.
pub struct Consumer<S> {
    hub: Arc<Hub>,
    pod: PodId,
    source: S,
    limits: CanaryLimits,
    placement: watch::Receiver<Option<Placement>>,
    fresh: watch::Sender<bool>,
    condition: Condition,
}

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Canary(LinkNumber),
    Input(Input),
    Foreign,
}

/// What happens while consuming.
enum Turn {
    Event(Event),
    Tick,
    Placement,
}

impl KafkaLanes {
    /// Consumes from these brokers.
    #[must_use]
    pub fn new(config: BusConfig) -> Self {
        Self {
            config,
            consumer: None,
        }
    }
}

impl LaneSource for KafkaLanes {
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
}

impl<S: LaneSource> Consumer<S> {
    /// The task, not yet begun, and whether its lanes are proven.
    pub fn new(
        hub: Arc<Hub>,
        pod: PodId,
        source: S,
        limits: CanaryLimits,
        placement: watch::Receiver<Option<Placement>>,
    ) -> (Self, watch::Receiver<bool>) {
        let (fresh, is_fresh) = watch::channel(false);
        let condition = hub.readiness.condition(conditions::LANES);
        condition.waiting("no router said where to consume");
        (
            Self {
                hub,
                pod,
                source,
                limits,
                placement,
                fresh,
                condition,
            },
            is_fresh,
        )
    }

    /// Consumes where the placement says until `token` is cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        let _ = token.run_until_cancelled(Box::pin(self.consume_for_ever())).await;
    }

    async fn consume_for_ever(&mut self) {
        loop {
            let Some(placement) = self.placement.borrow_and_update().clone() else {
                if self.placement.changed().await.is_err() {
                    // The link is gone, and with it the edge.
                    return std::future::pending().await;
                }
                continue;
            };
            let lanes = lanes_of(&placement);
            self.shut("opening the lanes");
            if self.open(&lanes).await {
                let gate = CanaryGate::new(
                    lanes,
                    LinkNumber(placement.link_number),
                    self.limits,
                    self.now_ms(),
                );
                self.consume(gate, &placement).await;
            }
        }
    }

    /// Opens the lanes, however long it takes; false if the placement changed meanwhile.
    async fn open(&mut self, lanes: &[Lane; 2]) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.source.open(lanes.clone()).await {
                Ok(()) => return true,
                Err(error) => self.shut(&format!("{error}")),
            }
            let pause = backoff.next_delay(&mut rand::rng());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.placement.changed() => return false,
            }
        }
    }

    /// Consumes until the lanes change.
    async fn consume(&mut self, mut gate: CanaryGate, placed: &Placement) {
        self.shut("no canary came round yet");
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let turn = tokio::select! {
                event = self.source.next() => Turn::Event(event),
                _ = ticks.tick() => Turn::Tick,
                changed = self.placement.changed() => match changed {
                    Ok(()) => Turn::Placement,
                    Err(_) => std::future::pending().await,
                },
            };
            match turn {
                Turn::Event(Event::Record(record)) => self.take(&record, &mut gate),
                Turn::Event(Event::Failed { kind, detail }) => {
                    tracing::debug!(kind, detail, "a consumer error");
                }
                Turn::Tick => self.tick(&mut gate).await,
                Turn::Placement => {
                    let now = self.placement.borrow().clone();
                    if now.is_none_or(|now| lanes_of(&now) != lanes_of(placed)) {
                        return;
                    }
                    self.placement.mark_unchanged();
                }
            }
        }
    }

    fn take(&self, record: &Record, gate: &mut CanaryGate) {
        match read(record, &self.pod) {
            Ok(Read::Input(input)) => self.hub.route(input),
            Ok(Read::Canary(link)) => {
                let lane = Lane {
                    topic: Arc::clone(&record.topic),
                    partition: record.partition,
                };
                gate.seen(&lane, link, self.now_ms());
                self.judge(gate);
            }
            Ok(Read::Foreign) => counter!(FOREIGN_RECORDS).increment(1),
            Err(error) => {
                counter!(POISON_RECORDS).increment(1);
                let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
                tracing::warn!(%error, %topic, partition, offset, "a record cannot be read and is passed over");
            }
        }
    }

    async fn tick(&mut self, gate: &mut CanaryGate) {
        let now_ms = self.now_ms();
        self.judge(gate);
        if let Some(age_ms) = gate.age_ms(now_ms) {
            metrics::gauge!(CANARY_AGE).set(Duration::from_millis(age_ms).as_secs_f64());
        }
        if !gate.wants_rebuild(now_ms) {
            return;
        }
        tracing::warn!("no canary came round for long: the consumer is replaced");
        if let Err(error) = self.source.rebuild().await {
            self.shut(&format!("the consumer could not be replaced: {error}"));
        }
        gate.rebuilt(self.now_ms());
    }

    /// Tells readiness and the lease whether the lanes are proven.
    fn judge(&self, gate: &CanaryGate) {
        let open = gate.is_open(self.now_ms());
        if open {
            self.condition.ready();
        } else if *self.fresh.borrow() {
            self.condition.waiting("no canary came round of late");
        }
        self.fresh
            .send_if_modified(|fresh| std::mem::replace(fresh, open) != open);
    }

    fn shut(&self, why: &str) {
        self.condition.waiting(why);
        self.fresh.send_replace(false);
    }

    fn now_ms(&self) -> u64 {
        self.hub.clock.mono_ms()
    }
}

/// Tells a record apart.
fn read(record: &Record, pod: &PodId) -> Result<Read, WireError> {
    let (to, message) = read_shard_record(&record.payload)?;
    if to != *pod {
        return Ok(Read::Foreign);
    }
    Ok(match message {
        ShardMessage::Input(input) => Read::Input(input),
        ShardMessage::Canary { link, .. } => Read::Canary(link),
    })
}

fn lanes_of(placement: &Placement) -> [Lane; 2] {
    let topic: Arc<str> = Arc::from(placement.topic.as_str());
    [placement.normal_partition, placement.urgent_partition]
        .map(|partition| Lane::new(Arc::clone(&topic), partition))
}

#[cfg(test)]
mod tests;
