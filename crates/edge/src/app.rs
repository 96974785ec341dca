//! The edge as a service: what is built in which order, and how it drains.
//!
//! Nothing here waits for a router or for Kafka: the port is bound, upgrades are answered 503, and readiness says
//! what is waited for.

use std::sync::Arc;
use std::time::Duration;

use bus::Producer;
use chassis::{Condition, Context, Service, retry_until};
use domain::ids::PodId;
use domain::topics::EVENTS_UP;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::EdgeConfig;
use crate::consumer::{Consumer, ConsumerPorts, ConsumerSettings, KafkaLanes};
use crate::error::EdgeError;
use crate::hub::Hub;
use crate::link::{LeaseSettings, Link, LinkParts};
use crate::listener::Listener;
use crate::shard::Outbound;
use crate::timers::{Periods, drive};
use crate::upstream::{KafkaSink, Upstream};

/// Why chargers are closed when the edge drains: they come back at once, to another edge.
const SERVICE_RESTART: u16 = 1012;
/// How often some connections are closed.
const DRAIN_TURN: Duration = Duration::from_millis(50);
/// How long what was said last may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the edge waits for before it takes chargers, as `/readyz` names it.
pub mod conditions {
    /// The producer of upstream events.
    pub const KAFKA: &str = "kafka";
    /// The link to a router.
    pub const ROUTER: &str = "router";
    /// Canaries on both lanes.
    pub const LANES: &str = "lanes";
    /// The lease of the pod's life.
    pub const LEASE: &str = "lease";
}

/// A bound edge.
pub struct App {
    config: EdgeConfig,
    context: Context,
    hub: Arc<Hub>,
    producer: Producer,
    listener: TcpListener,
    pod: PodId,
}

impl Service for App {
    type Config = EdgeConfig;

    const NAME: &'static str = "edge";

    async fn bind(config: EdgeConfig, context: Context) -> anyhow::Result<Self> {
        Self::bind(config, context).await.map_err(Into::into)
    }

    async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        self.run(token).await;
        Ok(())
    }
}

impl App {
    /// Binds the chargers' port. Neither a router nor Kafka needs to be there.
    pub async fn bind(config: EdgeConfig, context: Context) -> Result<Self, EdgeError> {
        crate::metrics::describe();
        bus::metrics::describe();
        let pod = PodId::parse(&config.pod.id)?;
        let address = config.ocpp.listen;
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|source| EdgeError::Bind { address, source })?;
        let local = listener
            .local_addr()
            .map_err(|source| EdgeError::Bind { address, source })?;
        context.addresses.add("ocpp", local);
        // Known from the start, so that there is no moment at which nothing seems to be waited for.
        for condition in [
            conditions::KAFKA,
            conditions::ROUTER,
            conditions::LANES,
            conditions::LEASE,
        ] {
            context.readiness.condition(condition);
        }
        let producer = Producer::new(&config.kafka).map_err(EdgeError::Producer)?;
        let sink = KafkaSink::new(producer.clone(), config.upstream.max_in_flight);
        let upstream = Upstream::new(Arc::new(sink), pod.clone());
        let hub = Hub::new(
            &config,
            context.clock.clone(),
            upstream,
            context.readiness.clone(),
        );
        Ok(Self {
            config,
            context,
            hub: Arc::new(hub),
            producer,
            listener,
            pod,
        })
    }

    /// The shared parts, for tests.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// Works until `token` is cancelled, then drains: no new chargers, no new claims, the sockets closed at a
    /// pace, what was said last sent, and the end.
    pub async fn run(self, token: CancellationToken) {
        let (work, connections) = (CancellationToken::new(), TaskTracker::new());
        self.spawn_link_and_consumer(&token, &work);
        self.spawn_timers(&work);
        let warm = warm(
            self.producer.clone(),
            self.context.readiness.condition(conditions::KAFKA),
            token.clone(),
        );
        self.context.tasks.spawn("warm-producer", warm);
        let Self {
            config,
            hub,
            producer,
            listener,
            ..
        } = self;
        let listener = Listener {
            socket: listener,
            hub: Arc::clone(&hub),
            connections: connections.clone(),
            max_handshakes: config.ocpp.max_handshakes,
            handshake_timeout: Duration::from_millis(config.ocpp.handshake_timeout_ms),
        };
        listener.run(token).await;
        drain(&hub, &connections, &config).await;
        work.cancel();
        if let Err(error) = producer.close(LAST_WORDS).await {
            tracing::warn!(%error, "not every event was confirmed before the end");
        }
    }

    fn spawn_link_and_consumer(&self, token: &CancellationToken, work: &CancellationToken) {
        let (placement, placed) = watch::channel(None);
        let (publish, published) = watch::channel(None);
        let (prove, proven) = watch::channel(None);
        let ports = ConsumerPorts {
            placement: placed,
            published,
            proven: prove,
        };
        let lanes = KafkaLanes::new(self.config.kafka.clone());
        let settings = ConsumerSettings::of(&self.config);
        let consumer = Consumer::new(Arc::clone(&self.hub), self.pod.clone(), lanes, settings, ports);
        let pod = &self.config.pod;
        let link = Link::new(LinkParts {
            hub: Arc::clone(&self.hub),
            routers: self.config.routers.clone(),
            config: self.config.link.clone(),
            lease: LeaseSettings {
                pod: self.pod.clone(),
                process_nonce: rand::random::<u64>().max(1),
                renew_us: pod.renew_ms * 1_000,
                margin_us: pod.lease_margin_ms * 1_000,
                reply_timeout_us: self.config.link.reply_timeout_ms * 1_000,
            },
            placement,
            published: publish,
            proven,
            goodbye: token.clone(),
        });
        self.context
            .tasks
            .spawn_essential("consumer", consumer.run(work.clone()));
        let link = link.run(work.clone());
        self.context.tasks.spawn_essential("link", async move {
            Box::pin(link).await.map_err(anyhow::Error::from)
        });
    }

    fn spawn_timers(&self, work: &CancellationToken) {
        let periods = Periods::from(&self.config.ocpp);
        for index in 0..self.hub.shards.len() {
            let timers = drive(Arc::clone(&self.hub), index, periods, work.clone());
            self.context.tasks.spawn_essential("timers", timers);
        }
    }
}

