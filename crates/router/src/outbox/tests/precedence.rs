//! Patient drains leave the store to whoever is in a hurry.

use super::*;

const A_MOMENT: Duration = Duration::from_millis(2);

#[tokio::test(start_paused = true)]
async fn a_drain_that_waits_for_its_turn_waits_no_more_when_somebody_is_in_a_hurry() {
    let world = World::new(Duration::ZERO);
    world.kafka.store(true, Ordering::SeqCst);
    let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
    wakes.take();
    let drains = serve(Arc::clone(&world), Arc::clone(&wakes), token.clone(), plan());
    let drains = tokio::spawn(drains);

    let _turn = world.precedence.enter(Haste::Patient).await;
    wakes.wake(Slot(0), Haste::Patient);
    tokio::time::sleep(A_MOMENT).await;
    assert_eq!(world.reads.load(Ordering::SeqCst), 0, "it goes without its turn");
    wakes.wake(Slot(0), Haste::Now);
    tokio::time::sleep(A_MOMENT).await;
    assert!(!world.produced.lock().unwrap().is_empty(), "it still waits");
    token.cancel();
    drains.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn so_does_one_that_waits_to_trim_and_at_the_end_none_waits() {
    for ends in [false, true] {
        let world = World::new(Duration::ZERO);
        world.kafka.store(true, Ordering::SeqCst);
        world.slots[0].lock().unwrap().retain(|number, _| *number == 1);
        let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
        wakes.take();
        let drains = serve(Arc::clone(&world), Arc::clone(&wakes), token.clone(), plan());
        let drains = tokio::spawn(drains);
        wakes.wake(Slot(0), Haste::Patient);
        until_read(&world).await;
        let _turn = world.precedence.enter(Haste::Patient).await;
        tokio::time::sleep(A_MOMENT).await;
        assert_eq!(world.produced.lock().unwrap().len(), 1);
        assert!(
            !world.slots[0].lock().unwrap().is_empty(),
            "it trims without its turn"
        );
        if ends {
            token.cancel();
        } else {
            wakes.wake(Slot(0), Haste::Now);
        }
        tokio::time::sleep(A_MOMENT).await;
        assert!(
            world.slots[0].lock().unwrap().is_empty(),
            "it still waits, ends: {ends}"
        );
        token.cancel();
        drains.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_drain_reads_and_trims_while_no_hasty_call_is_under_way() {
    let world = World::new(Duration::ZERO);
    world.kafka.store(true, Ordering::SeqCst);
    world.slots[0].lock().unwrap().retain(|number, _| *number == 1);
    let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
    wakes.take();
    let drains = serve(Arc::clone(&world), Arc::clone(&wakes), token.clone(), plan());
    let drains = tokio::spawn(drains);

    let hasty = world.precedence.enter(Haste::Now).await;
    wakes.wake(Slot(0), Haste::Patient);
    tokio::time::sleep(A_MOMENT).await;
    assert_eq!(
        world.reads.load(Ordering::SeqCst),
        0,
        "it reads beside a hasty call"
    );
    drop(hasty);
    until_read(&world).await;
    let hasty = world.precedence.enter(Haste::Now).await;
    tokio::time::sleep(A_MOMENT).await;
    assert_eq!(world.produced.lock().unwrap().len(), 1);
    assert!(
        !world.slots[0].lock().unwrap().is_empty(),
        "it trims beside a hasty call"
    );
    drop(hasty);
    tokio::time::sleep(A_MOMENT).await;
    assert!(world.slots[0].lock().unwrap().is_empty());
    token.cancel();
    drains.await.unwrap();
}
