//! Events of one queue go to the store in one call at a time: while a call is on its way the next events
//! gather, and they all go with the following one. What is patient has a queue of its own in each slot, whose calls are
//! small, begin at moments of the slot's own and go one after the other over all slots, so that the rest finds slot and
//! store free. Nothing else ever waits to fill a batch.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::Slot;
use domain::slot::{Applied, EventInput};
use store::{Reply, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::beat::Beat;
use crate::fullness;
use crate::metrics::BATCH;

/// Events that may wait in a queue; further senders wait for room.
const QUEUE: usize = 1_024;
/// Most events of one call: a script must not keep Redis busy for long.
const MOST: usize = 128;
/// Most patient ones: whatever else comes to that server meanwhile waits behind them.
const MOST_PATIENT: usize = 16;
/// Calls under way at a time, over all slots, that nobody is in a hurry for: what comes meanwhile waits in the store
/// behind no more than these.
const PATIENT: usize = 1;
/// How long such a call waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

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
    pace: Option<Pace>,
}

/// The pace of patient calls.
#[derive(Debug, Clone)]
struct Pace {
    /// When the slot's calls begin, unless one is full.
    beat: Beat,
    /// Of all slots.
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
    /// Queues for so many slots, and their ends. What is patient waits at most so long for more.
    #[must_use]
    pub fn new(slots: u16, linger: Duration) -> (Self, Vec<QueueEnd>) {
        let (begun, turns) = (Instant::now(), Arc::new(Semaphore::new(PATIENT)));
        let pace = |slot| Pace {
            beat: Beat::of(slot, slots, begun, linger),
            turns: Arc::clone(&turns),
        };
        let mut ends = Vec::with_capacity(2 * usize::from(slots));
        let mut queue = |slot, pace: Option<Pace>| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            ends.push(QueueEnd {
                slot,
                patient: pace.is_some(),
                jobs,
                pace,
            });
            sender
        };
        let senders = (0..slots).map(|n| Senders {
            hasty: queue(Slot(n), None),
            patient: queue(Slot(n), Some(pace(Slot(n)))),
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
pub async fn run<F>(end: QueueEnd, stop: CancellationToken, mut apply: impl FnMut(Vec<EventInput>) -> F)
where
    F: Future<Output = Result<Reply<Vec<Applied>>, StoreError>>,
{
    let QueueEnd { mut jobs, pace, .. } = end;
    let mut batch = Vec::new();
    let mut earliest = Instant::now();
    loop {
        // At the end nobody waits for a turn, and there may be much.
        let pace = pace.as_ref().filter(|_| !stop.is_cancelled());
        let most = if pace.is_some() { MOST_PATIENT } else { MOST };
        let received = tokio::select! {
            biased;
            received = jobs.recv_many(&mut batch, most) => received,
            () = stop.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
        };
        if received == 0 {
            return;
        }
        let _turn = match pace {
            Some(pace) => {
                let moment = stop.run_until_cancelled(sleep_until(earliest));
                gather(moment, &mut jobs, &mut batch).await;
                earliest = pace.beat.after(Instant::now());
                turn(&pace.turns, &mut jobs, &mut batch).await
            }
            None => None,
        };
        #[allow(clippy::cast_precision_loss, reason = "a batch has at most 128 events")]
        metrics::histogram!(BATCH).record(batch.len() as f64);
        let (inputs, waiting): (Vec<_>, Vec<_>) = batch.drain(..).map(|j| (j.input, j.done)).unzip();
        answer(apply(inputs).await, waiting);
    }
}

/// Waits for a turn, and gathers what comes meanwhile. None where no turn comes for long, because the server of other
/// slots hangs.
async fn turn<'a>(
    turns: &'a Semaphore,
    jobs: &mut mpsc::Receiver<Job>,
    batch: &mut Vec<Job>,
) -> Option<SemaphorePermit<'a>> {
    let turn = timeout(LONGEST_WAIT, turns.acquire());
    tokio::pin!(turn);
    let had = match gather(&mut turn, jobs, batch).await {
        Some(had) => had,
        None => turn.await,
    };
    had.ok().and_then(Result::ok)
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
