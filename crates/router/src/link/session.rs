//! The life of one link: Hello and its placement, then items in both directions and canaries, until the stream
//! breaks, the router drains, or it sends the edge to a router that may reach Kafka.
//!
//! Items are handled side by side (`desk`): what one charger waits for holds up no other. Answers that are there
//! together go in one message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::command::{Lane, Priority};
use domain::dispatch::Consumes;
use domain::ids::{Incarnation, LinkNumber, Micros, Nonce, PodId};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message as _;
use store::{Mark, Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wire::gateway::link::v1::{
    DownItem, Hello, LinkRequest, LinkResponse, Placement, UpItem, down_item, up_item,
};
use wire::map::record;

use super::Outbound;
use super::desk::{Desk, Gone};
use super::items;
use super::placing::place;
use crate::breaker::Openings;
use crate::dispatcher::shard_message;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::{CANARIES, InGauge, LINKS};

/// How often a canary goes to each lane.
const CANARY: Duration = Duration::from_secs(1);
/// How long a new stream may take to say Hello.
const HELLO: Duration = Duration::from_secs(10);

/// Who is linked, and where it consumes.
#[derive(Debug)]
pub(super) struct Peer {
    /// The pod.
    pub(super) pod: PodId,
    /// This link.
    pub(super) link: LinkNumber,
    /// The process.
    pub(super) process: Nonce,
    /// Where it was told to consume: canaries go there. Its lease names a place once the edge says that it consumes
    /// there.
    pub(super) consumes: Consumes,
}

type Down = mpsc::Sender<Outbound>;

/// Runs a link to its end.
pub(super) async fn run(
    engine: Arc<Engine>,
    mut up: Streaming<LinkRequest>,
    down: Down,
    drain: CancellationToken,
) {
    let _counted = InGauge::enter(LINKS);
    // Before Hello is looked at, so that an opening right after it is heard.
    let mut openings = engine.breaker.openings();
    let opened = drain
        .run_until_cancelled(Box::pin(open(&engine, &mut up, &down)))
        .await;
    let (peer, rest, incarnation) = match opened {
        Some(Ok(opened)) => opened,
        Some(Err(status)) => return drop(down.try_send(Err(status))),
        None => return drop(down.try_send(Err(ApiError::ShuttingDown.into()))),
    };
    tracing::info!(pod = %peer.pod, link = %peer.link, topic = peer.consumes.topic, "edge linked");
    let mut session = Session {
        peer: Arc::new(peer),
        desk: Desk::new(incarnation),
        canary: 0,
        sung: FuturesUnordered::new(),
        engine,
        down,
    };
    session.take(rest);
    let why = session.live(&mut up, &drain, &mut openings).await;
    session.end(why).await;
}

/// Waits for Hello and answers it with the placement. What came in the same message behind Hello is returned.
async fn open(
    engine: &Engine,
    up: &mut Streaming<LinkRequest>,
    down: &Down,
) -> Result<(Peer, LinkRequest, Incarnation), Status> {
    let first = tokio::time::timeout(HELLO, up.message()).await;
    let first = first.map_err(|_| ApiError::NoHello)??;
    // A stream that ends before Hello is one that begins without it.
    let mut request = first.unwrap_or_default();
    let first = if request.items.is_empty() {
        None
    } else {
        request.items.remove(0).item
    };
    let Some(up_item::Item::Hello(hello)) = first else {
        return Err(ApiError::field("items", "must begin with Hello").into());
    };
    let (peer, redis_now) = greet(engine, &hello).await?;
    let placement = Placement {
        topic: peer.consumes.topic.clone(),
        normal_partition: peer.consumes.normal,
        urgent_partition: peer.consumes.urgent,
        link_number: peer.link.0,
    };
    let items = vec![DownItem {
        item: Some(down_item::Item::Placement(placement)),
    }];
    let response = LinkResponse {
        items,
        redis_now_us: redis_now.0,
    };
    down.send(Ok(response)).await.map_err(|_| ApiError::Left)?;
    Ok((peer, request, Incarnation(hello.incarnation)))
}

/// Raises the pod's link number and places it.
async fn greet(engine: &Engine, hello: &Hello) -> Result<(Peer, Micros), ApiError> {
    let pod = PodId::parse(&hello.pod_id).map_err(|error| ApiError::field("pod_id", error.to_string()))?;
    if engine.breaker.turns_away(&pod) {
        return Err(ApiError::NoKafka);
    }
    let leases = engine.store.leases().await?;
    let linked = engine.store.link(&pod, Incarnation(hello.incarnation)).await?;
    engine.leases.forget(&pod);
    let known = linked
        .value
        .lease
        .as_ref()
        .filter(|l| !l.consumes.topic.is_empty());
    let consumes = place(&pod, known, &leases.value, &engine.shards, &engine.config.topics);
    let process = Nonce(hello.process_nonce);
    let peer = Peer {
        pod,
        link: linked.value.link,
        process,
        consumes,
    };
    Ok((peer, linked.redis_now))
}

/// An open link.
struct Session {
    engine: Arc<Engine>,
    peer: Arc<Peer>,
    down: Down,
    desk: Desk,
    canary: u64,
    /// Canaries without a report: as many as come within a message's timeout.
    sung: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// What happens on a link.
enum Event {
    Up(Result<Option<LinkRequest>, Status>),
    Worked(Result<(), Gone>),
    Canary,
    Reported,
    Drain,
    NoKafka,
}

/// Why a link ended.
enum End {
    /// The stream broke, or the edge left.
    Broken,
    /// The edge is sent to another router.
    SentAway(ApiError),
}

impl Session {
    /// Works until the stream ends, the router drains, or an opening of the breaker sends the edge elsewhere. An edge
    /// that was sent a short while ago and came back stays: it found nobody better.
    async fn live(
        &mut self,
        up: &mut Streaming<LinkRequest>,
        drain: &CancellationToken,
        openings: &mut Openings,
    ) -> End {
        let mut canaries = canaries();
        loop {
            let event = tokio::select! {
                () = drain.cancelled() => Event::Drain,
                message = up.message(), if self.desk.has_room() => Event::Up(message),
                worked = self.desk.turn(&self.down) => Event::Worked(worked),
                _ = canaries.tick() => Event::Canary,
                Some(()) = self.sung.next(), if !self.sung.is_empty() => Event::Reported,
                () = openings.next() => Event::NoKafka,
            };
            match event {
                Event::Up(Ok(Some(request))) => self.take(request),
                Event::Worked(Ok(())) | Event::Reported => {}
                Event::Canary => self.sing(),
                Event::Up(Ok(None) | Err(_)) | Event::Worked(Err(Gone)) => return End::Broken,
                Event::Drain => return End::SentAway(ApiError::ShuttingDown),
                Event::NoKafka => {
                    if self.engine.breaker.turn_away(&self.peer.pod) {
                        return End::SentAway(ApiError::NoKafka);
                    }
                }
            }
        }
    }

    /// Starts on every item of a message.
    fn take(&mut self, request: LinkRequest) {
        for UpItem { item, patient } in request.items {
            let Some(item) = item else { continue };
            let (engine, peer) = (Arc::clone(&self.engine), Arc::clone(&self.peer));
            self.desk
                .begin(patient, items::handle(engine, peer, item, patient));
        }
    }

    /// Produces a canary on each lane, whatever the breaker's state is, and tells the breaker of its report. For the
    /// edge only its arrival counts.
    fn sing(&mut self) {
        self.canary += 1;
        let payload = record::canary(&self.peer.pod, self.peer.link, self.canary).encode_to_vec();
        for lane in Lane::ALL {
            let key = Bytes::copy_from_slice(self.peer.pod.as_str().as_bytes());
            let message = shard_message(&self.peer.consumes, lane, key, payload.clone());
            let priority = match lane {
                Lane::Urgent => Priority::Urgent,
                Lane::Normal => Priority::Normal,
            };
            match self.engine.producers.send(&message, priority) {
                Ok(report) => {
                    let engine = Arc::clone(&self.engine);
                    self.sung.push(Box::pin(async move {
                        let sent = engine.breaker.sent();
                        sent.reported(&report.await);
                    }));
                    metrics::counter!(CANARIES).increment(1);
                }
                Err(error) => tracing::debug!(pod = %self.peer.pod, %error, "no canary"),
            }
        }
    }

    /// Finishes what is under way, so that no claim is lost; a life whose link broke is suspect, before what is patient
    /// is done. An edge that is sent away lives on and links elsewhere: it is not suspect.
    async fn end(mut self, why: End) {
        // Nobody hears the canaries' reports any more; while kept they would count as waiting, and as a silence of
        // Kafka if the work that is finished here takes long.
        self.sung.clear();
        let incarnation = self.desk.finish_hasty().await;
        match why {
            End::SentAway(why) => {
                tracing::info!(pod = %self.peer.pod, "link ended: {why}");
                drop(self.down.try_send(Err(why.into())));
            }
            End::Broken => broke(&self.engine, &self.peer, incarnation).await,
        }
        self.desk.finish().await;
    }
}

/// A life whose link broke is suspect.
async fn broke(engine: &Engine, peer: &Peer, incarnation: Incarnation) {
    tracing::warn!(pod = %peer.pod, link = %peer.link, "the link to an edge broke");
    if incarnation.0 > 0
        && let Err(error) = suspect(&engine.store, peer, incarnation).await
    {
        tracing::warn!(pod = %peer.pod, %error, "cannot mark the pod as suspect; its lease will end");
    }
    engine.leases.forget(&peer.pod);
}

/// Says that a life's link broke; a later link of it wins.
async fn suspect(store: &Store, peer: &Peer, incarnation: Incarnation) -> Result<bool, StoreError> {
    Ok(store
        .mark_pod(&peer.pod, incarnation, Mark::Suspect(peer.link))
        .await?
        .value)
}

/// The first one at once; after a stall one, not all that were missed.
fn canaries() -> Interval {
    let mut canaries = interval(CANARY);
    canaries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    canaries
}
