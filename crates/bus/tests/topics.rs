//! Topics on purpose. Runs on the embedded broker or, with creation for real, on a real Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use bus::{TopicSpec, TopicState, describe, ensure_topics, wait_for_topics};
use support::{TestBus, unique};

#[tokio::test]
async fn existing_topics_are_fine_and_larger_ones_are_reported() {
    let bus = TestBus::start();
    let (same, larger) = (bus.topic(2).await, bus.topic(4).await);
    let specs = [TopicSpec::new(&same, 2), TopicSpec::new(&larger, 2)];
    let outcomes = ensure_topics(&bus.config, &specs).await.unwrap();
    let states: Vec<_> = outcomes
        .iter()
        .map(|o| (o.name.as_str(), o.partitions, o.state))
        .collect();
    assert_eq!(
        states,
        [
            (same.as_str(), 2, TopicState::Existed),
            (larger.as_str(), 4, TopicState::Larger)
        ]
    );
}

#[tokio::test]
async fn too_few_partitions_are_an_error_with_both_numbers() {
    let bus = TestBus::start();
    let topic = bus.topic(2).await;
    let error = ensure_topics(&bus.config, &[TopicSpec::new(&topic, 8)])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("topic {topic} has 2 partitions, 8 are needed")
    );
}

#[tokio::test]
async fn asking_for_a_topic_does_not_create_it() {
    let bus = TestBus::start();
    let (there, missing) = (bus.topic(3).await, unique("missing"));
    for _ in 0..2 {
        assert_eq!(describe(&bus.config, &missing).await.unwrap(), None);
    }
    assert_eq!(describe(&bus.config, &there).await.unwrap(), Some(3));
    let names = [there.as_str(), missing.as_str()];
    let still = wait_for_topics(&bus.config, &names, Duration::from_millis(100))
        .await
        .unwrap();
    assert_eq!(still, [missing]);
}

#[tokio::test]
async fn waiting_ends_when_the_topic_appears() {
    let bus = TestBus::start();
    let late = unique("late");
    let names = [late.as_str()];
    let waiting = wait_for_topics(&bus.config, &names, support::DEADLINE);
    let (still, ()) = tokio::join!(waiting, bus.create(&late, 1));
    assert_eq!(still.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn missing_topics_are_created_once_even_by_two_at_a_time() {
    // The embedded broker takes no admin requests: there its host creates the topics.
    let Ok(_) = std::env::var("HOLDFAST_TEST_KAFKA") else {
        return;
    };
    let bus = TestBus::start();
    let name = unique("made");
    let specs = [TopicSpec::new(&name, 3)
        .replication(1)
        .set("retention.ms", "3600000")];
    let (one, two) = tokio::join!(
        ensure_topics(&bus.config, &specs),
        ensure_topics(&bus.config, &specs)
    );
    assert_eq!((one.unwrap()[0].partitions, two.unwrap()[0].partitions), (3, 3));
    let again = ensure_topics(&bus.config, &specs).await.unwrap();
    assert_eq!(again[0].state, TopicState::Existed);
}

#[tokio::test]
async fn a_topic_that_the_broker_refuses_is_named() {
    // The embedded broker takes no admin requests: it refuses nothing by reason.
    let Ok(_) = std::env::var("HOLDFAST_TEST_KAFKA") else {
        return;
    };
    let bus = TestBus::start();
    let name = unique("refused");
    let specs = [TopicSpec::new(&name, 1)
        .replication(1)
        .set("no.such.setting", "1")];
    let error = ensure_topics(&bus.config, &specs).await.unwrap_err();
    assert_eq!(error.to_string(), format!("creating topic {name}"));
}
