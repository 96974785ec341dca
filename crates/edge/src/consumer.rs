//! Records for this pod: read, told apart, and given to their shard. A record that cannot be read is counted,
//! logged with its place, and passed over, so that it never blocks its lane.
//!
//! Leaves out how Kafka is consumed (`bus`), behind [`LaneSource`], when a lane counts as alive ([`CanaryGate`]),
//! and how a pod moves from place to place (`consumer/places.rs`).
//!
//! [`CanaryGate`]: crate::canary::CanaryGate

mod account;
mod lanes;
mod places;

use std::sync::Arc;
use std::time::Duration;

use bus::{CanaryLimits, Event, Record};
use chassis::{Backoff, Condition};
use domain::dispatch::Consumes;
use domain::edge::Input;
use domain::ids::{LinkNumber, PodId};
use metrics::counter;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::WireError;
use wire::gateway::link::v1::Placement;
use wire::map::record::{ShardMessage, read_shard_record};

use self::places::{Closing, Moved, Opening, Place, Places, close, lanes_of, open};
use crate::app::conditions;
use crate::config::EdgeConfig;
use crate::hub::Hub;
use crate::metrics::{CANARY_AGE, FOREIGN_RECORDS, POISON_RECORDS};
use crate::trace;

pub use lanes::{KafkaLanes, LaneSource};

/// How often the canaries are looked at.
const TICK: Duration = Duration::from_millis(250);

/// How a consumer behaves.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerSettings {
    /// When a lane counts as alive and when as dead.
    pub limits: CanaryLimits,
    /// How long a place is still consumed after the routers were told of another.
    pub drain: Duration,
}

impl ConsumerSettings {
    /// As configured.
    #[must_use]
    pub fn of(config: &EdgeConfig) -> Self {
        let limits = CanaryLimits {
            fresh_ms: config.canary.fresh_ms,
            rebuild_ms: config.canary.rebuild_ms,
        };
        let drain = Duration::from_millis(config.pod.old_place_ms);
        Self { limits, drain }
    }
}

/// What the consumer and the link tell each other.
pub struct ConsumerPorts {
    /// Where the router says that the edge should consume.
    pub placement: watch::Receiver<Option<Placement>>,
    /// Where routers were told to send, with every renewal that says so.
    pub published: watch::Receiver<Option<Consumes>>,
    /// Where canaries of late prove that the edge consumes.
    pub proven: watch::Sender<Option<Consumes>>,
}

/// The task that consumes.
pub struct Consumer<S> {
    hub: Arc<Hub>,
    pod: PodId,
    /// Never opened: others are made after it.
    pattern: S,
    settings: ConsumerSettings,
    ports: ConsumerPorts,
    condition: Condition,
    places: Places<S>,
    opening: Option<(Placement, Opening<S>)>,
    backoff: Backoff,
    closing: Option<Closing>,
}

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Canary(LinkNumber, u64),
    Input(Input),
    Foreign,
}

/// What happens while consuming.
enum Turn<S> {
    Event(Event),
    Tick,
    Placement,
    Published,
    Opened(S, Result<(), bus::BusError>),
    Closed,
}

impl<S: LaneSource> Consumer<S> {
    /// The task, not yet begun.
    pub fn new(
        hub: Arc<Hub>,
        pod: PodId,
        pattern: S,
        settings: ConsumerSettings,
        ports: ConsumerPorts,
    ) -> Self {
        let condition = hub.readiness.condition(conditions::LANES);
        condition.waiting("no router said where to consume");
        Self {
            hub,
            pod,
            pattern,
            settings,
            ports,
            condition,
            places: Places::none(),
            opening: None,
            backoff: Backoff::default(),
            closing: None,
        }
    }

    /// Consumes where the placement says until `token` is cancelled.
    pub async fn run(mut self, token: CancellationToken) {
        let _ = token.run_until_cancelled(Box::pin(self.consume_for_ever())).await;
    }

