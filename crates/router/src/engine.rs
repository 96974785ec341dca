//! What the router's parts share once the store is connected, and the follow-up that every reply of the
//! store needs: its claims are dispatched, its outbox is woken.

use std::sync::{Arc, OnceLock};

use bus::{Message, SendError};
use chassis::MonoClock;
use domain::command::Priority;
use domain::ids::{ChargePointId, Incarnation, Micros, PodId, Slot};
use domain::placement::ShardMap;
use domain::slot::{Applied, Claimed, EventInput};
use store::{Reply, Store, StoreError};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::account;
use crate::breaker::Breaker;
use crate::changes::Hub;
use crate::config::RouterConfig;
use crate::dispatcher::{Batch, Dispatcher, Ports};
use crate::failpoint;
use crate::fullness::Queues;
use crate::leases::{LeaseCache, LeaseView};
use crate::link::Outbound;
use crate::outbox::Wakes;
use crate::precedence::{Haste, Precedence};
use crate::producers::Producers;
use crate::slots::{SlotQueues, SubmitError};
use crate::told::Told;
use crate::trace::{Origin, Traces};

/// Reads of woken watches under way.
const WATCH_READS: usize = 64;

/// The shared parts.
pub struct Engine {
    /// The configuration.
    pub config: RouterConfig,
    /// The store.
    pub store: Store,
    /// The ways to Kafka.
    pub producers: Producers,
    /// Whether Kafka is left to the other routers.
    pub breaker: Breaker,
    /// The pods' leases.
    pub leases: LeaseCache,
    /// Events on their way to the store.
    pub slots: SlotQueues,
    /// Which calls to the store go first.
    pub precedence: Arc<Precedence>,
    /// Claims on their way to Kafka.
    pub dispatcher: Dispatcher,
    /// Which slots have something in their outbox.
    pub wakes: Arc<Wakes>,
    /// Who watches which command.
    pub hub: Hub,
    /// Watches that read at a time.
    pub watch_reads: Semaphore,
    /// Monotonic time of this process.
    pub clock: MonoClock,
    /// What waits for the edges that are linked.
    pub links: Queues<Outbound>,
    /// The traces of commands.
    pub traces: Arc<Traces>,
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
        producers: Producers,
        clock: MonoClock,
        traces: Arc<Traces>,
        (slots, dispatcher): (SlotQueues, Dispatcher),
        precedence: Arc<Precedence>,
    ) -> Self {
        let unique = rand::random::<u32>();
        Self {
            leases: LeaseCache::new(store.clone(), clock.clone()),
            breaker: Breaker::new(config.breaker.clone(), clock.clone()),
            clock,
            links: Queues::default(),
            precedence,
            watch_reads: Semaphore::new(WATCH_READS),
            traces,
            wakes: Arc::new(Wakes::new(store.slots())),
            shards: ShardMap::new(config.topics.shards),
            holder: format!("{}/{unique:08x}", config.router.id),
            hub: Hub::new(store.slots()),
            calls: TaskTracker::new(),
            config,
            store,
            producers,
            slots,
            dispatcher,
        }
    }

    /// Does what a reply about a charger's slot asks for besides its own answer. `asked_us` is when the store was
    /// asked, by the monotonic clock.
    pub fn follow_up<T>(&self, slot: Slot, asked_us: u64, reply: &Reply<T>, claimed: Vec<Claimed>) {
        self.follow_up_of(None, slot, asked_us, reply, claimed);
    }

    /// The same for the reply to a call that has a span.
    pub fn follow_up_of<T>(
        &self,
        origin: Option<Origin>,
        slot: Slot,
        asked_us: u64,
        reply: &Reply<T>,
        claimed: Vec<Claimed>,
    ) {
        if reply.wants_drain {
            self.wakes.wake(slot, Haste::Now);
        }
        self.dispatch(origin, asked_us, reply, claimed);
    }

    fn dispatch<T>(&self, origin: Option<Origin>, asked_us: u64, reply: &Reply<T>, claimed: Vec<Claimed>) {
        let told = Told {
            redis_now: reply.redis_now,
            asked_us,
        };
        self.dispatcher.dispatch(Batch {
            claimed,
            told,
            origin,
        });
    }

    /// Applies a batch of one slot's events: the call that a slot's queue makes, when it is its turn. What follows from
    /// patient ones is patient.
    pub async fn apply(
        &self,
        slot: Slot,
        events: Vec<EventInput>,
        patient: bool,
    ) -> Result<Reply<Vec<Applied>>, StoreError> {
        let asked_us = self.clock.now_us();
        let mut reply = self.store.apply_events(slot, &events).await?;
        account::applied(&events, &reply);
        let claimed = reply
            .value
            .iter_mut()
            .flat_map(|a| std::mem::take(&mut a.claimed))
            .collect();
        if reply.wants_drain {
            let haste = if patient { Haste::Patient } else { Haste::Now };
            self.wakes.wake(slot, haste);
        }
        self.dispatch(None, asked_us, &reply, claimed);
        Ok(reply)
    }

    /// Produces a record and waits for the broker's report.
    pub async fn produce(&self, message: Message, priority: Priority) -> Result<(), SendError> {
        let sent = self.breaker.send()?;
        let report = self.producers.send(&message, priority)?;
        failpoint::hit(failpoint::AFTER_PRODUCE);
        let result = report.await;
        failpoint::hit(failpoint::BEFORE_DELIVERY_REPORT);
        sent.reported(&result);
        result.map(drop)
    }

    /// The slot of a charger.
    #[must_use]
    pub fn slot_of(&self, charge_point: &ChargePointId) -> Slot {
        self.store.slot_of(charge_point)
    }
}

impl Ports for Engine {
    async fn lease(&self, pod: &PodId, incarnation: Incarnation) -> Result<LeaseView, ()> {
        self.leases
            .get(pod, incarnation)
            .await
            .map_err(|error| tracing::debug!(%pod, %error, "cannot read the lease"))
    }

    fn latest(&self, told: &Told) -> Micros {
        told.latest(&self.clock)
    }

    async fn produce(&self, message: Message, priority: Priority) -> Result<(), SendError> {
        self.produce(message, priority).await
    }

    async fn give_back(&self, event: EventInput) {
        match self.slots.apply(event).await {
            Ok(_) | Err(SubmitError::Closed) => {}
            Err(error) => tracing::debug!(%error, "cannot give a dispatch back; its lease will end"),
        }
    }
}
