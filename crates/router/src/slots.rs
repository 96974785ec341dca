//! Events of one slot go to the store in one call at a time: while a call is on its way the next events
//! gather, and they all go with the following one. Nothing ever waits to fill a batch. What is patient waits for its turn
//! among a few such calls, so that what is urgent finds the store free.

use std::future::Future;
use std::sync::Arc;

use domain::ids::Slot;
use domain::slot::{Applied, EventInput};
use store::{Reply, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::fullness;
use crate::metrics::BATCH;

/// Events that may wait in a slot; further senders wait for room.
const QUEUE: usize = 1_024;
/// Most events of one call: a script must not keep Redis busy for long.
const MOST: usize = 128;

/// Calls under way at a time, over all slots, that nobody is in a hurry for.
const PATIENT: usize = 4;

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
        let turn = turn(&turns, &mut queue, &mut jobs).await;
        #[allow(clippy::cast_precision_loss, reason = "a batch has at most 128 events")]
        metrics::histogram!(BATCH).record(jobs.len() as f64);
        let (inputs, waiting): (Vec<_>, Vec<_>) = jobs.drain(..).map(|j| (j.input, j.done)).unzip();
        answer(apply(inputs, turn.is_some()).await, waiting);
    }
}

/// Waits for a turn while all that came is patient; none where something is not, which takes the rest along.
async fn turn<'a>(
    turns: &'a Semaphore,
    queue: &mut mpsc::Receiver<Job>,
    jobs: &mut Vec<Job>,
) -> Option<SemaphorePermit<'a>> {
    while jobs.iter().all(|job| job.patient) {
        tokio::select! {
            biased;
            turn = turns.acquire() => return turn.ok(),
            Some(job) = queue.recv(), if jobs.len() < MOST => jobs.push(job),
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
mod tests {
    use std::sync::Mutex;

    use domain::delivery::{Event, EventKind};
    use domain::ids::{CommandId, Micros};

    use super::*;

    fn input(n: u8, slot: u16) -> EventInput {
        let id = CommandId::new(u64::from(n), [n; 10], Slot(slot));
        EventInput {
            id,
            event: Event::open(EventKind::Cancel),
            answer: None,
            charge_point: None,
        }
    }

    fn applied(inputs: &[EventInput]) -> Reply<Vec<Applied>> {
        let one = |_: &EventInput| Applied {
            verdict: None,
            status: None,
            write_before: Micros(0),
            claimed: vec![],
        };
        Reply {
            value: inputs.iter().map(one).collect(),
            redis_now: Micros(7),
            wants_drain: false,
        }
    }

    #[tokio::test]
    async fn what_comes_while_a_call_is_on_its_way_goes_together_with_the_next() {
        let (queues, mut ends) = SlotQueues::new(1);
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (g, s) = (Arc::clone(&gate), Arc::clone(&sizes));
        let server = tokio::spawn(run(
            ends.remove(0).1,
            CancellationToken::new(),
            queues.turns(),
            move |inputs, _| {
                let (g, s) = (Arc::clone(&g), Arc::clone(&s));
                async move {
                    s.lock().unwrap().push(inputs.len());
                    g.acquire().await.unwrap().forget();
                    Ok(applied(&inputs))
                }
            },
        ));
        let call = |n| {
            let queues = queues.clone();
            tokio::spawn(async move { queues.apply(input(n, 0)).await })
        };
        let mut calls = vec![call(0)];
        while sizes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        calls.extend((1..5).map(call));
        while queues.queues[0].capacity() > QUEUE - 4 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap().redis_now, Micros(7));
        }
        drop(queues);
        server.await.unwrap();
        assert_eq!(*sizes.lock().unwrap(), [1, 4]);
    }

    #[tokio::test]
    async fn a_failed_call_fails_all_its_events_and_the_next_call_works() {
        let (queues, mut ends) = SlotQueues::new(1);
        let mut first = true;
        let server = tokio::spawn(run(
            ends.remove(0).1,
            CancellationToken::new(),
            queues.turns(),
            move |inputs, _| {
                let fails = std::mem::take(&mut first);
                async move {
                    if fails {
                        Err(StoreError::OutOfMemory)
                    } else {
                        Ok(applied(&inputs))
                    }
                }
            },
        ));
        let failed = queues.apply(input(1, 0)).await;
        assert!(matches!(failed, Err(SubmitError::Store(e)) if matches!(*e, StoreError::OutOfMemory)));
        assert!(queues.apply(input(2, 0)).await.is_ok());
        drop(queues);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_stop_lets_what_was_queued_finish_and_takes_no_more() {
        let (queues, mut ends) = SlotQueues::new(1);
        let stop = CancellationToken::new();
        let waiting = tokio::spawn({
            let queues = queues.clone();
            async move { queues.apply(input(1, 0)).await }
        });
        while queues.queues[0].capacity() == QUEUE {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        run(ends.remove(0).1, stop, queues.turns(), |inputs, _| async move {
            Ok(applied(&inputs))
        })
        .await;
        assert!(waiting.await.unwrap().is_ok());
        assert!(matches!(
            queues.apply(input(2, 0)).await,
            Err(SubmitError::Closed)
        ));
    }

    #[tokio::test]
    async fn an_id_of_a_foreign_slot_and_a_closed_router_are_told_apart() {
        let (queues, ends) = SlotQueues::new(2);
        assert!(matches!(
            queues.apply(input(1, 9)).await,
            Err(SubmitError::NoSlot)
        ));
        drop(ends);
        assert!(matches!(
            queues.apply(input(1, 1)).await,
            Err(SubmitError::Closed)
        ));
    }

    #[tokio::test]
    async fn what_is_patient_waits_for_its_turn_and_goes_with_what_is_not() {
        let (queues, mut ends) = SlotQueues::new(1);
        let turns = queues.turns();
        let taken = turns.acquire_many(4).await.unwrap();
        let (calls, mut called) = mpsc::unbounded_channel();
        let apply = move |inputs: Vec<EventInput>, patient| {
            let reply = applied(&inputs);
            calls.send((inputs.len(), patient)).unwrap();
            async move { Ok(reply) }
        };
        let server = tokio::spawn(run(
            ends.remove(0).1,
            CancellationToken::new(),
            queues.turns(),
            apply,
        ));
        let submit = |n, patient| {
            let queues = queues.clone();
            tokio::spawn(async move { queues.submit(input(n, 0), patient).await })
        };
        let mut calls = vec![submit(1, true), submit(2, true)];
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(called.try_recv().is_err(), "nobody's turn has come");
        calls.push(submit(3, false));
        assert_eq!(called.recv().await, Some((3, false)));
        calls.push(submit(4, true));
        drop(taken);
        assert_eq!(called.recv().await, Some((1, true)));
        for call in calls {
            call.await.unwrap().unwrap();
        }
        drop(queues);
        server.await.unwrap();
    }
}
