//! Sends what was claimed: reads the pod's lease, produces to the place that the lease names, or gives the
//! claim back. `domain::dispatch` decides, this performs.
//!
//! A dispatch that dies here, with its router or for want of room, is a claim whose lease ends: the store's
//! timer returns the command to its queue.

use std::future::Future;
use std::sync::Arc;

use bus::{Message, SendError};
use bytes::Bytes;
use domain::command::{Command, Lane};
use domain::delivery::{Event, EventKind};
use domain::dispatch::{self, Consumes, Input, Lease, Step, Why};
use domain::ids::{Incarnation, Micros, Nonce, PodId};
use domain::slot::{Claimed, EventInput};
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::map::record;

use crate::failpoint;
use crate::metrics::{DISPATCH_QUEUE, InGauge, PARKED, RETRIED, SENT, why};

/// Claims that may wait for a dispatch task.
const QUEUE: usize = 8_192;
/// Dispatches of one task between claim and delivery report.
const IN_FLIGHT: usize = 8_192;
/// Dispatch tasks: as many cores as this can be busy producing.
pub const TASKS: usize = 4;

/// What a dispatch needs of the rest of the router.
pub trait Ports: Send + Sync + 'static {
    /// The lease of a pod, read for the sake of one of its lives; an error if it cannot be read now.
    fn lease(
        &self,
        pod: &PodId,
        incarnation: Incarnation,
    ) -> impl Future<Output = Result<Option<Lease>, ()>> + Send;
    /// Redis time as it is known here.
    fn now(&self) -> Micros;
    /// Produces a record and waits for the broker's report.
    fn produce(&self, message: Message) -> impl Future<Output = Result<(), SendError>> + Send;
    /// Returns a dispatch to its queue. A failure to do so is the claim's lease's business.
    fn give_back(&self, event: EventInput) -> impl Future<Output = ()> + Send;
}

/// Where claims go in.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    queues: Arc<[mpsc::Sender<Claimed>]>,
}

impl Dispatcher {
    /// The queues of all dispatch tasks, and their ends, which [`run`] serves.
    #[must_use]
    pub fn new() -> (Self, Vec<mpsc::Receiver<Claimed>>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| mpsc::channel(QUEUE)).unzip();
        (
            Self {
                queues: queues.into(),
            },
            ends,
        )
    }

    /// Takes what the store claimed. Never waits: a claim for which there is no room is dropped, and its
    /// lease in the store brings it back with a backoff, which is what an overloaded router needs.
    pub fn dispatch(&self, claimed: Vec<Claimed>) {
        if !claimed.is_empty() {
            failpoint::hit(failpoint::AFTER_CLAIM);
        }
        for one in claimed {
            let command = &one.command;
            if command.progress.attempts > 0 {
                metrics::counter!(RETRIED).increment(1);
            }
            let hash = domain::ids::stable_hash(command.request.charge_point.as_str().as_bytes());
            let task = usize::try_from(hash >> 32).unwrap_or(0) % self.queues.len();
            if self.queues[task].try_send(one).is_err() {
                metrics::counter!(PARKED, "reason" => "no_room").increment(1);
            }
        }
    }
}

/// Serves one queue until `stop` is cancelled and everything that was in it has had its report.
pub async fn run<P: Ports>(mut queue: mpsc::Receiver<Claimed>, stop: CancellationToken, ports: Arc<P>) {
    let mut in_flight = FuturesUnordered::new();
    let mut open = true;
    while open || !in_flight.is_empty() {
        tokio::select! {
            claimed = queue.recv(), if open && in_flight.len() < IN_FLIGHT => match claimed {
                Some(claimed) => in_flight.push(one(Arc::clone(&ports), claimed.command)),
                None => open = false,
            },
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
        }
    }
}

/// One dispatch, to its end.
async fn one<P: Ports>(ports: Arc<P>, command: Command) {
    let _counted = InGauge::enter(DISPATCH_QUEUE);
    let Some((route, lane, shard_record)) = record::claimed(&command) else {
        return;
    };
    let lease = match ports.lease(&route.pod, route.incarnation).await {
        Ok(lease) => Input::LeaseRead(lease),
        Err(()) => Input::LeaseUnreadable,
    };
    let decide = |input| dispatch::step(&route, command.progress.timer, ports.now(), input);
    let mut step = decide(lease);
    if let Step::Produce(place) = &step {
        let key = Bytes::copy_from_slice(command.request.charge_point.as_str().as_bytes());
        let message = shard_message(place, lane, key, shard_record.encode_to_vec());
        step = match ports.produce(message).await {
            Ok(()) => {
                metrics::counter!(SENT, "lane" => lane_name(lane)).increment(1);
                decide(Input::Produced)
            }
            Err(error) => {
                tracing::debug!(command = %command.request.id, %error, "the dispatch did not reach Kafka");
                decide(Input::ProduceFailed)
            }
        };
    }
    if let Step::GiveBack(reason) = step {
        park(&*ports, &command, reason).await;
    }
}

/// A record for one lane of a pod.
#[must_use]
pub fn shard_message(place: &Consumes, lane: Lane, key: Bytes, payload: Vec<u8>) -> Message {
    let partition = match lane {
        Lane::Normal => place.normal,
        Lane::Urgent => place.urgent,
    };
    Message::new(place.topic.as_str(), payload)
        .partition(partition)
        .key(key)
}

async fn park<P: Ports>(ports: &P, command: &Command, reason: Why) {
    metrics::counter!(PARKED, "reason" => why(reason)).increment(1);
    let version = command
        .progress
        .route
        .as_ref()
        .map(|r| r.version)
        .unwrap_or_default();
    let event = Event {
        kind: EventKind::Undelivered,
        dispatch: command.progress.dispatch,
        version,
        nonce: Nonce(0),
        incarnation: Incarnation(0),
    };
    ports
        .give_back(EventInput {
            id: command.request.id,
            event,
            answer: None,
        })
        .await;
}

fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Normal => "normal",
        Lane::Urgent => "urgent",
    }
}

#[cfg(test)]
mod tests;
