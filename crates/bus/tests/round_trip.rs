//! What goes in comes out: order, offsets, headers, rebuilds. Runs on the embedded broker or on a real Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashMap;

use bus::{DeliveryFuture, Headers, Lane, LaneConsumer, Message, SendError, StartAt};
use support::{DEADLINE, TestBus, next_record, next_texts, produce, text, unique};

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn records_of_a_partition_keep_their_order() {
    let bus = TestBus::start();
    let topic = bus.topic(3).await;
    let lanes: Vec<Lane> = (0..3)
        .map(|partition| Lane::new(topic.as_str(), partition))
        .collect();
    let mut consumer = LaneConsumer::start(&bus.config, &lanes, StartAt::End)
        .await
        .unwrap();
    let producer = bus.producer();

    let sent: Vec<_> = (0..600)
        .map(|n| {
            producer
                .send(&Message::new(topic.as_str(), n.to_string()).partition(n % 3))
                .unwrap()
        })
        .collect();
    let mut seen: HashMap<i32, Vec<(i64, String)>> = HashMap::new();
    for _ in 0..600 {
        let record = next_record(&mut consumer).await;
        seen.entry(record.partition)
            .or_default()
            .push((record.offset, text(&record)));
    }

    for partition in 0..3 {
        let expected: Vec<_> = (0..200)
            .map(|n| (n, (n * 3 + i64::from(partition)).to_string()))
            .collect();
        assert_eq!(seen[&partition], expected);
    }
    for (n, delivery) in sent.into_iter().enumerate() {
        let delivered = delivery.await.unwrap();
        assert_eq!(
            (delivered.partition as usize, delivered.offset as usize),
            (n % 3, n / 3)
        );
    }
}

#[tokio::test]
async fn key_headers_and_timestamp_come_round() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    let mut consumer = LaneConsumer::start(&bus.config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    let headers = Headers::new()
        .with("traceparent", "00-1")
        .with("bin", vec![0_u8, 255])
        .with("empty", "");
    let message = Message::new(lane.topic.clone(), vec![1_u8, 0, 2])
        .key("CP-1")
        .headers(headers.clone());
    bus.producer().send(&message).unwrap().await.unwrap();

    let record = next_record(&mut consumer).await;
    assert_eq!(
        (&record.key.unwrap()[..], &record.payload[..]),
        (&b"CP-1"[..], &[1, 0, 2][..])
    );
    assert_eq!(record.headers, headers);
    assert!(record.timestamp_ms.is_some());
}

#[tokio::test]
async fn the_same_key_goes_to_the_partition_of_kafkas_own_clients() {
    let bus = TestBus::start();
    let topic = bus.topic(12).await;
    let producer = bus.producer();
    // murmur2("CP-0001") & 0x7fffffff, modulo 12, as the Java client computes it.
    for _ in 0..3 {
        let sent = producer
            .send(&Message::new(topic.as_str(), "x").key("CP-0001"))
            .unwrap();
        assert_eq!(sent.await.unwrap().partition, murmur2_partition(b"CP-0001", 12));
    }
}

#[tokio::test]
async fn starting_at_the_end_shows_only_later_records() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    let producer = bus.producer();
    produce(&producer, &lane, numbered(0..5)).await;
    let mut consumer = LaneConsumer::start(&bus.config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    assert_eq!(consumer.position(&lane), Some(5));
    // Produced before the first fetch can have happened: "latest" would lose these.
    produce(&producer, &lane, numbered(5..8)).await;
    assert_eq!(next_texts(&mut consumer, 3).await, ["5", "6", "7"]);
    assert_eq!(consumer.position(&lane), Some(8));
}

#[tokio::test]
async fn explicit_offsets_and_the_beginning_are_honoured() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    produce(&bus.producer(), &lane, numbered(0..5)).await;
    let lanes = [lane.clone()];
    let at_three = StartAt::Offsets([(lane, 3)].into());
    let mut from_three = LaneConsumer::start(&bus.config, &lanes, at_three).await.unwrap();
    assert_eq!(next_texts(&mut from_three, 2).await, ["3", "4"]);
    let mut from_start = LaneConsumer::start(&bus.config, &lanes, StartAt::Beginning)
        .await
        .unwrap();
    assert_eq!(next_texts(&mut from_start, 5).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_rebuild_loses_and_doubles_nothing() {
    let bus = TestBus::start();
    let topic = bus.topic(2).await;
    let lanes = [Lane::new(topic.as_str(), 0), Lane::new(topic.as_str(), 1)];
    let producer = bus.producer();
    let mut consumer = LaneConsumer::start(&bus.config, &lanes, StartAt::End)
        .await
        .unwrap();
    let mut seen: HashMap<i32, Vec<String>> = HashMap::new();
    let mut at = 0;
    // Every rebuild leaves fetched records of the old client unread.
    for take in [1, 49, 0, 100, 50] {
        for lane in &lanes {
            produce(&producer, lane, numbered(at..at + 20)).await;
        }
        at += 20;
        for _ in 0..take {
            let outstanding = at * 2 - seen.values().map(Vec::len).sum::<usize>();
            if outstanding == 0 {
                break;
            }
            let record = next_record(&mut consumer).await;
            seen.entry(record.partition).or_default().push(text(&record));
        }
        consumer.rebuild().await.unwrap();
    }
    while seen.values().map(Vec::len).sum::<usize>() < at * 2 {
        let record = next_record(&mut consumer).await;
        seen.entry(record.partition).or_default().push(text(&record));
    }
    assert_eq!(seen[&0], numbered(0..at));
    assert_eq!(seen[&1], numbered(0..at));
    let positions: Vec<i64> = consumer.positions().map(|(_, next)| next).collect();
    assert_eq!(positions, [at as i64, at as i64]);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn an_offset_out_of_range_starts_at_the_start_of_the_log() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    produce(&bus.producer(), &lane, numbered(0..3)).await;
    let lanes = [lane.clone()];
    let beyond = StartAt::Offsets([(lane.clone(), 1_000)].into());
    let mut consumer = LaneConsumer::start(&bus.config, &lanes, beyond).await.unwrap();
    assert_eq!(next_texts(&mut consumer, 3).await, ["0", "1", "2"]);
    assert_eq!(consumer.position(&lane), Some(3));
}

#[tokio::test]
async fn recv_that_is_cancelled_loses_no_record() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    let mut consumer = LaneConsumer::start(&bus.config, std::slice::from_ref(&lane), StartAt::End)
        .await
        .unwrap();
    let producer = bus.producer();
    let sending = produce(&producer, &lane, numbered(0..200));
    let receiving = async {
        let mut seen = Vec::new();
        while seen.len() < 200 {
            tokio::select! {
                biased;
                record = next_record(&mut consumer) => seen.push(text(&record)),
                () = tokio::task::yield_now() => {}
            }
        }
        seen
    };
    let ((), seen) = tokio::join!(sending, receiving);
    assert_eq!(seen, numbered(0..200));
}