    async fn consume_for_ever(&mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.placed();
        loop {
            let ports = &mut self.ports;
            let turn = tokio::select! {
                event = self.places.next() => Turn::Event(event),
                _ = ticks.tick() => Turn::Tick,
                // Where the other end is gone, so is the edge: there is nothing to come.
                Ok(()) = ports.placement.changed() => Turn::Placement,
                Ok(()) = ports.published.changed() => Turn::Published,
                (source, opened) = opened(&mut self.opening) => Turn::Opened(source, opened),
                () = closed(&mut self.closing) => Turn::Closed,
            };
            match turn {
                Turn::Event(Event::Record(record)) => self.take(&record),
                Turn::Event(Event::Failed { kind, detail }) => {
                    tracing::debug!(kind, detail, "a consumer error");
                }
                Turn::Tick => self.tick().await,
                Turn::Placement => self.placed(),
                Turn::Published => self.published(),
                Turn::Opened(source, opened) => self.opened(source, opened),
                Turn::Closed => self.closing = None,
            }
        }
    }

    /// The router said where to consume. The same place by a new link changes nothing.
    fn placed(&mut self) {
        let Some(placement) = self.ports.placement.borrow_and_update().clone() else {
            return;
        };
        let consumes = consumes(&placement);
        if self.is_on_its_way(&placement) {
            return;
        }
        self.opening = None;
        if let Some(place) = self.places.coming.take() {
            self.leave(place);
        }
        if self.places.turn_back(&consumes) {
            tracing::info!(
                topic = placement.topic,
                "the pod is told back before routers were told that it moved"
            );
        }
        if self
            .places
            .current
            .as_ref()
            .is_some_and(|p| p.consumes == consumes)
        {
            return;
        }
        if self.places.current.is_none() {
            self.shut("opening the lanes");
        }
        self.backoff.reset();
        self.begin(placement, Duration::ZERO);
    }

    /// Whether a place is being opened, or is opened and not proven yet.
    fn is_on_its_way(&self, placement: &Placement) -> bool {
        let coming = self.places.coming.as_ref();
        coming.is_some_and(|place| place.consumes == consumes(placement))
            || self
                .opening
                .as_ref()
                .is_some_and(|(opening, _)| same_place(opening, placement))
    }

    fn begin(&mut self, placement: Placement, pause: Duration) {
        let lanes = lanes_of(&consumes(&placement));
        self.opening = Some((placement, open(self.pattern.another(), lanes, pause)));
    }

    /// A place could be opened, or is tried again after a pause.
    fn opened(&mut self, source: S, opened: Result<(), bus::BusError>) {
        let Some((placement, _)) = self.opening.take() else {
            return;
        };
        let moving = self.places.current.is_some();
        if let Err(error) = opened {
            if moving {
                tracing::warn!(%error, topic = placement.topic, "the new place cannot be opened; the old one is kept");
            } else {
                self.shut(&format!("{error}"));
            }
            let pause = self.backoff.next_delay(&mut rand::rng());
            return self.begin(placement, pause);
        }
        if !moving {
            self.shut("no canary came round yet");
        }
        let (limits, now_ms) = (self.settings.limits, self.now_ms());
        let (consumes, link) = (consumes(&placement), LinkNumber(placement.link_number));
        self.places.coming = Some(Place::new(consumes, source, link, limits, now_ms));
    }

    /// Routers were told of a place just now. What they were told before a move is no sign: the reply that said more
    /// may be lost.
    fn published(&mut self) {
        let now_ms = self.now_ms();
        if let Some(published) = self.ports.published.borrow_and_update().as_ref() {
            self.places.published(published, self.settings.drain, now_ms);
        }
    }

