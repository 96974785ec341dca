//! How long from `send` to `recv`, and what the first record costs: `cargo run -p bus --example latency [host:port]`.
//!
//! Without an address it measures the embedded broker. It prints one table and judges nothing: absolute times
//! belong to the machine they were taken on.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bus::{
    BusConfig, EmbeddedBroker, Event, Lane, LaneConsumer, Message, Producer, StartAt, TopicSpec,
    ensure_topics,
};

const RECORDS: usize = 2_000;
const BURST: usize = 20_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1);
    let topic = format!("latency-{}", uuid::Uuid::now_v7().simple());
    if let Some(address) = address {
        let config = BusConfig::at(address);
        ensure_topics(&config, &[TopicSpec::new(&topic, 1).replication(1)]).await?;
        return report("Kafka", &config, &topic).await;
    }
    let broker = EmbeddedBroker::start(&[(&topic, 1)])?;
    for fetch_wait_max_ms in [1, 5] {
        let config = BusConfig {
            fetch_wait_max_ms,
            ..broker.config()
        };
        report(
            &format!("embedded, fetch wait {fetch_wait_max_ms} ms"),
            &config,
            &topic,
        )
        .await?;
    }
    Ok(())
}

/// Measures and prints one row.
#[allow(
    clippy::print_stdout,
    reason = "a table on standard output is what this program is for"
)]
async fn report(what: &str, config: &BusConfig, topic: &str) -> anyhow::Result<()> {
    let cold = first_record(config, topic, false).await?;
    let warmed = first_record(config, topic, true).await?;
    let mut times = round_trips(config, topic).await?;
    times.sort();
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    let rate = burst(config, topic).await?;
    println!(
        "{what}: first record cold {cold:?}, warmed {warmed:?}; produce to consume p50 {:?}, p99 {:?}; \
         {rate:.0} records/s confirmed in a burst",
        at(50),
        at(99)
    );
    Ok(())
}

/// The time of a producer's first record.
async fn first_record(config: &BusConfig, topic: &str, warm: bool) -> anyhow::Result<Duration> {
    let producer = Producer::new(config)?;
    if warm {
        producer.warm(&[topic]).await?;
    }
    let begun = Instant::now();
    producer.send(&Message::new(topic, "first"))?.await?;
    Ok(begun.elapsed())
}

/// One record at a time, from `send` to `recv`.
async fn round_trips(config: &BusConfig, topic: &str) -> anyhow::Result<Vec<Duration>> {
    let producer = Producer::new(config)?;
    producer.warm(&[topic]).await?;
    let mut consumer = LaneConsumer::start(config, &[Lane::new(topic, 0)], StartAt::End).await?;
    let mut times = Vec::with_capacity(RECORDS);
    for n in 0..RECORDS + 100 {
        let begun = Instant::now();
        let sent = producer.send(&Message::new(topic, vec![0_u8; 300]).partition(0))?;
        while !matches!(consumer.recv().await, Event::Record(_)) {}
        // The first hundred bring connections and caches up to temperature.
        if n >= 100 {
            times.push(begun.elapsed());
        }
        sent.await?;
    }
    consumer.close().await?;
    producer.close(Duration::from_secs(5)).await.context("closing")?;
    Ok(times)
}

/// Confirmed records a second when nobody waits for single ones.
async fn burst(config: &BusConfig, topic: &str) -> anyhow::Result<f64> {
    let producer = Producer::new(config)?;
    producer.warm(&[topic]).await?;
    let begun = Instant::now();
    let sent: Vec<_> = (0..BURST)
        .map(|_| producer.send(&Message::new(topic, vec![0_u8; 300])))
        .collect::<Result<_, _>>()?;
    for delivery in sent {
        delivery.await?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(f64::from(u32::try_from(BURST)?) / seconds)
}
