//! Batches, turns, failures and the end of a slot's queue.

use std::sync::Mutex;

use domain::delivery::{Event, EventKind};
use domain::ids::{CommandId, Micros};
use tokio::sync::Semaphore;

use super::*;
use crate::precedence::LONGEST_TURN;

fn queues(slots: u16, linger: Duration) -> (SlotQueues, Vec<QueueEnd>) {
    SlotQueues::new(slots, linger, &Arc::default())
}

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
    let (queues, mut ends) = queues(1, Duration::ZERO);
    let gate = Arc::new(Semaphore::new(0));
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let (g, s) = (Arc::clone(&gate), Arc::clone(&sizes));
    let server = tokio::spawn(run(ends.remove(0), CancellationToken::new(), move |inputs| {
        let (g, s) = (Arc::clone(&g), Arc::clone(&s));
        async move {
            s.lock().unwrap().push(inputs.len());
            g.acquire().await.unwrap().forget();
            Ok(applied(&inputs))
        }
    }));
    let call = |n| {
        let queues = queues.clone();
        tokio::spawn(async move { queues.apply(input(n, 0)).await })
    };
    let mut calls = vec![call(0)];
    while sizes.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    calls.extend((1..5).map(call));
    while queues.slots[0].hasty.capacity() > QUEUE - 4 {
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
    let (queues, mut ends) = queues(1, Duration::ZERO);
    let mut first = true;
    let server = tokio::spawn(run(ends.remove(0), CancellationToken::new(), move |inputs| {
        let fails = std::mem::take(&mut first);
        async move {
            if fails {
                Err(StoreError::OutOfMemory)
            } else {
                Ok(applied(&inputs))
            }
        }
    }));
    let failed = queues.apply(input(1, 0)).await;
    assert!(matches!(failed, Err(SubmitError::Store(e)) if matches!(*e, StoreError::OutOfMemory)));
    assert!(queues.apply(input(2, 0)).await.is_ok());
    drop(queues);
    server.await.unwrap();
}