    fn take(&mut self, record: &Record) {
        match read(record, &self.pod) {
            Ok(Read::Input(input)) => {
                account::arrived(&input);
                trace::taken(record).in_scope(|| self.hub.route(input));
            }
            Ok(Read::Canary(link, number)) => {
                account::canary(record, self.lane_name(record.partition), number);
                self.places.seen(record, link, self.now_ms());
                self.judge();
            }
            Ok(Read::Foreign) => counter!(FOREIGN_RECORDS).increment(1),
            Err(error) => {
                counter!(POISON_RECORDS).increment(1);
                let (topic, partition, offset) = (&record.topic, record.partition, record.offset);
                account::quarantined(record);
                tracing::warn!(%error, %topic, partition, offset, "a record cannot be read and is passed over");
            }
        }
    }

    async fn tick(&mut self) {
        let now_ms = self.now_ms();
        for place in self.places.take_drained(now_ms) {
            self.leave(place);
        }
        self.judge();
        let ages = self.places.watched().map(|place| place.gate.age_ms(now_ms));
        if let Some(age_ms) = ages.into_iter().flatten().next() {
            metrics::gauge!(CANARY_AGE).set(Duration::from_millis(age_ms).as_secs_f64());
        }
        let mut failed = None;
        for place in self.places.watched().filter(|p| p.gate.wants_rebuild(now_ms)) {
            tracing::warn!(
                topic = place.consumes.topic,
                "no canary came round for long: the consumer is replaced"
            );
            failed = place.source.rebuild().await.err().or(failed);
            place.gate.rebuilt(self.hub.clock.mono_ms());
        }
        if let Some(error) = failed {
            self.shut(&format!("the consumer could not be replaced: {error}"));
        }
    }

    /// Ends the consumer of a place that is of no more use; one at a time is waited for, beside the others.
    fn leave(&mut self, place: Place<S>) {
        let (before, next) = (self.closing.take(), close(place));
        self.closing = Some(Box::pin(async move {
            if let Some(before) = before {
                before.await;
            }
            next.await;
        }));
    }

    /// What the history calls the lane of a partition.
    fn lane_name(&self, partition: i32) -> &'static str {
        let urgent = self.ports.placement.borrow().as_ref().map(|p| p.urgent_partition);
        if urgent == Some(partition) {
            "urgent"
        } else {
            "normal"
        }
    }

    /// Moves if the new place is proven, and tells readiness and the lease which place is.
    fn judge(&mut self) {
        let now_ms = self.now_ms();
        if let Moved::On(excess) = self.places.advance(now_ms) {
            if !self.places.left.is_empty() {
                tracing::info!("canaries came round at the new place: the pod moves");
            }
            if let Some(place) = excess {
                self.leave(place);
            }
        }
        let proven = self.places.proven(now_ms).cloned();
        if proven.is_some() {
            self.condition.ready();
        } else if self.ports.proven.borrow().is_some() {
            self.condition.waiting("no canary came round of late");
        }
        self.tell(proven);
    }

    fn shut(&self, why: &str) {
        self.condition.waiting(why);
        self.tell(None);
    }

    fn tell(&self, proven: Option<Consumes>) {
        self.ports.proven.send_if_modified(|known| {
            let changed = *known != proven;
            *known = proven;
            changed
        });
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
        ShardMessage::Canary { link, number } => Read::Canary(link, number),
    })
}

/// The place that a placement names.
fn consumes(placement: &Placement) -> Consumes {
    Consumes {
        topic: placement.topic.clone(),
        normal: placement.normal_partition,
        urgent: placement.urgent_partition,
    }
}

fn same_place(one: &Placement, other: &Placement) -> bool {
    consumes(one) == consumes(other)
}

/// The outcome of what is being opened, if anything is.
async fn opened<S>(opening: &mut Option<(Placement, Opening<S>)>) -> (S, Result<(), bus::BusError>) {
    match opening {
        Some((_, opening)) => opening.await,
        None => std::future::pending().await,
    }
}

/// The end of what is being closed, if anything is.
async fn closed(closing: &mut Option<Closing>) {
    match closing {
        Some(closing) => closing.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
