//! A pod that is given another place.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_pod_that_moves_consumes_both_places_and_names_the_new_one_only_when_its_canary_came_round_there() {
    let mut s = start();
    s.place(&placement(1));
    s.sing(&placement(1));
    s.proves(place(&placement(1))).await;
    s.published.send_replace(place(&placement(1)));
    s.place(&elsewhere(2));
    until(|| s.opened() == 2).await;
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
    assert_eq!(
        *s.proven.borrow(),
        place(&placement(1)),
        "no canary came round at the new place"
    );
    s.sing(&elsewhere(2));
    s.proves(place(&elsewhere(2))).await;
    assert!(s.bench.hub.readiness.is_ready(), "it never ceased to be");
    s.stop().await;
}

#[tokio::test]
async fn the_old_place_is_left_so_long_after_the_new_one_was_published() {
    let mut s = start();
    s.place(&placement(1));
    s.sing(&placement(1));
    s.proves(place(&placement(1))).await;
    s.place(&elsewhere(2));
    until(|| s.opened() == 2).await;
    s.sing(&elsewhere(2));
    s.proves(place(&elsewhere(2))).await;
    // However long the router does not publish it.
    for _ in 0..10 {
        // The silence is noticed by a tick, which would also leave a place that is drained.
        s.bench.hand.advance(Duration::from_secs(11));
        s.proves(None).await;
        s.sing(&elsewhere(2));
        s.proves(place(&elsewhere(2))).await;
        s.put(&placement(1), record(3, kick("edge-1")));
        s.kicked().await;
    }
    s.published.send_replace(place(&elsewhere(2)));
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
    assert!(s.stage.closed.lock().unwrap().is_empty());
    until(|| {
        s.bench.hand.advance(Duration::from_secs(1));
        !s.stage.closed.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(s.stage.closed.lock().unwrap()[0].topic, placement(1).topic.into());
    s.stop().await;
}

#[tokio::test]
async fn a_move_to_a_place_that_cannot_be_opened_leaves_the_pod_where_it_is() {
    let mut s = start();
    s.place(&placement(1));
    s.sing(&placement(1));
    s.proves(place(&placement(1))).await;
    s.stage.missing.lock().unwrap().push(elsewhere(2).topic);
    s.place(&elsewhere(2));
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
    assert!(s.bench.hub.readiness.is_ready());
    // Told back, it forgets the other place.
    s.placement.send_replace(Some(placement(3)));
    s.bench.hand.advance(Duration::from_secs(2));
    s.sing(&placement(3));
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
    assert_eq!((s.opened(), s.proven.borrow().clone()), (1, place(&placement(1))));
    s.stop().await;
}

#[tokio::test]
async fn a_pod_told_back_before_its_new_place_was_published_goes_back_and_can_move_again() {
    let mut s = start();
    moved_unpublished(&mut s).await;
    // A relink: the place of before, whose lanes are still open.
    s.placement.send_replace(Some(placement(3)));
    s.bench.hand.advance(Duration::from_secs(4));
    s.proves(None).await;
    s.sing(&placement(3));
    s.proves(place(&placement(3))).await;
    assert!(s.bench.hub.readiness.is_ready());
    assert_eq!(s.opened(), 2, "nothing was opened anew");
    // What was left is drained, as routers were told of the place that it went back to.
    until(|| {
        s.bench.hand.advance(Duration::from_secs(1));
        !s.stage.closed.lock().unwrap().is_empty()
    })
    .await;
    assert_eq!(s.stage.closed.lock().unwrap()[0].topic, elsewhere(2).topic.into());
    s.place(&elsewhere(4));
    until(|| s.opened() == 3).await;
    s.sing(&elsewhere(4));
    s.proves(place(&elsewhere(4))).await;
    s.stop().await;
}

#[tokio::test]
async fn a_pod_told_a_third_place_leaves_the_second_that_was_never_published_and_keeps_the_first() {
    let mut s = start();
    moved_unpublished(&mut s).await;
    let third = Placement {
        topic: "commands-down-shard-3".into(),
        ..placement(3)
    };
    s.place(&third);
    until(|| s.opened() == 3).await;
    s.sing(&third);
    s.proves(place(&third)).await;
    until(|| !s.stage.closed.lock().unwrap().is_empty()).await;
    assert_eq!(s.stage.closed.lock().unwrap()[0].topic, elsewhere(2).topic.into());
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
    s.published.send_replace(place(&third));
    until(|| {
        s.bench.hand.advance(Duration::from_secs(1));
        s.stage.closed.lock().unwrap().len() == 2
    })
    .await;
    assert_eq!(s.stage.closed.lock().unwrap()[1].topic, placement(1).topic.into());
    s.stop().await;
}

/// Publishes the first place, and moves to another that is not published.
async fn moved_unpublished(s: &mut Started) {
    s.place(&placement(1));
    s.sing(&placement(1));
    s.proves(place(&placement(1))).await;
    s.published.send_replace(place(&placement(1)));
    s.place(&elsewhere(2));
    until(|| s.opened() == 2).await;
    s.sing(&elsewhere(2));
    s.proves(place(&elsewhere(2))).await;
}
