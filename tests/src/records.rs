//! Reading what leaves on Kafka: results, dead letters, events; and writing what should never be there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use bus::{BusConfig, Event, Lane, LaneConsumer, Producer, Record, StartAt};
use domain::ids::Shard;
use domain::topics::{self, TopicSettings};
use prost::Message;
use serde_json::Value;
use wire::gateway::record::v1::{CommandResult, DeadLetter, ShardRecord};

use crate::wait::{eventually, within};

/// A reader of all partitions of one topic, from the moment it was made.
#[derive(Debug)]
pub struct Records {
    consumer: LaneReader,
}

/// A wrapper, since the consumer of the bus has no debug form.
struct LaneReader(LaneConsumer);

impl std::fmt::Debug for LaneReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LaneReader")
    }
}

impl Records {
    /// Reads the results of commands.
    pub async fn of_results(kafka: SocketAddr) -> Self {
        Self::of(kafka, topics::COMMAND_RESULTS).await
    }

    /// Reads the dead letters.
    pub async fn of_dead_letters(kafka: SocketAddr) -> Self {
        Self::of(kafka, topics::DEAD_LETTERS).await
    }

    /// Reads what chargers say.
    pub async fn of_events(kafka: SocketAddr) -> Self {
        Self::of(kafka, topics::EVENTS_UP).await
    }

    /// The result of one command.
    pub async fn result(&mut self, command_id: &str) -> CommandResult {
        self.first(&format!("the result of {command_id} is on Kafka"), |record| {
            CommandResult::decode(record.payload.clone())
                .ok()
                .filter(|result| result.command_id == command_id)
        })
        .await
    }

    /// Waits until the results of all these commands came, in whatever order.
    pub async fn results(&mut self, command_ids: &[String]) {
        let mut missing: BTreeSet<&str> = command_ids.iter().map(String::as_str).collect();
        while !missing.is_empty() {
            let what = format!("the results of {missing:?} are on Kafka");
            let result = self.first(&what, |record| CommandResult::decode(record.payload.clone()).ok());
            missing.remove(result.await.command_id.as_str());
        }
    }

    /// The dead letter of one command.
    pub async fn dead_letter(&mut self, command_id: &str) -> DeadLetter {
        self.first(
            &format!("the dead letter of {command_id} is on Kafka"),
            |record| {
                let letter = DeadLetter::decode(record.payload.clone()).ok()?;
                let of_it = letter
                    .result
                    .as_ref()
                    .is_some_and(|result| result.command_id == command_id);
                of_it.then_some(letter)
            },
        )
        .await
    }

    /// The next event of one charger and type; the record's key comes with it.
    pub async fn event(&mut self, charge_point_id: &str, event_type: &str) -> (String, Value) {
        self.first(
            &format!("{event_type} of {charge_point_id} is on Kafka"),
            |record| {
                let event: Value = serde_json::from_slice(&record.payload).ok()?;
                let key = String::from_utf8(record.key.clone()?.to_vec()).ok()?;
                let fits = event["chargePointId"] == charge_point_id && event["eventType"] == event_type;
                fits.then_some((key, event))
            },
        )
        .await
    }

    /// The first record for which `pick` gives something; the others are dropped.
    pub async fn first<T>(&mut self, what: &str, pick: impl Fn(&Record) -> Option<T>) -> T {
        within(what, async {
            loop {
                if let Event::Record(record) = self.consumer.0.recv().await
                    && let Some(picked) = pick(&record)
                {
                    return picked;
                }
            }
        })
        .await
    }

    async fn of(kafka: SocketAddr, topic: &str) -> Self {
        let partitions = i32::try_from(TopicSettings::default().up_partitions).expect("few partitions");
        let lanes: Vec<Lane> = (0..partitions)
            .map(|partition| Lane::new(topic, partition))
            .collect();
        let config = BusConfig::at(kafka.to_string());
        // Right after its creation a topic's partitions may have no leader yet.
        let consumer = eventually(format_args!("{topic} can be read"), async || {
            LaneConsumer::start(&config, &lanes, StartAt::End).await.ok()
        })
        .await;
        Self {
            consumer: LaneReader(consumer),
        }
    }
}

/// Produces what no router would write to every lane of every pod, and waits until Kafka has it.
pub async fn poison(kafka: SocketAddr) {
    let producer = Producer::new(&BusConfig::at(kafka.to_string())).expect("a producer");
    let settings = TopicSettings::default();
    let partitions = i32::try_from(settings.shard_partitions).expect("few partitions");
    for shard in 0..settings.shards {
        let topic: Arc<str> = topics::shard_topic(Shard(shard)).into();
        for partition in 0..partitions {
            for payload in [
                b"\xff\xfe no record".to_vec(),
                Vec::new(),
                ShardRecord::default().encode_to_vec(),
            ] {
                let message = bus::Message::new(topic.clone(), payload).partition(partition);
                let delivery = producer.send(&message).expect("room in the queue");
                delivery.await.expect("Kafka takes anything");
            }
        }
    }
}
