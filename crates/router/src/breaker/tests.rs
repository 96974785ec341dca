//! When it opens and closes, and what it says to edges and to the timers' rounds.

use std::collections::VecDeque;

use futures_util::FutureExt;

use super::*;

fn failure() -> Result<(), SendError> {
    Err(SendError::TimedOut { topic: "t".into() })
}

fn breaker() -> (Breaker, chassis::ManualClock) {
    let (clock, hand) = MonoClock::manual();
    (Breaker::new(BreakerConfig::default(), clock), hand)
}

/// Looks as often as the task does.
fn passes(breaker: &Breaker, hand: &chassis::ManualClock, ms: u64) {
    for _ in 0..ms / 250 {
        hand.advance(LOOK);
        breaker.look();
    }
}

#[test]
fn failures_in_a_row_open_it_and_a_confirmation_between_them_does_not() {
    let (breaker, _hand) = breaker();
    for report in [failure(), failure(), Ok(()), failure(), failure()] {
        breaker.send().unwrap().reported(&report);
    }
    assert!(!breaker.is_open());
    let large = SendError::TooLarge {
        topic: "t".into(),
        bytes: 1,
        queued: true,
    };
    let unknown = SendError::UnknownTopic {
        topic: "t".into(),
        partition: None,
        queued: false,
    };
    for refused in [large, unknown] {
        breaker.send().unwrap().reported(&Err::<(), _>(refused));
        assert!(!breaker.is_open(), "Kafka is there: it refused the record");
    }
    breaker.send().unwrap().reported(&failure());
    assert!(breaker.is_open());
    assert!(breaker.send().is_err(), "no command is produced");
}

#[test]
fn a_silence_opens_it_only_while_something_waits_and_nothing_is_confirmed() {
    let (breaker, hand) = breaker();
    breaker.look();
    passes(&breaker, &hand, 10_000);
    let slow = breaker.send().unwrap();
    for _ in 0..10 {
        passes(&breaker, &hand, 1_750);
        breaker.send().unwrap().reported(&Ok(()));
    }
    assert!(!breaker.is_open(), "others are confirmed");
    drop(slow);
    passes(&breaker, &hand, 10_000);
    assert!(!breaker.is_open(), "nothing waits");
    let _waits = breaker.send().unwrap();
    passes(&breaker, &hand, 1_750);
    assert!(!breaker.is_open());
    passes(&breaker, &hand, 250);
    assert!(breaker.is_open());
}

#[test]
fn a_router_that_stood_still_itself_does_not_blame_kafka() {
    let (breaker, hand) = breaker();
    breaker.look();
    let _waits = breaker.send().unwrap();
    hand.advance(Duration::from_secs(60));
    breaker.look();
    assert!(!breaker.is_open());
    passes(&breaker, &hand, 2_000);
    assert!(breaker.is_open());
}

#[test]
fn after_a_sign_of_life_one_failure_opens_it_again_and_one_confirmation_makes_it_whole() {
    let (breaker, _hand) = breaker();
    let send = |report: &Result<(), SendError>| breaker.send().unwrap().reported(report);
    (0..3).for_each(|_| send(&failure()));
    breaker.answered();
    assert!(!breaker.is_open());
    send(&failure());
    assert!(breaker.is_open());
    breaker.answered();
    send(&Ok(()));
    (0..2).for_each(|_| send(&failure()));
    assert!(!breaker.is_open());
}

#[test]
fn records_of_one_partition_that_expire_among_confirmations_do_not_open_it() {
    let (breaker, hand) = breaker();
    breaker.look();
    for _ in 0..10 {
        let expire: Vec<_> = (0..5).map(|_| breaker.send().unwrap()).collect();
        for _ in 0..4 {
            passes(&breaker, &hand, 1_000);
            breaker.sent().reported(&Ok(()));
        }
        expire.into_iter().for_each(|sent| sent.reported(&failure()));
        assert!(!breaker.is_open());
    }
    // Without a confirmation since they were sent, as many do.
    let expire: Vec<_> = (0..5).map(|_| breaker.send().unwrap()).collect();
    expire.into_iter().for_each(|sent| sent.reported(&failure()));
    assert!(breaker.is_open());
}

