//! What runs beside the gRPC server, how it comes up and in which order it ends.
//!
//! Redis and Kafka may be away at the start: the router answers `UNAVAILABLE` or parks meanwhile, and comes up
//! as they do. A store that belongs to another deployment, or cannot keep what is promised, ends it.

use std::sync::Arc;
use std::time::Duration;

use crate::producers::Producers;
use chassis::{Backoff, Condition, Context, Period, Tasks, every, retry_until};
use domain::topics;
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::RouterConfig;
use crate::dispatcher::{self, Dispatcher};
use crate::engine::{Engine, EngineCell};
use crate::slots::SlotQueues;
use crate::trace::Traces;
use crate::{breaker, changes, due, fullness, outbox, slots};

/// What a router waits for before it is ready.
pub(crate) const PARTS: [&str; 2] = [KAFKA, REDIS];
const KAFKA: &str = "kafka";
const REDIS: &str = "redis";

/// How often Redis is asked whether it is there.
const PING: Period = Period::new(Duration::from_secs(1));
/// How often leases that nobody asks for are dropped from the cache.
const SWEEP: Period = Period::new(Duration::from_secs(30));

/// The tasks that others hand work to: they end after those that hand it.
#[derive(Clone)]
pub(crate) struct Workers {
    dispatch: Tasks,
    stop_dispatch: CancellationToken,
    slots: Tasks,
    stop_slots: CancellationToken,
}

impl Workers {
    /// None yet; one that fails cancels `token`.
    pub(crate) fn new(token: &CancellationToken) -> Self {
        Self {
            dispatch: Tasks::new(token.clone()),
            stop_dispatch: CancellationToken::new(),
            slots: Tasks::new(token.clone()),
            stop_slots: CancellationToken::new(),
        }
    }

    /// Ends everything after the server has ended: calls, then dispatches, then events, then the connections.
    pub(crate) async fn finish(self, config: &RouterConfig, engine: &EngineCell, producers: Producers) {
        let drain = config.shutdown.drain() / 2;
        if let Some(engine) = engine.get() {
            engine.calls.close();
            if tokio::time::timeout(drain, engine.calls.wait()).await.is_err() {
                tracing::warn!("calls of the store did not end in time");
            }
        }
        self.stop_dispatch.cancel();
        let dispatched = self.dispatch.join(drain).await;
        self.stop_slots.cancel();
        let applied = self.slots.join(drain).await;
        for failure in [dispatched, applied].into_iter().filter_map(Result::err) {
            tracing::error!("{failure}");
        }
        if let Err(error) = producers
            .close(Duration::from_millis(config.kafka.message_timeout_ms))
            .await
        {
            tracing::warn!("records may be lost that their claims' leases will repeat: {error}");
        }
        if let Some(engine) = engine.get() {
            engine.store.close().await;
        }
    }

    /// Serves the queues of an engine.
    fn serve(&self, engine: &Arc<Engine>, slot_ends: SlotEnds, dispatch_ends: DispatchEnds) {
        for end in slot_ends {
            let (slot, patient, shared) = (end.slot, end.patient, Arc::clone(engine));
            let apply = move |events| {
                let engine = Arc::clone(&shared);
                async move { engine.apply(slot, events, patient).await }
            };
            let name = format!("slot-{slot}{}", if patient { "-patient" } else { "" });
            self.slots
                .spawn(name, slots::run(end, self.stop_slots.clone(), apply));
        }
        for (n, end) in dispatch_ends.into_iter().enumerate() {
            let run = dispatcher::run(end, self.stop_dispatch.clone(), Arc::clone(engine));
            self.dispatch.spawn(format!("dispatch-{n}"), run);
        }
    }
}

type SlotEnds = Vec<slots::QueueEnd>;
type DispatchEnds = Vec<tokio::sync::mpsc::Receiver<dispatcher::Job>>;

/// Waits for the topics and warms the producers. Once they are warm, Kafka's absence is no reason to be unready:
/// commands are accepted and parked.
pub(crate) fn kafka(
    context: &Context,
    config: &RouterConfig,
    producers: &Producers,
    token: &CancellationToken,
) {
    let condition = context.readiness.condition(KAFKA);
    let (producers, token) = (producers.clone(), token.clone());
    let names: Vec<String> = topics::all(&config.topics).into_iter().map(|t| t.name).collect();
    context.tasks.spawn("kafka-warm", async move {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        retry_until(&token, &condition, Backoff::default(), || producers.warm(&names)).await;
    });
}