#[tokio::test]
async fn an_unknown_topic_is_named_and_stays_unknown() {
    let bus = TestBus::start();
    let topic = unique("nowhere");
    let producer = bus.producer();
    let sent = producer.send(&Message::new(topic.as_str(), "x").partition(0));
    // Refused at once or by the report: either way by its name, not by the message timeout's excuse.
    assert_unknown(refusal(sent).await, &topic, 0);
    assert_eq!(bus::describe(&bus.config, &topic).await.unwrap(), None);
}

#[tokio::test]
async fn a_topic_created_after_it_was_missed_is_used() {
    let bus = TestBus::start();
    let known = bus.topic(1).await;
    let producer = bus.producer();
    producer.warm(&[&known]).await.unwrap();
    let late = unique("late");
    let missed = producer.send(&Message::new(late.as_str(), "x").partition(0));
    assert_unknown(refusal(missed).await, &late, 0);
    bus.create(&late, 1).await;
    let recovered = async {
        loop {
            let sent = producer.send(&Message::new(late.as_str(), "x").partition(0));
            if let Ok(delivery) = sent
                && delivery.await.is_ok()
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, recovered)
        .await
        .expect("the new topic is found");
}

#[tokio::test]
async fn an_unknown_partition_is_named() {
    let bus = TestBus::start();
    let topic = bus.topic(2).await;
    let producer = bus.producer();
    producer.warm(&[&topic]).await.unwrap();
    let sent = producer.send(&Message::new(topic.as_str(), "x").partition(7));
    assert_unknown(refusal(sent).await, &topic, 7);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_by_name() {
    let bus = TestBus::start();
    let topic = bus.topic(1).await;
    let error = bus
        .producer()
        .send(&Message::new(topic.as_str(), vec![0_u8; 2 << 20]))
        .unwrap_err();
    assert_eq!(
        error,
        SendError::TooLarge {
            topic: topic.as_str().into(),
            bytes: 2 << 20,
            queued: false
        }
    );
}

#[tokio::test]
async fn warming_names_the_topics_that_are_missing() {
    let bus = TestBus::start();
    let (there, missing) = (bus.topic(1).await, unique("missing"));
    let error = bus.producer().warm(&[&there, &missing]).await.unwrap_err();
    assert_eq!(error.to_string(), format!("missing topics: {missing}"));
}

#[tokio::test]
async fn a_consumer_of_a_lane_that_does_not_exist_does_not_start() {
    let bus = TestBus::start();
    let topic = bus.topic(1).await;
    let started = LaneConsumer::start(&bus.config, &[Lane::new(topic.as_str(), 9)], StartAt::End).await;
    let error = started.err().expect("no such lane");
    assert_eq!(error.to_string(), format!("reading the offsets of {topic}/9"));
}

#[tokio::test]
async fn flushing_waits_for_every_report() {
    let bus = TestBus::start();
    let lane = Lane::new(bus.topic(1).await, 0);
    let producer = bus.producer();
    let sent: Vec<_> = (0..100)
        .map(|_| {
            producer
                .send(&Message::new(lane.topic.clone(), "x").partition(0))
                .unwrap()
        })
        .collect();
    producer.flush(DEADLINE).await.unwrap();
    assert_eq!(producer.in_flight(), 0);
    for delivery in sent {
        delivery.await.unwrap();
    }
    producer.close(DEADLINE).await.unwrap();
}

/// The error of a record that was refused at once or by its report.
async fn refusal(sent: Result<DeliveryFuture, SendError>) -> SendError {
    match sent {
        Ok(delivery) => tokio::time::timeout(DEADLINE, delivery)
            .await
            .expect("a report in time")
            .unwrap_err(),
        Err(error) => error,
    }
}

fn assert_unknown(error: SendError, topic: &str, partition: i32) {
    let SendError::UnknownTopic {
        topic: named,
        partition: asked,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((&*named, asked), (topic, Some(partition)));
}

/// The partition of a key by the 32-bit MurmurHash2 with Kafka's seed.
fn murmur2_partition(key: &[u8], partitions: i32) -> i32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(key.len()).unwrap();
    let mut chunks = key.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        let tail = rest
            .iter()
            .rev()
            .fold(0_u32, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^= hash >> 15;
    i32::try_from(hash & 0x7fff_ffff).unwrap() % partitions
}
