//! The link to a router: one stream, to the first router that answers, and to another when it does not.
//!
//! Everything the edge says goes through [`LinkQueue`]; everything a router says becomes an input of a shard or of
//! the [`LeaseKeeper`]. Leaves out what is said, which the machines decide.

mod lease;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use chassis::{Backoff, Condition, history};
use domain::dispatch::Consumes;
use domain::edge::{Failed, Input};
use rand::seq::SliceRandom;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic::{Status, Streaming};
use wire::gateway::link::v1::edge_link_service_client::EdgeLinkServiceClient;
use wire::gateway::link::v1::{self as proto, LinkRequest, LinkResponse, down_item};

use crate::app::conditions;
use crate::config::LinkConfig;
use crate::error::{EdgeError, LinkError};
use crate::hub::Hub;
use crate::metrics::{INCARNATIONS, LINK_ENDS, LINK_QUEUE, LINKS, REASON};

pub use lease::{Effect, LeaseKeeper, LeaseSettings};
pub use queue::LinkQueue;

/// Messages between the queue and the transport; each is a batch.
const MESSAGES_IN_FLIGHT: usize = 4;
/// How often the lease is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The task that keeps the link.
pub struct Link {
    hub: Arc<Hub>,
    routers: Vec<String>,
    config: LinkConfig,
    keeper: LeaseKeeper,
    /// Where the edge consumes, for the consumer.
    placement: watch::Sender<Option<proto::Placement>>,
    /// Where routers were told to send, for the consumer.
    published: watch::Sender<Option<Consumes>>,
    /// Where both lanes are proven, from the consumer.
    proven: watch::Receiver<Option<Consumes>>,
    link_ready: Condition,
    lease_ready: Condition,
    /// The edge drains: say so.
    goodbye: CancellationToken,
}

/// What a [`Link`] is made of.
pub struct LinkParts {
    /// The shared parts.
    pub hub: Arc<Hub>,
    /// `host:port` of each router.
    pub routers: Vec<String>,
    /// How the link behaves.
    pub config: LinkConfig,
    /// The lease.
    pub lease: LeaseSettings,
    /// Where the edge consumes.
    pub placement: watch::Sender<Option<proto::Placement>>,
    /// Where routers were told to send, with every renewal that says so.
    pub published: watch::Sender<Option<Consumes>>,
    /// Where both lanes are proven.
    pub proven: watch::Receiver<Option<Consumes>>,
    /// Cancelled when the edge begins to drain.
    pub goodbye: CancellationToken,
}

/// What happens on a link.
enum Event<'a> {
    Down(Result<Option<LinkResponse>, Status>),
    Room(Result<mpsc::Permit<'a, LinkRequest>, LinkError>),
    Tick,
    Goodbye,
}

impl Link {
    /// The task, not yet begun.
    #[must_use]
    pub fn new(parts: LinkParts) -> Self {
        let LinkParts {
            hub,
            routers,
            config,
            lease,
            placement,
            published,
            proven,
            goodbye,
        } = parts;
        let link_ready = hub.readiness.condition(conditions::ROUTER);
        let lease_ready = hub.readiness.condition(conditions::LEASE);
        let keeper = LeaseKeeper::new(lease);
        Self {
            hub,
            routers,
            config,
            keeper,
            placement,
            published,
            proven,
            link_ready,
            lease_ready,
            goodbye,
        }
    }

