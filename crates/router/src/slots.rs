//! Events of one slot go to the store in one call at a time: while a call is on its way the next events
//! gather, and they all go with the following one. Nothing ever waits to fill a batch. What is patient waits for its turn
//! among a few such calls, so that what is urgent finds the store free.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::Slot;
use domain::slot::{Applied, EventInput};
use store::{Reply, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::fullness;
use crate::metrics::BATCH;

/// Events that may wait in a slot; further senders wait for room.
const QUEUE: usize = 1_024;
/// Most events of one call: a script must not keep Redis busy for long.
const MOST: usize = 128;

/// Calls under way at a time, over all slots, that nobody is in a hurry for.
const PATIENT: usize = 4;
/// How long such a call waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// What became of one event.
pub type Outcome = Result<Reply<Applied>, Arc<StoreError>>;

/// One event and who waits for it.
#[derive(Debug)]
pub struct Job {
    input: EventInput,
    patient: bool,
    done: oneshot::Sender<Outcome>,
}

/// The queues of all slots.
#[derive(Clone, Debug)]
pub struct SlotQueues {
    queues: Arc<[mpsc::Sender<Job>]>,
    turns: Arc<Semaphore>,
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
    /// Queues for so many slots, and their ends, which [`run`] serves.
    #[must_use]
    pub fn new(slots: u16) -> (Self, Vec<(Slot, mpsc::Receiver<Job>)>) {
        let (queues, ends): (Vec<_>, Vec<_>) = (0..slots)
            .map(|slot| {
                let (queue, end) = mpsc::channel(QUEUE);
                (queue, (Slot(slot), end))
            })
            .unzip();
        (
            Self {
                queues: queues.into(),
                turns: Arc::new(Semaphore::new(PATIENT)),
            },
            ends,
        )
    }

    /// How full the fullest queue is, 0 to 1.
    #[must_use]
    pub fn fullness(&self) -> f64 {
        fullness::fullest(self.queues.iter())
    }

    /// Whose turn it is of what can wait; [`run`] needs it.
    #[must_use]
    pub fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turns)
    }

    /// Applies an event in its command's slot, in the order of submission.
    pub async fn apply(&self, input: EventInput) -> Result<Reply<Applied>, SubmitError> {
        self.submit(input, false).await
    }

    /// Applies an event that can wait for its turn, if `patient`.
    pub async fn submit(&self, input: EventInput, patient: bool) -> Result<Reply<Applied>, SubmitError> {
        let slots = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
        let slot = input.id.slot(slots).ok_or(SubmitError::NoSlot)?;
        let queue = self.queues.get(usize::from(slot.0)).ok_or(SubmitError::NoSlot)?;
        let (done, outcome) = oneshot::channel();
        queue
            .send(Job { input, patient, done })
            .await
            .map_err(|_| SubmitError::Closed)?;
        Ok(outcome.await.map_err(|_| SubmitError::Closed)??)
    }
}

/// Serves one slot until `stop` is cancelled and what was queued by then is done: `apply` is the call to the
/// store, and is told whether all its events are patient. It is never called again before it returned.
pub async fn run<F>(
    mut queue: mpsc::Receiver<Job>,
    stop: CancellationToken,
    turns: Arc<Semaphore>,
    mut apply: impl FnMut(Vec<EventInput>, bool) -> F,
) where
    F: Future<Output = Result<Reply<Vec<Applied>>, StoreError>>,
{
    let mut jobs = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            received = queue.recv_many(&mut jobs, MOST) => received,
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        let _turn = turn(&turns, &mut queue, &mut jobs).await;
        let patient = jobs.iter().all(|job| job.patient);
        #[allow(clippy::cast_precision_loss, reason = "a batch has at most 128 events")]
        metrics::histogram!(BATCH).record(jobs.len() as f64);
        let (inputs, waiting): (Vec<_>, Vec<_>) = jobs.drain(..).map(|j| (j.input, j.done)).unzip();
        answer(apply(inputs, patient).await, waiting);
    }
}

/// Waits for a turn while all that came is patient. None where something is not, which takes the rest along; where as
/// many came as one call takes; and where no turn comes for long, because the server of other slots hangs.
async fn turn<'a>(
    turns: &'a Semaphore,
    queue: &mut mpsc::Receiver<Job>,
    jobs: &mut Vec<Job>,
) -> Option<SemaphorePermit<'a>> {
    // One wait, whatever else comes: who gave up its place for each event would be the last for ever.
    let turn = timeout(LONGEST_WAIT, turns.acquire());
    tokio::pin!(turn);
    while jobs.len() < MOST && jobs.iter().all(|job| job.patient) {
        tokio::select! {
            biased;
            turn = &mut turn => return turn.ok().and_then(Result::ok),
            Some(job) = queue.recv() => jobs.push(job),
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