#[test]
fn what_was_sent_before_the_probe_closed_it_neither_fails_nor_waits_for_it() {
    let (breaker, hand) = breaker();
    breaker.look();
    let mut old: Vec<_> = (0..5).map(|_| breaker.send().unwrap()).collect();
    passes(&breaker, &hand, 2_000);
    assert!(breaker.is_open());
    breaker.answered();
    old.drain(..3).for_each(|sent| sent.reported(&failure()));
    passes(&breaker, &hand, 10_000);
    assert!(!breaker.is_open());
    // They do not take the place of a new one that waits, either.
    let _waits = breaker.send().unwrap();
    drop(old);
    passes(&breaker, &hand, 2_000);
    assert!(breaker.is_open());
}

#[test]
fn while_the_probe_succeeds_and_records_fail_its_pause_grows_and_each_link_ends_once() {
    let (breaker, hand) = breaker();
    let pod = PodId::parse("edge-1").unwrap();
    let mut openings = breaker.openings();
    let (mut pauses, mut ended) = (Vec::new(), 0);
    for _ in 0..8 {
        while let Ok(sent) = breaker.send() {
            sent.reported(&failure());
        }
        if openings.next().now_or_never().is_some() && breaker.turn_away(&pod) {
            ended += 1;
        }
        pauses.push(breaker.pause().as_secs());
        hand.advance(breaker.pause());
        breaker.answered();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(ended, 1);
    breaker.send().unwrap().reported(&Ok(()));
    breaker.trip("a test");
    assert_eq!(breaker.pause(), Duration::from_secs(1), "Kafka took something");
}

#[test]
fn one_failure_after_a_sign_of_life_opens_it_again_where_a_silence_had_without_any() {
    let (breaker, hand) = breaker();
    breaker.look();
    let _waits = breaker.send().unwrap();
    passes(&breaker, &hand, 2_000);
    breaker.answered();
    assert!(!breaker.is_open());
    breaker.send().unwrap().reported(&failure());
    assert!(breaker.is_open());
}

#[test]
fn a_pause_that_is_configured_longer_than_the_longest_is_kept() {
    let config = BreakerConfig {
        probe_ms: 60_000,
        ..BreakerConfig::default()
    };
    let breaker = Breaker::new(config, MonoClock::manual().0);
    for _ in 0..3 {
        assert_eq!(breaker.pause(), Duration::from_secs(60));
        breaker.trip("a test");
        breaker.answered();
    }
}

#[test]
fn an_open_one_sends_an_edge_elsewhere_once_and_takes_it_when_it_comes_back() {
    let (breaker, hand) = breaker();
    let (pod, other) = (PodId::parse("edge-1").unwrap(), PodId::parse("edge-2").unwrap());
    assert!(!breaker.turns_away(&pod), "it is closed");
    assert_eq!(breaker.leaves_timers_us(), 0);
    let mut openings = breaker.openings();
    assert!(openings.next().now_or_never().is_none());
    breaker.trip("a test");
    assert!(openings.next().now_or_never().is_some());
    assert!(
        openings.next().now_or_never().is_none(),
        "one opening is told once"
    );
    assert!(
        breaker.openings().next().now_or_never().is_none(),
        "who comes later stays"
    );
    assert!(breaker.turns_away(&pod));
    assert!(!breaker.turns_away(&pod), "it found nobody better");
    assert!(breaker.turns_away(&other));
    hand.advance(Duration::from_secs(61));
    assert!(breaker.turns_away(&pod));
    assert!(breaker.leaves_timers_us() > 0);
}

#[tokio::test(start_paused = true)]
async fn an_open_one_closes_at_the_first_sign_of_life() {
    let (breaker, _hand) = breaker();
    breaker.trip("a test");
    let token = CancellationToken::new();
    let mut signs = [false, false, true].into_iter();
    let probe = || std::future::ready(signs.next().unwrap());
    tokio::select! {
        () = breaker.run(token.clone(), probe) => panic!("it ended"),
        () = async { breaker.open.subscribe().wait_for(|open| !*open).await.unwrap(); } => {}
    }
    assert!(!breaker.is_open());
    assert!(signs.next().is_none(), "each sign was asked for");
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_closes_an_open_one_for_good_before_the_next_probe() {
    let (breaker, _hand) = breaker();
    breaker.trip("a test");
    let asked = std::cell::Cell::new(false);
    let probe = || {
        asked.set(true);
        std::future::ready(true)
    };
    // A canary, which goes out all the same, comes through.
    let canary = async {
        tokio::task::yield_now().await;
        breaker.sent().reported(&Ok(()));
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    tokio::select! {
        () = breaker.run(CancellationToken::new(), probe) => panic!("it ended"),
        () = canary => {}
    }
    assert!(!breaker.is_open());
    assert!(!asked.get());
    (0..2).for_each(|_| breaker.send().unwrap().reported(&failure()));
    assert!(!breaker.is_open(), "it is whole");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_probe_after_a_confirmation_takes_nothing_from_a_whole_one() {
    let (breaker, _hand) = breaker();
    breaker.trip("a test");
    let probe = async || {
        breaker.sent().reported(&Ok(()));
        true
    };
    tokio::select! {
        () = breaker.run(CancellationToken::new(), probe) => panic!("it ended"),
        () = tokio::time::sleep(Duration::from_secs(5)) => {}
    }
    (0..2).for_each(|_| breaker.send().unwrap().reported(&failure()));
    assert!(!breaker.is_open());
}

/// A producer whose reports stay out until the records' time is over, as those of a broker do that waits for a follower
/// which hangs.
struct Hung<'a> {
    breaker: &'a Breaker,
    under_way: VecDeque<(Sent<'a>, u64)>,
    sent: usize,
    failed: usize,
}

impl Hung<'_> {
    /// What bus gives a record by default.
    const MESSAGE_TIMEOUT_MS: u64 = 4_000;

    fn tries_to_send(&mut self, now_ms: u64) {
        if let Ok(sent) = self.breaker.send() {
            self.under_way.push_back((sent, now_ms));
            self.sent += 1;
        }
        let over = |at: u64| now_ms - at >= Self::MESSAGE_TIMEOUT_MS;
        while let Some((sent, _)) = self.under_way.pop_front_if(|(_, at)| over(*at)) {
            sent.reported(&failure());
            self.failed += 1;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_while_its_follower_hangs_is_found_out_before_any_record_fails() {
    let (breaker, hand) = breaker();
    let mut hung = Hung {
        breaker: &breaker,
        under_way: VecDeque::new(),
        sent: 0,
        failed: 0,
    };
    let mut openings = breaker.openings();
    let mut opened_ms = Vec::new();
    let work = async {
        for now_ms in (0..60_000).step_by(250) {
            hung.tries_to_send(now_ms);
            tokio::time::sleep(LOOK).await;
            hand.advance(LOOK);
            if openings.next().now_or_never().is_some() {
                opened_ms.push(now_ms);
                assert!(hung.failed == 0 || opened_ms.len() > 1, "the silence was enough");
            }
        }
    };
    // It tells where a topic is, as the leader lives.
    let probe = || std::future::ready(true);
    tokio::select! {
        () = breaker.run(CancellationToken::new(), probe) => panic!("it ended"),
        () = work => {}
    }
    let gaps: Vec<u64> = opened_ms.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.len() >= 4 && gaps.is_sorted(),
        "ever longer it sends nothing: {opened_ms:?}"
    );
    assert!(
        hung.sent * 4 <= 240,
        "most wait in their queues: {} went",
        hung.sent
    );
    // The follower is dropped from those that are waited for: the next canary is confirmed.
    breaker.sent().reported(&Ok(()));
    assert!(!breaker.is_open());
    assert_eq!(breaker.pause(), Duration::from_secs(1));
}
