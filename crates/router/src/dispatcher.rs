//! Sends what was claimed: reads the pod's lease, produces to the place that the lease names, or gives the
//! claim back. `domain::dispatch` decides, this performs.
//!
//! A dispatch that dies here, with its router or for want of room, is a claim whose lease ends: the store's
//! timer returns the command to its queue.

use std::future::Future;
use std::sync::Arc;

use bus::{Message, SendError};
use bytes::Bytes;
use domain::command::{Command, Lane, Priority};
use domain::delivery::{Event, EventKind};
use domain::dispatch::{self, Consumes, Input, Step, Why};
use domain::ids::{Incarnation, Micros, Nonce, PodId};
use domain::slot::{Claimed, EventInput};
use futures_util::stream::{FuturesUnordered, StreamExt};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use wire::map::record;

use crate::account;
use crate::failpoint;
use crate::fullness;
use crate::leases::LeaseView;
use crate::metrics::{DISPATCH_QUEUE, InGauge, PARKED, RETRIED, SENT, why};
use crate::told::Told;
use crate::trace::{self, Origin, Traces};

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
    ) -> impl Future<Output = Result<LeaseView, ()>> + Send;
    /// What time it is now, at the latest, at a server that told its time.
    fn latest(&self, told: &Told) -> Micros;
    /// Produces a record, by the way of its priority, and waits for the broker's report.
    fn produce(
        &self,
        message: Message,
        priority: Priority,
    ) -> impl Future<Output = Result<(), SendError>> + Send;
    /// Returns a dispatch to its queue. A failure to do so is the claim's lease's business.
    fn give_back(&self, event: EventInput) -> impl Future<Output = ()> + Send;
}

/// What one reply of the store claimed.
#[derive(Debug)]
pub struct Batch {
    /// The claims.
    pub claimed: Vec<Claimed>,
    /// The time that came with them.
    pub told: Told,
    /// The call that accepted one of them.
    pub origin: Option<Origin>,
}

/// A claim on its way.
#[derive(Debug)]
pub struct Job {
    command: Command,
    told: Told,
    span: Span,
}

/// Where claims go in.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    queues: Arc<[mpsc::Sender<Job>]>,
    traces: Arc<Traces>,
}

impl Dispatcher {
    /// The queues of all dispatch tasks, and their ends, which [`run`] serves.
    #[must_use]
    pub fn new(traces: Arc<Traces>) -> (Self, Vec<mpsc::Receiver<Job>>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| mpsc::channel(QUEUE)).unzip();
        let queues = queues.into();
        (Self { queues, traces }, ends)
    }

    /// Takes what the store claimed. Never waits: a claim for which there is no room is dropped, and its
    /// lease in the store brings it back with a backoff, which is what an overloaded router needs.
    pub fn dispatch(&self, batch: Batch) {
        if !batch.claimed.is_empty() {
            failpoint::hit(failpoint::AFTER_CLAIM);
        }
        for Claimed { command } in batch.claimed {
            if command.progress.attempts > 0 {
                metrics::counter!(RETRIED).increment(1);
            }
            let hash = domain::ids::stable_hash(command.request.charge_point.as_str().as_bytes());
            let task = usize::try_from(hash >> 32).unwrap_or(0) % self.queues.len();
            let job = Job {
                told: batch.told,
                span: self.traces.dispatch(command.request.id, batch.origin.as_ref()),
                command,
            };
            if self.queues[task].try_send(job).is_err() {
                metrics::counter!(PARKED, "reason" => "no_room").increment(1);
            }
        }
    }

    /// How full the fullest queue is, 0 to 1.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        fullness::fullest(self.queues.iter())
    }
}

/// Serves one queue until `stop` is cancelled and everything that was in it has had its report.
pub async fn run<P: Ports>(mut queue: mpsc::Receiver<Job>, stop: CancellationToken, ports: Arc<P>) {
    let mut in_flight = FuturesUnordered::new();
    let mut open = true;
    while open || !in_flight.is_empty() {
        tokio::select! {
            job = queue.recv(), if open && in_flight.len() < IN_FLIGHT => match job {
                Some(job) => in_flight.push(one(Arc::clone(&ports), job)),
                None => open = false,
            },
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
        }
    }
}

/// One dispatch, to its end.
async fn one<P: Ports>(ports: Arc<P>, job: Job) {
    let _counted = InGauge::enter(DISPATCH_QUEUE);
    let command = &job.command;
    let Some((route, lane, shard_record)) = record::claimed(command) else {
        return;
    };
    let (lease, now) = match ports.lease(&route.pod, route.incarnation).await {
        Ok(view) => (Input::LeaseRead(view.lease), ports.latest(&view.told)),
        Err(()) => (Input::LeaseUnreadable, Micros(0)),
    };
    // The claim's end is of the slot's server, the lease's of the server of the leases: what is left of the
    // claim is found by the former's clock and put behind the latter's.
    let left = command.progress.timer.0.saturating_sub(ports.latest(&job.told).0);
    let decide = |input| dispatch::step(&route, now.plus(left), now, input);
    let mut step = decide(lease);
    if let Step::Produce(place) = &step {
        account::dispatch(command);
        let key = Bytes::copy_from_slice(command.request.charge_point.as_str().as_bytes());
        let message = shard_message(place, lane, key, shard_record.encode_to_vec());
        let message = message.headers(trace::headers(&job.span));
        step = match ports.produce(message, command.request.priority).await {
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
        park(&*ports, command, reason).await;
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
            charge_point: None,
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
