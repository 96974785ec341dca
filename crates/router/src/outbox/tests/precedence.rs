//! Patient drains leave the store to whoever is in a hurry.

use super::*;

/// Less than a patient call waits for a moment without haste, and far less than for its turn.
const A_MOMENT: Duration = Duration::from_millis(2);

/// The first slot has one result, and something patient wakes it.
struct Patient {
    world: Arc<World>,
    wakes: Arc<Wakes>,
    token: CancellationToken,
    drains: tokio::task::JoinHandle<()>,
}

impl Patient {
    fn served() -> Self {
        let world = World::new(Duration::ZERO);
        world.kafka.store(true, Ordering::SeqCst);
        world.slots[0].lock().unwrap().retain(|number, _| *number == 1);
        let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
        wakes.take();
        let drains = serve(Arc::clone(&world), Arc::clone(&wakes), token.clone(), plan());
        wakes.wake(Slot(0), Haste::Patient);
        Self {
            world,
            wakes,
            token,
            drains: tokio::spawn(drains),
        }
    }

    async fn reads(&self) -> bool {
        comes(A_MOMENT, || self.world.reads.load(Ordering::SeqCst) > 0).await
    }

    async fn trims(&self) -> bool {
        comes(A_MOMENT, || self.world.slots[0].lock().unwrap().is_empty()).await
    }

    async fn ended(self) {
        self.token.cancel();
        self.drains.await.unwrap();
        assert_eq!(self.world.produced.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_drain_reads_and_trims_while_no_hasty_call_is_under_way() {
    let patient = Patient::served();
    let hasty = patient.world.precedence.enter(Haste::Now).await;
    assert!(!patient.reads().await, "it reads beside a hasty call");
    drop(hasty);
    assert!(patient.reads().await);
    let hasty = patient.world.precedence.enter(Haste::Now).await;
    assert!(!patient.trims().await, "it trims beside a hasty call");
    drop(hasty);
    assert!(patient.trims().await);
    patient.ended().await;
}

#[tokio::test(start_paused = true)]
async fn it_reads_and_trims_in_its_turn_unless_somebody_is_in_a_hurry() {
    let patient = Patient::served();
    let turn = patient.world.precedence.enter(Haste::Patient).await;
    assert!(!patient.reads().await, "it reads without its turn");
    patient.wakes.wake(Slot(0), Haste::Now);
    assert!(patient.reads().await, "it still waits to read");
    assert!(!patient.trims().await, "it trims without its turn");
    patient.wakes.wake(Slot(0), Haste::Now);
    assert!(patient.trims().await, "it still waits to trim");
    drop(turn);
    patient.ended().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_it_waits_for_no_turn() {
    let patient = Patient::served();
    let turn = patient.world.precedence.enter(Haste::Patient).await;
    assert!(!patient.reads().await);
    patient.token.cancel();
    assert!(patient.reads().await, "it still waits to read");
    assert!(patient.trims().await, "it still waits to trim");
    drop(turn);
    patient.ended().await;
}