/// Connects the store, starts what needs it, and watches it from then on.
pub(crate) fn store(
    context: &Context,
    config: &RouterConfig,
    producers: &Producers,
    cell: &EngineCell,
    workers: &Workers,
) {
    let condition = context.readiness.condition(REDIS);
    let (context, config, producers) = (context.clone(), config.clone(), producers.clone());
    let (cell, workers) = (cell.clone(), workers.clone());
    context.tasks.clone().spawn("store", async move {
        let token = context.token.clone();
        let Some(store) = Box::pin(connect(&config, &condition, &token)).await? else {
            return Ok(());
        };
        let (precedence, linger) = (Arc::default(), config.delivery.low_priority_linger());
        let (slot_queues, slot_ends) = SlotQueues::new(store.slots(), linger, &precedence);
        let traces = Traces::new(&config.telemetry);
        let (dispatcher, dispatch_ends) = Dispatcher::new(Arc::clone(&traces));
        let clock = context.clock.clone();
        let queues = (slot_queues, dispatcher);
        let engine = Arc::new(Engine::new(
            config, store, producers, clock, traces, queues, precedence,
        ));
        workers.serve(&engine, slot_ends, dispatch_ends);
        loops(&context, &engine);
        cell.set(engine);
        every(PING, &token, "redis-ping", || {
            ping(cell.clone(), condition.clone())
        })
        .await;
        anyhow::Ok(())
    });
}

/// Tries until Redis is there. What cannot get better by waiting is an error.
async fn connect(
    config: &RouterConfig,
    condition: &Condition,
    token: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let mut backoff = Backoff::default();
    loop {
        let settings = config.delivery.settings();
        let connected = token
            .run_until_cancelled(Box::pin(Store::connect(config.redis.clone(), settings)))
            .await;
        match connected {
            None => return Ok(None),
            Some(Ok(store)) => return Ok(Some(store)),
            Some(Err(error)) if error.is_transient() => condition.waiting(error.to_string()),
            Some(Err(error)) => return Err(error.into()),
        }
        let pause = tokio::time::sleep(backoff.next_delay(&mut rand::rng()));
        if token.run_until_cancelled(pause).await.is_none() {
            return Ok(None);
        }
    }
}

/// The loops that need the store.
fn loops(context: &Context, engine: &Arc<Engine>) {
    let (tasks, token) = (&context.tasks, &context.token);
    let (shared, stop) = (Arc::clone(engine), token.clone());
    tasks.spawn_essential("breaker", async move {
        let probe = || breaker::answers(&shared.producers, topics::COMMAND_RESULTS);
        shared.breaker.run(stop, probe).await;
    });
    let outlet = Arc::clone(engine);
    tasks.spawn_essential(
        "outbox",
        outbox::run(
            outlet,
            Arc::clone(&engine.wakes),
            engine.config.delivery.low_priority_linger(),
            token.clone(),
        ),
    );
    let changes = changes::run(engine.store.clone(), engine.hub.clone(), token.clone());
    tasks.spawn_essential("changes", changes);
    tasks.spawn_essential("due", due::run(Arc::clone(engine), token.clone()));
    let (cache, stop) = (Arc::clone(engine), token.clone());
    tasks.spawn_essential("lease-sweep", async move {
        every(SWEEP, &stop, "lease-sweep", || {
            cache.leases.sweep();
            async { Ok::<_, StoreError>(()) }
        })
        .await;
    });
}

/// Asks every server of the store for its time, as a sign of life; shows the queues on the occasion. Only this says
/// that Redis is there, so a router that is ready has the engine that its calls need.
async fn ping(cell: EngineCell, condition: Condition) -> Result<(), StoreError> {
    let Some(engine) = cell.get() else {
        return Ok(());
    };
    fullness::show(engine);
    match engine.store.redis_now().await {
        Ok(_) => {
            condition.ready();
            Ok(())
        }
        Err(error) => {
            condition.waiting(error.to_string());
            Err(error)
        }
    }
}
