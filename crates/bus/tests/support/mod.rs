//! A broker for each test: the embedded one, or a real Kafka named by `HOLDFAST_TEST_KAFKA=host:port`.

#![allow(dead_code, reason = "each test binary uses its part of the support")]

use std::time::Duration;

use bus::{
    BusConfig, EmbeddedBroker, Event, Lane, LaneConsumer, Message, Producer, Record, TopicSpec, ensure_topics,
};

/// No test waits longer than this for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Where the test talks to. Topics have unique names, so tests may share one Kafka.
pub(crate) struct TestBus {
    pub(crate) config: BusConfig,
    broker: Option<EmbeddedBroker>,
}

impl TestBus {
    pub(crate) fn start() -> Self {
        match std::env::var("HOLDFAST_TEST_KAFKA") {
            Ok(bootstrap) => Self {
                config: BusConfig::at(bootstrap),
                broker: None,
            },
            Err(_) => {
                let broker = EmbeddedBroker::start(&[]).unwrap();
                Self {
                    config: broker.config(),
                    broker: Some(broker),
                }
            }
        }
    }

    pub(crate) async fn topic(&self, partitions: i32) -> String {
        let name = unique("test");
        self.create(&name, partitions).await;
        name
    }

    pub(crate) async fn create(&self, name: &str, partitions: i32) {
        match &self.broker {
            Some(broker) => broker.create_topic(name, partitions).unwrap(),
            None => {
                let spec = TopicSpec::new(name, usize::try_from(partitions).unwrap()).replication(1);
                ensure_topics(&self.config, &[spec]).await.unwrap();
            }
        }
    }

    pub(crate) fn producer(&self) -> Producer {
        Producer::new(&self.config).unwrap()
    }
}

/// A topic name that no other test has.
pub(crate) fn unique(stem: &str) -> String {
    format!("{stem}-{}", uuid::Uuid::now_v7().simple())
}

/// The next record; errors on the way are skipped, as the gateway does.
pub(crate) async fn next_record(consumer: &mut LaneConsumer) -> Record {
    let wait = async {
        loop {
            if let Event::Record(record) = consumer.recv().await {
                return record;
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait)
        .await
        .expect("a record in time")
}

/// The payloads of the next `count` records as text.
pub(crate) async fn next_texts(consumer: &mut LaneConsumer, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        texts.push(text(&next_record(consumer).await));
    }
    texts
}

/// A payload as text.
pub(crate) fn text(record: &Record) -> String {
    String::from_utf8(record.payload.to_vec()).unwrap()
}

/// Produces these texts to one partition and waits until all are confirmed.
pub(crate) async fn produce(producer: &Producer, lane: &Lane, texts: impl IntoIterator<Item = String>) {
    let message = |text: String| Message::new(lane.topic.clone(), text).partition(lane.partition);
    let sent: Vec<_> = texts
        .into_iter()
        .map(|text| producer.send(&message(text)).unwrap())
        .collect();
    for delivery in sent {
        tokio::time::timeout(DEADLINE, delivery)
            .await
            .expect("a report in time")
            .unwrap();
    }
}
