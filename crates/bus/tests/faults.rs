//! What a broken broker looks like from here. Always the embedded broker, because faults are injected.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use bus::embedded::Fault;
use bus::{
    EmbeddedBroker, Event, Lane, LaneConsumer, Message, Producer, SendError, StartAt, TopicSpec, TopicState,
};
use support::{DEADLINE, next_record, next_texts, produce, text};

const TOPIC: &str = "commands";

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::start(&[(TOPIC, 1)]).unwrap()
}

fn message(text: &str) -> Message {
    Message::new(TOPIC, text.to_owned()).partition(0)
}

async fn outcome(producer: &Producer, text: &str) -> Result<bus::Delivered, SendError> {
    tokio::time::timeout(DEADLINE, producer.send(&message(text))?)
        .await
        .expect("a report in time")
}

/// Sends until one record is confirmed.
async fn delivered(producer: &Producer, text: &str) {
    let attempts = async {
        while outcome(producer, text).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, attempts)
        .await
        .expect("a delivery in time");
}

#[tokio::test]
async fn while_the_broker_is_down_a_send_is_indeterminate_and_later_ones_work() {
    let broker = broker();
    let mut config = broker.config();
    config.message_timeout_ms = 500;
    let producer = Producer::new(&config).unwrap();
    // A cold producer may need longer than this short timeout for its id.
    producer.warm(&[TOPIC]).await.unwrap();
    outcome(&producer, "before").await.unwrap();

    broker.take_down().unwrap();
    let error = outcome(&producer, "lost").await.unwrap_err();
    assert_eq!(error, SendError::TimedOut { topic: TOPIC.into() });

    broker.bring_up().unwrap();
    delivered(&producer, "after").await;
    producer.close(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_consumer_survives_a_broker_that_goes_and_comes_back() {
    let broker = broker();
    let config = broker.config();
    let lane = Lane::new(TOPIC, 0);
    let mut consumer = LaneConsumer::start(&config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    let producer = Producer::new(&config).unwrap();
    produce(&producer, &lane, ["one".to_owned()]).await;
    assert_eq!(text(&next_record(&mut consumer).await), "one");

    broker.take_down().unwrap();
    let failure = async {
        loop {
            if let Event::Failed { kind, .. } = consumer.recv().await {
                return kind;
            }
        }
    };
    let kind = tokio::time::timeout(DEADLINE, failure)
        .await
        .expect("an event for the lost broker");
    assert!(bus::metrics::CONSUMER_ERROR_KINDS.contains(&kind));

    broker.bring_up().unwrap();
    delivered(&producer, "two").await;
    assert_eq!(text(&next_record(&mut consumer).await), "two");
}

#[tokio::test]
async fn a_rebuild_needs_no_broker_and_continues_when_it_is_back() {
    let broker = broker();
    let config = broker.config();
    let lane = Lane::new(TOPIC, 0);
    let mut consumer = LaneConsumer::start(&config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    let producer = Producer::new(&config).unwrap();
    produce(&producer, &lane, ["0", "1", "2"].map(String::from)).await;
    assert_eq!(text(&next_record(&mut consumer).await), "0");

    broker.take_down().unwrap();
    consumer.rebuild().await.unwrap();
    consumer.rebuild().await.unwrap();
    assert_eq!(consumer.position(&lane), Some(1));
    broker.bring_up().unwrap();
    assert_eq!(next_texts(&mut consumer, 2).await, ["1", "2"]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_in_mid_produce_loses_nothing() {
    let broker = broker();
    let config = broker.config();
    let lane = Lane::new(TOPIC, 0);
    let producer = Producer::new(&config).unwrap();
    outcome(&producer, "0").await.unwrap();
    broker.inject(Fault::CutNextProduce).unwrap();
    outcome(&producer, "1").await.unwrap();
    outcome(&producer, "2").await.unwrap();
    let mut consumer = LaneConsumer::start(&config, &[lane], StartAt::Beginning)
        .await
        .unwrap();
    assert_eq!(next_texts(&mut consumer, 3).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_record_that_the_broker_finds_too_large_is_refused_by_name() {
    let broker = broker();
    let producer = Producer::new(&broker.config()).unwrap();
    outcome(&producer, "0").await.unwrap();
    broker.inject(Fault::RefuseNextProduceAsTooLarge).unwrap();
    let error = outcome(&producer, "12345").await.unwrap_err();
    assert_eq!(
        error,
        SendError::TooLarge {
            topic: TOPIC.into(),
            bytes: 5,
            queued: true
        }
    );
    delivered(&producer, "later").await;
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_empties_later() {
    let broker = broker();
    let mut config = broker.config();
    config.queue_max_records = 3;
    let producer = Producer::new(&config).unwrap();
    outcome(&producer, "warm").await.unwrap();
    // No acknowledgement comes before the queue was looked at, however slow the machine is.
    broker.set_round_trip(Duration::from_secs(3)).unwrap();
    let sent: Vec<_> = (0..3).map(|_| producer.send(&message("x")).unwrap()).collect();
    let error = producer.send(&message("one too many")).unwrap_err();
    assert_eq!(error, SendError::QueueFull);
    assert!((producer.queue_fullness() - 1.0).abs() < f64::EPSILON);
    broker.set_round_trip(Duration::ZERO).unwrap();
    for delivery in sent {
        // Whether these made it in time is the machine's business; what matters is that each gets an answer.
        let _ = tokio::time::timeout(DEADLINE, delivery)
            .await
            .expect("a report in time");
    }
    delivered(&producer, "later").await;
}

#[tokio::test]
async fn a_flush_past_its_deadline_says_how_many_are_open() {
    let broker = broker();
    let producer = Producer::new(&broker.config()).unwrap();
    outcome(&producer, "warm").await.unwrap();
    broker.take_down().unwrap();
    let sent: Vec<_> = (0..2).map(|_| producer.send(&message("x")).unwrap()).collect();
    let error = producer.flush(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.to_string(), "flushing: 2 records without a delivery report");
    drop(producer);
    for delivery in sent {
        let open = delivery.await.unwrap_err();
        assert!(
            matches!(open, SendError::TimedOut { .. } | SendError::Indeterminate { .. }),
            "{open}"
        );
    }
}

#[tokio::test]
async fn without_any_broker_starting_fails_in_bounded_time() {
    let broker = broker();
    let mut config = broker.config();
    config.request_timeout_ms = 300;
    broker.take_down().unwrap();
    let started = LaneConsumer::start(&config, &[Lane::new(TOPIC, 0)], StartAt::End).await;
    assert!(matches!(started.err(), Some(bus::BusError::Offsets { .. })));
    assert!(matches!(
        bus::describe(&config, TOPIC).await,
        Err(bus::BusError::Metadata(_))
    ));
    let waited = bus::wait_for_topics(&config, &[TOPIC], Duration::from_millis(10)).await;
    assert!(matches!(waited, Err(bus::BusError::Metadata(_))));
}

#[tokio::test]
async fn topics_are_ensured_once_a_broker_that_is_starting_gives_metadata() {
    let broker = broker();
    let mut config = broker.config();
    config.request_timeout_ms = 100;
    broker.take_down().unwrap();
    let wanted = [TopicSpec::new(TOPIC, 1)];
    let comes_late = async {
        // Three looks in a row take longer than the first one of `ensure_topics`, which began before them.
        for _ in 0..3 {
            bus::describe(&config, TOPIC).await.unwrap_err();
        }
        broker.bring_up().unwrap();
    };
    let (ensured, ()) = tokio::join!(bus::ensure_topics(&config, &wanted), comes_late);
    assert_eq!(ensured.unwrap()[0].state, TopicState::Existed);
}
