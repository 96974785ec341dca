//! Topics that change under a consumer: grown, deleted, made again. Only a real Kafka does that, so without
//! `HOLDFAST_TEST_KAFKA` these tests say that they were not run; the whole-system ring runs them with one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "a test that was not run says so")]

mod support;

use std::time::Duration;

use bus::{Event, Lane, LaneConsumer, StartAt};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use support::{DEADLINE, TestBus, next_texts, produce, text};

/// A Kafka that changes topics when it is told to.
struct Kafka {
    bus: TestBus,
    admin: AdminClient<DefaultClientContext>,
}

impl Kafka {
    fn real() -> Option<Self> {
        let Ok(bootstrap) = std::env::var("HOLDFAST_TEST_KAFKA") else {
            println!("not run: HOLDFAST_TEST_KAFKA names no broker");
            return None;
        };
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap);
        let (bus, admin) = (TestBus::start(), client.create().unwrap());
        Some(Self { bus, admin })
    }

    async fn grow(&self, topic: &str, partitions: usize) {
        let grown = [NewPartitions::new(topic, partitions)];
        let outcome = self.admin.create_partitions(&grown, &AdminOptions::new()).await;
        assert_eq!(outcome.unwrap(), [Ok(topic.to_owned())]);
    }

    async fn delete(&self, topic: &str) {
        let outcome = self.admin.delete_topics(&[topic], &AdminOptions::new()).await;
        assert_eq!(outcome.unwrap(), [Ok(topic.to_owned())]);
        let gone = async {
            while bus::describe(&self.bus.config, topic).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, gone).await.unwrap();
    }
}

#[tokio::test]
async fn partitions_that_are_added_disturb_no_lane_and_can_be_consumed() {
    let Some(kafka) = Kafka::real() else { return };
    let topic = kafka.bus.topic(1).await;
    let lane = Lane::new(topic.as_str(), 0);
    let config = &kafka.bus.config;
    let mut consumer = LaneConsumer::start(config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    let producer = kafka.bus.producer();
    produce(&producer, &lane, ["before".to_owned()]).await;
    kafka.grow(&topic, 3).await;
    produce(&producer, &lane, ["after".to_owned()]).await;
    assert_eq!(next_texts(&mut consumer, 2).await, ["before", "after"]);
    let added = Lane::new(topic.as_str(), 2);
    let mut another = LaneConsumer::start(config, std::slice::from_ref(&added), StartAt::End)
        .await
        .unwrap();
    // A producer learns of partitions by its metadata, which it refreshes of itself.
    produce(&kafka.bus.producer(), &added, ["there".to_owned()]).await;
    assert_eq!(next_texts(&mut another, 1).await, ["there"]);
    consumer.close().await.unwrap();
    another.close().await.unwrap();
}

#[tokio::test]
async fn a_topic_that_was_deleted_and_made_again_is_consumed_by_a_consumer_that_is_rebuilt() {
    let Some(kafka) = Kafka::real() else { return };
    let topic = kafka.bus.topic(1).await;
    let lane = Lane::new(topic.as_str(), 0);
    let lanes = std::slice::from_ref(&lane);
    let mut consumer = LaneConsumer::start(&kafka.bus.config, lanes, StartAt::End)
        .await
        .unwrap();
    produce(&kafka.bus.producer(), &lane, ["0", "1", "2"].map(String::from)).await;
    next_texts(&mut consumer, 3).await;
    kafka.delete(&topic).await;
    // As the edge does, which finds the silence by its canaries: replaced while there is nothing to consume.
    consumer.rebuild().await.unwrap();
    kafka.bus.create(&topic, 1).await;
    produce(&kafka.bus.producer(), &lane, ["anew".to_owned()]).await;
    let heard = async {
        loop {
            match tokio::time::timeout(Duration::from_secs(3), consumer.recv()).await {
                Ok(Event::Record(record)) => return text(&record),
                Ok(Event::Failed { .. }) => {}
                Err(_) => consumer.rebuild().await.unwrap(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, heard).await.unwrap(), "anew");
    assert_eq!(consumer.position(&lane), Some(1));
    consumer.close().await.unwrap();
}