    /// Keeps the link until `token` is cancelled. An error means that the process must end.
    pub async fn run(mut self, token: CancellationToken) -> Result<(), EdgeError> {
        let cap = Duration::from_millis(self.config.retry_max_ms);
        let mut backoff = Backoff::new(Duration::from_millis(50), cap);
        self.routers.shuffle(&mut rand::rng());
        for at in (0..self.routers.len()).cycle() {
            let address = self.routers.get(at).cloned().unwrap_or_default();
            let ended = token.run_until_cancelled(Box::pin(self.link(&address))).await;
            let up = self.hub.queue.is_open();
            self.unlink();
            match ended {
                None => return Ok(()),
                Some(LinkError::Fatal(error)) => {
                    self.hub.clock.end_lease();
                    return Err(error);
                }
                Some(error) => self.note_end(&address, &error),
            }
            if up {
                backoff.reset();
            }
            let pause = backoff.next_delay(&mut rand::rng());
            if token
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One link, from the connection to its end.
    async fn link(&mut self, address: &str) -> LinkError {
        let (requests, outgoing) = mpsc::channel(MESSAGES_IN_FLIGHT);
        let hello = LinkRequest {
            items: vec![self.keeper.hello()],
        };
        if requests.try_send(hello).is_err() {
            return LinkError::Closed;
        }
        match self.connect(address, outgoing).await {
            Ok(mut incoming) => {
                metrics::counter!(LINKS).increment(1);
                match self.converse(&requests, &mut incoming).await {
                    Ok(()) => LinkError::Closed,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        }
    }

    async fn connect(
        &self,
        address: &str,
        outgoing: mpsc::Receiver<LinkRequest>,
    ) -> Result<Streaming<LinkResponse>, LinkError> {
        let limit = Duration::from_millis(self.config.connect_timeout_ms);
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| LinkError::Address(address.to_owned()))?
            .connect_timeout(limit)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_millis(self.config.reply_timeout_ms))
            .keep_alive_timeout(Duration::from_millis(self.config.reply_timeout_ms));
        let open = async {
            let channel = endpoint.connect().await.map_err(LinkError::Connect)?;
            let mut client = EdgeLinkServiceClient::new(channel);
            let opened = client.link(ReceiverStream::new(outgoing)).await;
            opened
                .map(tonic::Response::into_inner)
                .map_err(|status| LinkError::Status(Box::new(status)))
        };
        tokio::time::timeout(limit.saturating_mul(2), open)
            .await
            .unwrap_or(Err(LinkError::ConnectTimeout))
    }

    /// Listens and speaks until the link ends.
    async fn converse(
        &mut self,
        requests: &mpsc::Sender<LinkRequest>,
        incoming: &mut Streaming<LinkResponse>,
    ) -> Result<(), LinkError> {
        let began_us = self.hub.clock.mono_us();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (hub, goodbye) = (Arc::clone(&self.hub), self.goodbye.clone());
        let mut said_goodbye = false;
        loop {
            let event = tokio::select! {
                message = incoming.message() => Event::Down(message),
                permit = room(&hub.queue, requests) => Event::Room(permit),
                _ = ticks.tick() => Event::Tick,
                () = goodbye.cancelled(), if !said_goodbye && hub.queue.is_open() => Event::Goodbye,
            };
            match event {
                Event::Down(Ok(Some(message))) => self.heard(message)?,
                Event::Down(Ok(None)) => return Err(LinkError::Closed),
                Event::Down(Err(status)) => return Err(LinkError::Status(Box::new(status))),
                Event::Room(permit) => permit?.send(LinkRequest {
                    items: hub.queue.take_batch(),
                }),
                Event::Tick => self.tick(began_us)?,
                Event::Goodbye => {
                    said_goodbye = true;
                    hub.queue.push(self.keeper.goodbye());
                }
            }
        }
    }

    /// What the router said.
    fn heard(&mut self, message: LinkResponse) -> Result<(), LinkError> {
        let redis_now = message.redis_now_us;
        for item in message.items.into_iter().filter_map(|down| down.item) {
            match &item {
                down_item::Item::Placement(placement) => self.placed(placement),
                down_item::Item::Lease(lease) => {
                    let effects = self.keeper.held(lease);
                    self.perform(effects, redis_now);
                }
                down_item::Item::LeaseRefused(refused) => {
                    let effect = self.keeper.refused(refused).map_err(LinkError::Fatal)?;
                    self.perform(effect, redis_now);
                }
                other => self.pass_on(other),
            }
        }
        Ok(())
    }

    /// An item about a charger or a command. One that cannot be read is passed over: it is repeated, or its timer
    /// settles it.
    fn pass_on(&mut self, item: &down_item::Item) {
        match wire::map::link::input(item) {
            Ok(Some(Input::Failed(Failed::Renewal(request))))
                if self.keeper.failed(request, self.hub.clock.mono_us()) => {}
            Ok(Some(input)) => self.hub.take(wire::map::link::charge_point_of(item), input),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the router said something that cannot be read"),
        }
    }

    /// The router knows this edge and says where it consumes. Only now is there somebody to talk to.
    fn placed(&mut self, placement: &proto::Placement) {
        tracing::info!(
            topic = placement.topic,
            normal = placement.normal_partition,
            urgent = placement.urgent_partition,
            link = placement.link_number,
            "linked"
        );
        self.keeper.placed(placement);
        self.placement.send_replace(Some(placement.clone()));
        self.link_ready.ready();
        self.hub.queue.open();
        self.hub.input_all(&Input::LinkUp);
    }

    fn perform(&self, effects: impl IntoIterator<Item = Effect>, redis_now_us: u64) {
        for effect in effects {
            match effect {
                Effect::Held { sent_us, until_us } => {
                    if redis_now_us > 0 {
                        self.hub.clock.learn(sent_us, domain::ids::Micros(redis_now_us));
                    }
                    // Noted first: connections write under the lease from the moment that it is held.
                    history::note("lease", || {
                        let until_m_us = self.hub.clock.machine_us(until_us);
                        json!({ "inc": self.keeper.incarnation().0, "until_m_us": until_m_us })
                    });
                    self.hub.clock.hold_lease(until_us);
                    self.lease_ready.ready();
                }
                // Told each time: the consumer trusts only what is confirmed after a move.
                Effect::Published(place) => drop(self.published.send_replace(Some(place))),
                Effect::Taken(incarnation) => {
                    tracing::info!(%incarnation, "a new life");
                    metrics::counter!(INCARNATIONS).increment(1);
                    self.hub.input_all(&Input::IncarnationTaken(incarnation));
                }
                Effect::Renewed => self.hub.input_all(&Input::LeaseRenewed),
                Effect::EpochChanged => {
                    tracing::warn!("the store's epoch changed: all connections are verified");
                    self.hub.input_all(&Input::EpochChanged);
                }
                Effect::Lapsed => {
                    tracing::warn!("the lease lapsed: a new life is needed");
                    self.hub.clock.end_lease();
                    history::note("lapsed", || json!({ "inc": self.keeper.last_incarnation().0 }));
                    self.lease_ready.waiting("the lease lapsed");
                    self.hub.input_all(&Input::LeaseLapsed);
                }
            }
        }
    }

    fn tick(&mut self, began_us: u64) -> Result<(), LinkError> {
        let now_us = self.hub.clock.mono_us();
        let silent = now_us.saturating_sub(began_us) / 1_000 >= self.config.reply_timeout_ms;
        if !self.hub.queue.is_open() && silent || self.keeper.is_unanswered(now_us) {
            return Err(LinkError::Silent);
        }
        if self.hub.queue.is_overflowed() {
            return Err(LinkError::Overflow);
        }
        metrics::gauge!(LINK_QUEUE).set(f64::from(u32::try_from(self.hub.queue.len()).unwrap_or(u32::MAX)));
        let proven = self.proven.borrow().clone();
        if self.keeper.incarnation().0 > 0 && !self.hub.clock.now().lease_is_held() {
            self.lease_ready.waiting("no renewal was confirmed in time");
        } else if self.keeper.incarnation().0 == 0 && proven.is_none() {
            self.lease_ready
                .waiting("the lanes are not proven by canaries yet");
        }
        if let Some(item) = self.keeper.due(now_us, proven.as_ref(), self.hub.floor()) {
            self.hub.queue.push(item);
        }
        Ok(())
    }

    fn unlink(&self) {
        if self.hub.queue.is_open() {
            self.hub.queue.close();
            self.hub.input_all(&Input::LinkDown);
        }
    }

    fn note_end(&self, address: &str, error: &LinkError) {
        metrics::counter!(LINK_ENDS, REASON => error.kind()).increment(1);
        let why = source_chain(error);
        self.link_ready.waiting(format!("{address}: {why}"));
        tracing::debug!(router = address, "the link ended: {why}");
    }
}

/// Waits until there is something to say and room to say it. Cancel safe: nothing is taken before.
async fn room<'a>(
    queue: &LinkQueue,
    requests: &'a mpsc::Sender<LinkRequest>,
) -> Result<mpsc::Permit<'a, LinkRequest>, LinkError> {
    queue.filled().await;
    requests.reserve().await.map_err(|_| LinkError::Closed)
}

/// An error with its causes, in one line.
fn source_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
