//! What the router's parts share once the store is connected, and the follow-up that every reply of the
//! store needs: its claims are dispatched, its outbox is woken, its time is learned.

use std::sync::{Arc, OnceLock};

use bus::{Message, Producer, SendError};
use chassis::MonoClock;
use domain::dispatch::Lease;
use domain::ids::{ChargePointId, Incarnation, Micros, PodId, Slot};
use domain::placement::ShardMap;
use domain::slot::{Applied, Claimed, EventInput};
use store::{Reply, Store, StoreError};
use tokio_util::task::TaskTracker;

use crate::changes::Hub;
use crate::config::RouterConfig;
use crate::dispatcher::{Dispatcher, Ports};
use crate::failpoint;
use crate::leases::LeaseCache;
use crate::outbox::Wakes;
use crate::redis_clock::RedisClock;
use crate::slots::{SlotQueues, SubmitError};

/// The shared parts.
pub struct Engine {
    /// The configuration.
    pub config: RouterConfig,
    /// The store.
    pub store: Store,
    /// Kafka.
    pub producer: Producer,
    /// The pods' leases.
    pub leases: LeaseCache,
    /// Events on their way to the store.
    pub slots: SlotQueues,
    /// Claims on their way to Kafka.
    pub dispatcher: Dispatcher,
    /// Which slots have something in their outbox.
    pub wakes: Arc<Wakes>,
    /// Who watches which command.
    pub hub: Hub,
    /// Redis time.
    pub redis_clock: Arc<RedisClock>,
    /// Which pod consumes which shard.
    pub shards: ShardMap,
    /// Names this process as a holder of drain leases.
    pub holder: String,
    /// Calls that go on when their caller has left; awaited at shutdown.
    pub calls: TaskTracker,
}

/// The engine, once it is there: the API answers before that too.
#[derive(Clone, Default)]
pub struct EngineCell(Arc<OnceLock<Arc<Engine>>>);

impl EngineCell {
    /// The engine, if the store has been connected.
    #[must_use]
    pub fn get(&self) -> Option<&Arc<Engine>> {
        self.0.get()
    }

    /// The store is connected. A second engine is ignored: there is one start.
    pub fn set(&self, engine: Arc<Engine>) {
        drop(self.0.set(engine));
    }
}

impl Engine {
    /// Puts the parts together; the queues are served by whoever made them.
    #[must_use]
    pub fn new(
        config: RouterConfig,
        store: Store,
        producer: Producer,
        clock: MonoClock,
        (slots, dispatcher): (SlotQueues, Dispatcher),
    ) -> Self {
        let redis_clock = Arc::new(RedisClock::new(clock.clone()));
        let unique = rand::random::<u32>();
        Self {
            leases: LeaseCache::new(store.clone(), clock, Arc::clone(&redis_clock)),
            wakes: Arc::new(Wakes::new(store.slots())),
            shards: ShardMap::new(config.topics.shards),
            holder: format!("{}/{unique:08x}", config.router.id),
            hub: Hub::default(),
            calls: TaskTracker::new(),
            config,
            store,
            producer,
            slots,
            dispatcher,
            redis_clock,
        }
    }

    /// Does what a reply about a charger's slot asks for besides its own answer.
    pub fn follow_up<T>(&self, slot: Slot, reply: &Reply<T>, claimed: Vec<Claimed>) {
        self.redis_clock.learn(reply.redis_now);
        if reply.wants_drain {
            self.wakes.wake(slot);
        }
        self.dispatcher.dispatch(claimed);
    }

    /// Applies a batch of one slot's events: the call that a slot's queue makes.
    pub async fn apply(
        &self,
        slot: Slot,
        events: Vec<EventInput>,
    ) -> Result<Reply<Vec<Applied>>, StoreError> {
        let mut reply = self.store.apply_events(slot, &events).await?;
        let claimed = reply
            .value
            .iter_mut()
            .flat_map(|a| std::mem::take(&mut a.claimed))
            .collect();
        self.follow_up(slot, &reply, claimed);
        Ok(reply)
    }

    /// Produces a record and waits for the broker's report.
    pub async fn produce(&self, message: Message) -> Result<(), SendError> {
        let report = self.producer.send(&message)?;
        failpoint::hit(failpoint::AFTER_PRODUCE);
        let result = report.await;
        failpoint::hit(failpoint::BEFORE_DELIVERY_REPORT);
        result.map(drop)
    }

    /// The slot of a charger.
    #[must_use]
    pub fn slot_of(&self, charge_point: &ChargePointId) -> Slot {
        self.store.slot_of(charge_point)
    }
}

impl Ports for Engine {
    async fn lease(&self, pod: &PodId, incarnation: Incarnation) -> Result<Option<Lease>, ()> {
        self.leases
            .get(pod, incarnation)
            .await
            .map_err(|error| tracing::debug!(%pod, %error, "cannot read the lease"))
    }

    fn now(&self) -> Micros {
        self.redis_clock.now()
    }

    async fn produce(&self, message: Message) -> Result<(), SendError> {
        self.produce(message).await
    }

    async fn give_back(&self, event: EventInput) {
        match self.slots.apply(event).await {
            Ok(_) | Err(SubmitError::Closed) => {}
            Err(error) => tracing::debug!(%error, "cannot give a dispatch back; its lease will end"),
        }
    }
}