/// Gets the producer ready for its first record, however long that takes.
async fn warm(producer: Producer, condition: Condition, token: CancellationToken) {
    let warmed = retry_until(&token, &condition, chassis::Backoff::default(), || {
        producer.warm(&[EVENTS_UP])
    })
    .await;
    if warmed.is_some() {
        tracing::debug!("the producer is warm");
    }
}

/// Closes all connections, some at a time so that the chargers do not storm the other edges, and waits until what
/// that leads to was said. The pace is raised where it would outlast the drain.
async fn drain(hub: &Hub, connections: &TaskTracker, config: &EdgeConfig) {
    connections.close();
    let patience = config.shutdown.drain().mul_f64(0.8);
    let deadline = Instant::now() + patience;
    let least = hub.entered() * 2 / usize::try_from(patience.as_millis() / 50).unwrap_or(1).max(1);
    let pace = (config.ocpp.drain_per_second / 20).max(1) as usize;
    // A charger that has a CALL to answer gets half of the time for that: closed upon earlier, it might never
    // answer, and what became of an unsafe command would stay unknown.
    let gentle = Instant::now() + patience / 2;
    let close_all = async {
        // Again and again, because a handshake may have ended just now.
        while !connections.is_empty() {
            close_each(hub, pace.max(least), Instant::now() > gentle).await;
        }
    };
    if tokio::time::timeout_at(deadline, close_all).await.is_err() {
        tracing::warn!(
            left = connections.len(),
            "connections did not end in time and are cut off"
        );
    }
    let said = deadline.min(Instant::now() + LAST_WORDS);
    while !is_all_said(hub) && Instant::now() < said {
        tokio::time::sleep(DRAIN_TURN).await;
    }
}

/// Whether nothing waits for the link, and every answer and non-write was confirmed by a router.
fn is_all_said(hub: &Hub) -> bool {
    hub.queue.is_empty() && hub.shards.iter().all(|shard| shard.unconfirmed() == 0)
}

/// Tells every connection to close, `pace` at a time; without the `busy` ones, only those without a CALL to answer.
async fn close_each(hub: &Hub, pace: usize, busy: bool) {
    let mut turns = tokio::time::interval(DRAIN_TURN);
    turns.tick().await;
    for shard in &hub.shards {
        for some in shard.sockets(busy).chunks(pace) {
            for socket in some {
                shard.post(*socket, Outbound::Close(SERVICE_RESTART, "the gateway restarts"));
            }
            turns.tick().await;
        }
    }
    turns.tick().await;
}
