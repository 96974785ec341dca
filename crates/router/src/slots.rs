//! Events of one queue go to the store in one call at a time: while a call is on its way the next events
//! gather, and they all go with the following one. What is patient has a queue of its own in each slot, whose calls are
//! small, begin at moments of the slot's own and wait for their turn, so that the rest finds slot and store free.
//! Nothing else ever waits to fill a batch.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::Slot;
use domain::slot::{Applied, EventInput};
use store::{Reply, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::beat::Beat;
use crate::fullness;
use crate::metrics::BATCH;
use crate::precedence::{Entry, Haste, Precedence};

/// Events that may wait in a queue; further senders wait for room.
const QUEUE: usize = 1_024;
/// Most events of one call: a script must not keep Redis busy for long.
const MOST: usize = 128;
/// Most patient ones: whatever else comes to that server meanwhile waits behind them.
pub(crate) const MOST_PATIENT: usize = 32;

/// What became of one event.
pub type Outcome = Result<Reply<Applied>, Arc<StoreError>>;

/// One event and who waits for it.
#[derive(Debug)]
pub struct Job {
    input: EventInput,
    done: oneshot::Sender<Outcome>,
}

/// The queues of all slots.
#[derive(Clone, Debug)]
pub struct SlotQueues {
    slots: Arc<[Senders]>,
}

/// The queues of one slot.
#[derive(Debug)]
struct Senders {
    hasty: mpsc::Sender<Job>,
    patient: mpsc::Sender<Job>,
}

/// The end of a queue, which [`run`] serves.
#[derive(Debug)]
pub struct QueueEnd {
    /// The slot of its events.
    pub slot: Slot,
    /// Whether they can wait for their turn.
    pub patient: bool,
    jobs: mpsc::Receiver<Job>,
    /// When patient calls begin, unless one is full.
    beat: Beat,
    precedence: Arc<Precedence>,
}

/// Why an event has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The id carries a slot that this store does not have.
    #[error("the command id names no slot of this store")]
    NoSlot,
    /// The router ends.
    #[error("the router shuts down")]
    Closed,
}

impl SlotQueues {
    /// Queues for so many slots, and their ends. What is patient waits at most so long for more.
    #[must_use]
    pub fn new(slots: u16, linger: Duration, precedence: &Arc<Precedence>) -> (Self, Vec<QueueEnd>) {
        let begun = Instant::now();
        let mut ends = Vec::with_capacity(2 * usize::from(slots));
        let mut queue = |slot, patient| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            ends.push(QueueEnd {
                slot,
                patient,
                jobs,
                beat: Beat::of(slot, slots, begun, linger),
                precedence: Arc::clone(precedence),
            });
            sender
        };
        let senders = (0..slots).map(|n| Senders {
            hasty: queue(Slot(n), false),
            patient: queue(Slot(n), true),
        });
        let slots = senders.collect();
        (Self { slots }, ends)
    }

    /// How full the fullest queue is, 0 to 1.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        fullness::fullest(self.slots.iter().flat_map(|slot| [&slot.hasty, &slot.patient]))
    }

    /// Applies an event in its command's slot, in the order of submission among those that are not patient.
    pub async fn apply(&self, input: EventInput) -> Result<Reply<Applied>, SubmitError> {
        self.submit(input, false).await
    }

    /// Applies an event that can wait for its turn, if `patient`: it keeps its order among such ones only.
    pub async fn submit(&self, input: EventInput, patient: bool) -> Result<Reply<Applied>, SubmitError> {
        let slots = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        let slot = input.id.slot(slots).ok_or(SubmitError::NoSlot)?;
        let queues = self.slots.get(usize::from(slot.0)).ok_or(SubmitError::NoSlot)?;
        let queue = if patient { &queues.patient } else { &queues.hasty };
        let (done, outcome) = oneshot::channel();
        queue
            .send(Job { input, done })
            .await
            .map_err(|_| SubmitError::Closed)?;
        Ok(outcome.await.map_err(|_| SubmitError::Closed)??)
    }
}

/// Serves one queue until `stop` is cancelled and what was queued by then is done: `apply` is the call to the store. It
/// is never called again before it returned.
pub async fn run<F>(mut end: QueueEnd, stop: CancellationToken, mut apply: impl FnMut(Vec<EventInput>) -> F)
where
    F: Future<Output = Result<Reply<Vec<Applied>>, StoreError>>,
{
    let mut batch = Vec::new();
    let mut earliest = Instant::now();
    loop {
        // At the end nobody waits for a turn, and there may be much.
        let patient = end.patient && !stop.is_cancelled();
        let most = if patient { MOST_PATIENT } else { MOST };
        let received = tokio::select! {
            biased;
            received = end.jobs.recv_many(&mut batch, most) => received,
            () = stop.cancelled(), if !end.jobs.is_closed() => {
                end.jobs.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        let entry = if patient {
            let moment = stop.run_until_cancelled(sleep_until(earliest));
            gather(moment, &mut end.jobs, &mut batch).await;
            earliest = end.beat.after(Instant::now());
            turn(&end.precedence, &mut end.jobs, &mut batch).await
        } else {
            end.precedence.enter(Haste::Now).await
        };
        #[allow(clippy::cast_precision_loss, reason = "a batch has at most 128 events")]
        metrics::histogram!(BATCH).record(batch.len() as f64);
        let (inputs, waiting): (Vec<_>, Vec<_>) = batch.drain(..).map(|j| (j.input, j.done)).unzip();
        let result = apply(inputs).await;
        drop(entry);
        answer(result, waiting);
    }
}

/// Waits for a patient call's turn, and gathers what comes meanwhile.
async fn turn<'a>(
    precedence: &'a Precedence,
    jobs: &mut mpsc::Receiver<Job>,
    batch: &mut Vec<Job>,
) -> Entry<'a> {
    let turn = precedence.enter_events();
    tokio::pin!(turn);
    match gather(&mut turn, jobs, batch).await {
        Some(entry) => entry,
        None => turn.await,
    }
}

/// Waits, and gathers what comes meanwhile. None where as many came as one patient call takes.
async fn gather<F: Future>(
    wait: F,
    jobs: &mut mpsc::Receiver<Job>,
    batch: &mut Vec<Job>,
) -> Option<F::Output> {
    // One wait, whatever else comes: who gave up its place for each event would be the last for ever.
    tokio::pin!(wait);
    while batch.len() < MOST_PATIENT {
        tokio::select! {
            biased;
            over = &mut wait => return Some(over),
            Some(job) = jobs.recv() => batch.push(job),
        }
    }
    None
}

/// Tells everyone who waits. One who does not wait any more needs no answer.
fn answer(result: Result<Reply<Vec<Applied>>, StoreError>, waiting: Vec<oneshot::Sender<Outcome>>) {
    match result {
        Ok(Reply {
            value,
            redis_now,
            wants_drain,
        }) => {
            for (done, applied) in waiting.into_iter().zip(value) {
                drop(done.send(Ok(Reply {
                    value: applied,
                    redis_now,
                    wants_drain,
                })));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for done in waiting {
                drop(done.send(Err(Arc::clone(&error))));
            }
        }
    }
}

#[cfg(test)]
mod tests;
