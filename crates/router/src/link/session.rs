//! The life of one link: Hello and its placement, then items in both directions and canaries, until the stream
//! breaks or the router drains.
//!
//! Items are handled side by side: what one charger waits for holds up no other. Answers that are there
//! together go in one message.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::command::Lane;
use domain::dispatch::Consumes;
use domain::ids::{Incarnation, LinkNumber, Micros, Nonce, PodId};
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message as _;
use store::{Mark, Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wire::gateway::link::v1::{DownItem, Hello, LinkRequest, LinkResponse, Placement, down_item, up_item};
use wire::map::record;

use super::items::{self, Answer};
use super::placing::place;
use crate::dispatcher::shard_message;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::{CANARIES, InGauge, LINKS};

/// How often a canary goes to each lane.
const CANARY: Duration = Duration::from_secs(1);
/// Items of one link that are being handled; meanwhile no more are read.
const AT_A_TIME: usize = 4_096;
/// Answers of one message.
const MOST: usize = 512;
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
    /// Where it consumes.
    pub(super) consumes: Consumes,
}

type Down = mpsc::Sender<Result<LinkResponse, Status>>;
type Working = FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>;

/// Runs a link to its end.
pub(super) async fn run(
    engine: Arc<Engine>,
    mut up: Streaming<LinkRequest>,
    down: Down,
    drain: CancellationToken,
) {
    let _counted = InGauge::enter(LINKS);
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
        working: FuturesUnordered::new(),
        incarnation,
        canary: 0,
        engine,
        down,
    };
    session.take(rest);
    let broken = session.live(&mut up, &drain).await;
    session.end(broken).await;
}

/// Waits for Hello and answers it with the placement. What came in the same message behind Hello is returned.
async fn open(
    engine: &Engine,
    up: &mut Streaming<LinkRequest>,
    down: &Down,
) -> Result<(Peer, LinkRequest, Incarnation), Status> {
    let first = tokio::time::timeout(HELLO, up.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello"))??;
    let mut request = first.ok_or_else(|| Status::invalid_argument("the stream ended before Hello"))?;
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
    down.send(Ok(response))
        .await
        .map_err(|_| Status::cancelled("the edge left"))?;
    Ok((peer, request, Incarnation(hello.incarnation)))
}

/// Raises the pod's link number and places it.
async fn greet(engine: &Engine, hello: &Hello) -> Result<(Peer, Micros), ApiError> {
    let pod = PodId::parse(&hello.pod_id).map_err(|error| ApiError::field("pod_id", error.to_string()))?;
    let leases = engine.store.leases().await?;
    let linked = engine.store.link(&pod, Incarnation(hello.incarnation)).await?;
    engine.leases.forget(&pod);
    let known = linked
        .value
        .lease
        .as_ref()
        .filter(|l| !l.consumes.topic.is_empty());
    let consumes = place(&pod, known, &leases.value, &engine.shards, &engine.config.topics);
    let peer = Peer {
        pod,
        link: linked.value.link,
        process: Nonce(hello.process_nonce),
        consumes,
    };
    Ok((peer, linked.redis_now))
}

/// An open link.
struct Session {
    engine: Arc<Engine>,
    peer: Arc<Peer>,
    down: Down,
    working: Working,
    /// The life that the edge lives as far as this link knows; 0 for none.
    incarnation: Incarnation,
    canary: u64,
}

impl Session {
    /// Works until the stream ends or the router drains; true if the stream broke.
    async fn live(&mut self, up: &mut Streaming<LinkRequest>, drain: &CancellationToken) -> bool {
        let mut canaries = canaries();
        loop {
            tokio::select! {
                () = drain.cancelled() => return false,
                message = up.message(), if self.working.len() < AT_A_TIME => match message {
                    Ok(Some(request)) => self.take(request),
                    Ok(None) | Err(_) => return true,
                },
                Some(answer) = self.working.next() => {
                    let mut answers = vec![answer];
                    self.gather(&mut answers);
                    if !self.respond(answers).await {
                        return true;
                    }
                }
                _ = canaries.tick() => self.sing(),
            }
        }
    }

    /// Starts on every item of a message.
    fn take(&mut self, request: LinkRequest) {
        for item in request.items.into_iter().filter_map(|i| i.item) {
            let (engine, peer) = (Arc::clone(&self.engine), Arc::clone(&self.peer));
            self.working.push(Box::pin(items::handle(engine, peer, item)));
        }
    }

    /// Adds the answers that are there already.
    fn gather(&mut self, answers: &mut Vec<Answer>) {
        use futures_util::FutureExt;
        while answers.len() < MOST {
            match self.working.next().now_or_never().flatten() {
                Some(answer) => answers.push(answer),
                None => return,
            }
        }
    }

    /// Sends answers; false if the edge is gone. The time is that of the latest answer: each was read after
    /// its request was sent and before this message arrives, which is all that the edge's interval needs.
    async fn respond(&mut self, answers: Vec<Answer>) -> bool {
        let redis_now_us = answers.iter().map(|a| a.redis_now.0).max().unwrap_or(0);
        let mut items = Vec::with_capacity(answers.len());
        for answer in answers {
            self.incarnation = answer.incarnation.unwrap_or(self.incarnation);
            items.extend(answer.items.into_iter().map(|item| DownItem { item: Some(item) }));
        }
        items.is_empty()
            || self
                .down
                .send(Ok(LinkResponse { items, redis_now_us }))
                .await
                .is_ok()
    }

    /// Produces a canary on each lane. Its report is of no interest: the edge sees it, or is not ready.
    fn sing(&mut self) {
        self.canary += 1;
        let payload = record::canary(&self.peer.pod, self.peer.link, self.canary).encode_to_vec();
        for lane in Lane::ALL {
            let key = Bytes::copy_from_slice(self.peer.pod.as_str().as_bytes());
            let message = shard_message(&self.peer.consumes, lane, key, payload.clone());
            match self.engine.producer.send(&message) {
                Ok(report) => {
                    drop(report);
                    metrics::counter!(CANARIES).increment(1);
                }
                Err(error) => tracing::debug!(pod = %self.peer.pod, %error, "no canary"),
            }
        }
    }

    /// Finishes what is under way, so that no claim is lost; a life whose link broke is suspect. When this
    /// router drains, the edge lives on and links elsewhere: it is not suspect.
    async fn end(mut self, broken: bool) {
        while let Some(answer) = self.working.next().await {
            self.incarnation = answer.incarnation.unwrap_or(self.incarnation);
        }
        if !broken {
            drop(self.down.try_send(Err(ApiError::ShuttingDown.into())));
            tracing::info!(pod = %self.peer.pod, "link ended, the router drains");
            return;
        }
        tracing::warn!(pod = %self.peer.pod, link = %self.peer.link, "the link to an edge broke");
        if self.incarnation.0 > 0
            && let Err(error) = suspect(&self.engine.store, &self.peer, self.incarnation).await
        {
            tracing::warn!(pod = %self.peer.pod, %error, "cannot mark the pod as suspect; its lease will end");
        }
        self.engine.leases.forget(&self.peer.pod);
    }
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
