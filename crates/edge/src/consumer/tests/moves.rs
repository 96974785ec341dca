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
    // An earlier life was there; that says nothing of this move.
    s.published.send_replace(place(&elsewhere(2)));
    s.put(&placement(1), record(3, kick("edge-1")));
    s.kicked().await;
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
    // The reply that said that the other place was published may be lost: it is consumed until this one is confirmed.
    for _ in 0..5 {
        s.bench.hand.advance(Duration::from_secs(11));
        s.proves(None).await;
        s.sing(&placement(3));
        s.proves(place(&placement(3))).await;
        s.put(&elsewhere(2), record(3, kick("edge-1")));
        s.kicked().await;
    }
    s.published.send_replace(place(&placement(3)));
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

/// A further place of the tests' pod.
fn further(shard: u32, link_number: u64) -> Placement {
    Placement {
        topic: format!("commands-down-shard-{shard}"),
        ..placement(link_number)
    }
}

/// Moves to a place, which is not published.
async fn moves_on(s: &mut Started, to: &Placement) {
    let opened = s.opened();
    s.place(to);
    until(|| s.opened() == opened + 1).await;
    s.sing(to);
    s.proves(place(to)).await;
}

/// The topics whose consumers ended, in that order.
fn ended(s: &Started) -> Vec<String> {
    let closed = s.stage.closed.lock().unwrap();
    closed.iter().map(|lane| lane.topic.to_string()).collect()
}

#[tokio::test]
async fn a_pod_told_a_third_place_consumes_all_until_it_is_confirmed_as_the_reply_for_the_second_may_be_lost()
{
    let mut s = start();
    moved_unpublished(&mut s).await;
    let third = further(3, 3);
    moves_on(&mut s, &third).await;
    for at in [&placement(1), &elsewhere(2), &third] {
        s.put(at, record(3, kick("edge-1")));
        s.kicked().await;
    }
    assert_eq!(ended(&s), [""; 0]);
    s.published.send_replace(place(&third));
    until(|| {
        s.bench.hand.advance(Duration::from_secs(1));
        ended(&s).len() == 2
    })
    .await;
    assert_eq!(ended(&s), [placement(1).topic, elsewhere(2).topic]);
    moves_on(&mut s, &further(4, 4)).await;
    s.stop().await;
}

#[tokio::test]
async fn a_pod_moved_past_ever_more_places_keeps_the_first_and_the_last_that_it_left() {
    let mut s = start();
    moved_unpublished(&mut s).await;
    let (third, fourth) = (further(3, 3), further(4, 4));
    moves_on(&mut s, &third).await;
    moves_on(&mut s, &fourth).await;
    until(|| ended(&s) == [elsewhere(2).topic]).await;
    for at in [&placement(1), &third, &fourth] {
        s.put(at, record(3, kick("edge-1")));
        s.kicked().await;
    }
    // Told back to one of those, it is there without opening it again.
    s.placement.send_replace(Some(further(3, 5)));
    s.sing(&further(3, 5));
    s.proves(place(&third)).await;
    s.put(&fourth, record(3, kick("edge-1")));
    s.kicked().await;
    assert_eq!(s.opened(), 4);
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
