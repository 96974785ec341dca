//! A broker that is frozen for longer than a record may take, thawed, and frozen again. What the producer called
//! delivered meanwhile must be in the log, where it was said to be; what timed out may be there or not, once or twice.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::time::Duration;

use bus::{BusConfig, Delivered, Lane, LaneConsumer, Message, Producer, StartAt, TopicSpec, ensure_topics};
use integration::wait::{eventually, fault_lasts, within};
use integration::{BrokerNeed, System, SystemSpec};

const TOPIC: &str = "frozen";
const PARTITIONS: usize = 3;
const FREEZES: usize = 5;
/// As short as lets the records of one freeze time out in it.
const MESSAGE_TIMEOUT: Duration = Duration::from_millis(800);
const FREEZE: Duration = Duration::from_millis(2_000);
/// Senders that each wait for the fate of one record before the next, as those of results do.
const SENDERS: usize = 6;

/// Not as fast as they can: the log is read afterwards.
const PACE: Duration = Duration::from_millis(5);

/// What was said of each record: where it is.
type Confirmed = HashMap<String, Delivered>;

/// Sends one record after the other until told to stop. Returns those that were confirmed, and how many were not.
async fn send(
    producer: Producer,
    sender: usize,
    stop: tokio::sync::watch::Receiver<bool>,
) -> (Confirmed, usize) {
    let (mut confirmed, mut unconfirmed) = (Confirmed::new(), 0);
    let mut pace = tokio::time::interval(PACE);
    for number in 0.. {
        pace.tick().await;
        if *stop.borrow() {
            break;
        }
        let name = format!("{sender}/{number}");
        let partition = i32::try_from(sender % PARTITIONS).expect("a small number");
        let message = Message::new(TOPIC, name.clone()).partition(partition);
        let sent = match producer.send(&message) {
            Ok(report) => report.await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(at) => drop(confirmed.insert(name, at)),
            Err(_) => unconfirmed += 1,
        }
    }
    (confirmed, unconfirmed)
}

/// The whole log: the record at each place, up to a last one that is written for this.
async fn log(config: &BusConfig, producer: &Producer) -> HashMap<(i32, i64), String> {
    let lanes: Vec<Lane> = (0..).take(PARTITIONS).map(|n| Lane::new(TOPIC, n)).collect();
    let mut reader = LaneConsumer::start(config, &lanes, StartAt::Beginning)
        .await
        .expect("a reader");
    for lane in &lanes {
        let last = Message::new(TOPIC, "last").partition(lane.partition);
        eventually("the broker takes records again", async || {
            producer.send(&last).ok()?.await.ok()
        })
        .await;
    }
    let (mut found, mut ended) = (HashMap::new(), HashMap::new());
    while ended.len() < PARTITIONS {
        let event = within("the log is read", reader.recv()).await;
        let bus::Event::Record(record) = event else {
            continue;
        };
        let text = String::from_utf8(record.payload.to_vec()).expect("what was written");
        if text == "last" {
            ended.insert(record.partition, ());
        }
        found.insert((record.partition, record.offset), text);
    }
    found
}

/// A topic of its own on a broker of its own.
async fn start() -> (System, BusConfig) {
    let system = System::parts_only(SystemSpec::new("freeze").broker(BrokerNeed::Own)).await;
    let config = BusConfig {
        message_timeout_ms: u64::try_from(MESSAGE_TIMEOUT.as_millis()).expect("a short time"),
        ..BusConfig::at(system.kafka().to_string())
    };
    ensure_topics(&config, &[TopicSpec::new(TOPIC, PARTITIONS).replication(1)])
        .await
        .expect("the topic");
    (system, config)
}

/// Sends while the broker is frozen and thawed. Returns what was confirmed, and how many records were not.
async fn send_around_freezes(system: &System, producer: &Producer) -> (Confirmed, usize) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| tokio::spawn(send(producer.clone(), n, stopped.clone())))
        .collect();
    for _ in 0..FREEZES {
        fault_lasts(Duration::from_millis(700)).await;
        system.pause("kafka").await;
        fault_lasts(FREEZE).await;
        system.resume("kafka");
    }
    fault_lasts(FREEZE).await;
    stop.send_replace(true);
    let (mut confirmed, mut unconfirmed) = (Confirmed::new(), 0);
    for sender in senders {
        let (some, others) = sender.await.expect("a sender that ended");
        confirmed.extend(some);
        unconfirmed += others;
    }
    (confirmed, unconfirmed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_producer_called_delivered_around_freezes_of_the_broker_is_in_the_log() {
    let (system, config) = start().await;
    let producer = Producer::new(&config).expect("a producer");
    let (confirmed, unconfirmed) = send_around_freezes(&system, &producer).await;
    let log = log(&config, &producer).await;
    let missing: Vec<_> = confirmed
        .iter()
        .filter(|(name, at)| log.get(&(at.partition, at.offset)) != Some(name))
        .collect();
    assert!(
        missing.is_empty(),
        "of {} confirmed and {unconfirmed} other records {} are not where they were said to be: {missing:?}",
        confirmed.len(),
        missing.len()
    );
    assert!(unconfirmed >= SENDERS, "no freeze was felt: {unconfirmed}");
    let written = confirmed.len();
    assert!(written > 10 * SENDERS, "hardly anything was written: {written}");
}