#[tokio::test]
async fn a_stop_lets_what_was_queued_finish_and_takes_no_more() {
    let (queues, mut ends) = queues(1, Duration::ZERO);
    let stop = CancellationToken::new();
    let waiting = tokio::spawn({
        let queues = queues.clone();
        async move { queues.apply(input(1, 0)).await }
    });
    while queues.slots[0].hasty.capacity() == QUEUE {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    run(ends.remove(0), stop, |inputs| async move { Ok(applied(&inputs)) }).await;
    assert!(waiting.await.unwrap().is_ok());
    assert!(matches!(
        queues.apply(input(2, 0)).await,
        Err(SubmitError::Closed)
    ));
}

#[tokio::test]
async fn an_id_of_a_foreign_slot_and_a_closed_router_are_told_apart() {
    let (queues, ends) = queues(2, Duration::ZERO);
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

/// One slot whose calls are told, by their size and whether they are of what is patient, and a way to submit to it.
struct OneSlot {
    queues: SlotQueues,
    precedence: Arc<Precedence>,
    called: mpsc::UnboundedReceiver<(usize, bool)>,
}

impl OneSlot {
    fn served(linger: Duration) -> Self {
        let (queues, ends) = queues(1, linger);
        let (calls, called) = mpsc::unbounded_channel();
        let precedence = Arc::clone(&ends[0].precedence);
        for end in ends {
            let (calls, patient) = (calls.clone(), end.patient);
            let apply = move |inputs: Vec<EventInput>| {
                let reply = applied(&inputs);
                calls.send((inputs.len(), patient)).unwrap();
                async move { Ok(reply) }
            };
            tokio::spawn(run(end, CancellationToken::new(), apply));
        }
        Self {
            queues,
            precedence,
            called,
        }
    }

    /// Submits, and lets the slot see it; no time passes.
    async fn submit(&self, n: u8, patient: bool) {
        let queues = self.queues.clone();
        tokio::spawn(async move { queues.submit(input(n, 0), patient).await });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_patient_waits_for_its_turn_and_what_is_not_goes_before_it() {
    let mut slot = OneSlot::served(Duration::ZERO);
    let precedence = Arc::clone(&slot.precedence);
    let taken = precedence.enter(Haste::Patient).await;
    slot.submit(1, true).await;
    slot.submit(2, true).await;
    assert!(slot.called.try_recv().is_err(), "nobody's turn has come");
    slot.submit(3, false).await;
    assert_eq!(slot.called.try_recv(), Ok((1, false)));
    slot.submit(4, true).await;
    drop(taken);
    assert_eq!(slot.called.recv().await, Some((3, true)));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_patient_does_not_wait_for_a_patient_call_of_its_slot() {
    let (queues, ends) = queues(1, Duration::ZERO);
    for end in ends {
        let patient = end.patient;
        let apply = move |inputs: Vec<EventInput>| async move {
            if patient {
                std::future::pending::<()>().await;
            }
            Ok(applied(&inputs))
        };
        tokio::spawn(run(end, CancellationToken::new(), apply));
    }
    let hangs = queues.submit(input(1, 0), true);
    tokio::pin!(hangs);
    assert!(futures_util::poll!(&mut hangs).is_pending());
    assert!(queues.apply(input(2, 0)).await.is_ok());
    assert!(futures_util::poll!(&mut hangs).is_pending());
}

#[tokio::test(start_paused = true)]
async fn no_patient_call_begins_beside_one_in_haste_of_another_slot() {
    let (queues, ends) = queues(2, Duration::ZERO);
    let (gate, (calls, mut called)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
    for end in ends {
        let (calls, gate, slot) = (calls.clone(), Arc::clone(&gate), end.slot);
        let apply = move |inputs: Vec<EventInput>| {
            calls.send(slot).unwrap();
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(applied(&inputs))
            }
        };
        tokio::spawn(run(end, CancellationToken::new(), apply));
    }
    let submitted = [(0, false), (1, true)].map(|(slot, patient)| {
        let queues = queues.clone();
        tokio::spawn(async move { queues.submit(input(1, slot), patient).await })
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(called.try_recv(), Ok(Slot(0)));
    assert!(called.try_recv().is_err(), "it begins beside the other");
    gate.add_permits(2);
    for submitted in submitted {
        assert!(submitted.await.unwrap().is_ok());
    }
    assert_eq!(called.try_recv(), Ok(Slot(1)));
}

#[tokio::test(start_paused = true)]
async fn a_slot_keeps_its_place_whatever_else_comes() {
    let mut slot = OneSlot::served(Duration::ZERO);
    let precedence = Arc::clone(&slot.precedence);
    let last = precedence.enter(Haste::Patient).await;
    slot.submit(1, true).await;
    let other = precedence.enter(Haste::Patient);
    tokio::pin!(other);
    assert!(futures_util::poll!(&mut other).is_pending());
    slot.submit(2, true).await;
    let began = Instant::now();
    drop(last);
    assert_eq!(slot.called.recv().await, Some((2, true)));
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "it had its turn, and did not go without"
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_is_not_waited_for_long_and_no_call_is_large() {
    let mut slot = OneSlot::served(Duration::ZERO);
    let precedence = Arc::clone(&slot.precedence);
    let _taken = precedence.enter_events().await;
    let began = Instant::now();
    slot.submit(1, true).await;
    assert_eq!(slot.called.recv().await, Some((1, true)));
    assert_eq!(began.elapsed(), LONGEST_TURN);
    for _ in 0..=MOST_PATIENT {
        slot.submit(1, true).await;
    }
    assert_eq!(slot.called.recv().await, Some((MOST_PATIENT, true)));
    assert_eq!(began.elapsed(), 2 * LONGEST_TURN);
    assert_eq!(slot.called.recv().await, Some((1, true)));
}

#[tokio::test(start_paused = true)]
async fn what_is_patient_goes_at_once_and_then_waits_for_more_unless_a_call_is_full() {
    const LINGER: Duration = Duration::from_millis(200);
    let mut slot = OneSlot::served(LINGER);
    let began = Instant::now();
    slot.submit(1, true).await;
    assert_eq!(slot.called.try_recv(), Ok((1, true)), "nothing was before it");
    slot.submit(2, true).await;
    slot.submit(3, true).await;
    slot.submit(4, false).await;
    assert_eq!(slot.called.try_recv(), Ok((1, false)));
    assert!(slot.called.try_recv().is_err(), "more may come");
    assert_eq!(slot.called.recv().await, Some((2, true)));
    assert_eq!(began.elapsed(), LINGER);
    for _ in 0..MOST_PATIENT {
        slot.submit(5, true).await;
    }
    assert_eq!(slot.called.try_recv(), Ok((MOST_PATIENT, true)));
    assert_eq!(began.elapsed(), LINGER);
}

#[tokio::test(start_paused = true)]
async fn slots_that_began_together_go_on_apart() {
    const PERIOD: Duration = Duration::from_millis(400);
    let (queues, ends) = queues(4, PERIOD);
    let begun = Instant::now();
    let (calls, mut called) = mpsc::unbounded_channel();
    for end in ends {
        let (calls, slot) = (calls.clone(), end.slot);
        let apply = move |inputs: Vec<EventInput>| {
            calls.send((slot.0, begun.elapsed().as_millis())).unwrap();
            async move { Ok(applied(&inputs)) }
        };
        tokio::spawn(run(end, CancellationToken::new(), apply));
    }
    tokio::time::advance(Duration::from_millis(350)).await;
    for n in 0..2 {
        for slot in 0..4 {
            let queues = queues.clone();
            tokio::spawn(async move { queues.submit(input(n, slot), true).await });
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    let mut times = Vec::new();
    for _ in 0..8 {
        times.push(called.recv().await.unwrap());
    }
    assert!(times[..4].iter().all(|(_, at)| *at == 350), "{times:?}");
    assert_eq!(times[4..], [(0, 400), (1, 500), (2, 600), (3, 700)]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_waiting_for_more_and_what_is_left_needs_no_turns() {
    let (queues, mut ends) = queues(1, Duration::from_secs(3_600));
    let stop = CancellationToken::new();
    let patient = ends.remove(1);
    let precedence = Arc::clone(&patient.precedence);
    let server = tokio::spawn(run(patient, stop.clone(), |inputs| async move {
        Ok(applied(&inputs))
    }));
    assert!(queues.submit(input(1, 0), true).await.is_ok());
    let began = Instant::now();
    let waits = queues.submit(input(2, 0), true);
    tokio::pin!(waits);
    assert!(futures_util::poll!(&mut waits).is_pending());
    for _ in 0..4 * MOST_PATIENT {
        let queues = queues.clone();
        tokio::spawn(async move { queues.submit(input(3, 0), true).await });
    }
    let _taken = precedence.enter_events().await;
    tokio::task::yield_now().await;
    stop.cancel();
    assert!(waits.await.is_ok());
    server.await.unwrap();
    assert!(
        began.elapsed() <= LONGEST_TURN,
        "only who was in the queue for a turn waited for it"
    );
}
