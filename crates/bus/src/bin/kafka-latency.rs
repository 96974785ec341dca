//! How long a record takes from `send` to `recv`: `kafka-latency --bootstrap host:port --topic name`, one
//! JSON object: {"micros": [...]}, one number a record, in the order of sending.
//!
//! One record is under way at a time, with the producer and the consumer that the services use. It judges
//! nothing and computes nothing: times belong to the machine they were taken on, percentiles to the reader. It
//! makes no topic, and its records mean nothing to whoever reads that topic.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bus::{BusConfig, Event, Lane, LaneConsumer, Message, Producer, StartAt};
use clap::Parser;

/// The size of a record, about that of a command.
const RECORD_BYTES: usize = 300;

/// Records that bring connections and caches up to temperature and are not counted.
const WARM_UP: usize = 100;

/// How long one record may take before the broker counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures produce to consume.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Kafka listens.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// The topic to write to; its partition 0 is used.
    #[arg(long)]
    topic: String,
    /// How many records are counted.
    #[arg(long, default_value_t = 1_000)]
    records: usize,
    /// How long the broker may hold a fetch that has nothing to give.
    #[arg(long)]
    fetch_wait_ms: Option<u64>,
    /// Records a second; without it each goes as soon as the one before it arrived. A part that rests between
    /// two records needs time to wake, so a rate is only comparable with the same rate.
    #[arg(long)]
    rate: Option<u32>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut config = BusConfig::at(&arguments.bootstrap);
    config.fetch_wait_max_ms = arguments.fetch_wait_ms.unwrap_or(config.fetch_wait_max_ms);
    let micros = round_trips(&config, &arguments).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::json!({ "micros": micros }))?;
    out.flush().context("cannot write to standard output")
}

/// One record at a time, from `send` to `recv`, in microseconds.
async fn round_trips(config: &BusConfig, arguments: &Arguments) -> anyhow::Result<Vec<u64>> {
    let (topic, records) = (arguments.topic.as_str(), arguments.records);
    let pause = arguments
        .rate
        .map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
    let producer = Producer::new(config)?;
    producer.warm(&[topic]).await?;
    let mut consumer = LaneConsumer::start(config, &[Lane::new(topic, 0)], StartAt::End).await?;
    let mut micros = Vec::with_capacity(records);
    for number in 0..records + WARM_UP {
        let begun = Instant::now();
        let sent = producer.send(&Message::new(topic, vec![0_u8; RECORD_BYTES]).partition(0))?;
        let arrival = async { while !matches!(consumer.recv().await, Event::Record(_)) {} };
        tokio::time::timeout(PATIENCE, arrival)
            .await
            .context("a record did not arrive")?;
        if number >= WARM_UP {
            micros.push(u64::try_from(begun.elapsed().as_micros())?);
        }
        sent.await?;
        if number >= WARM_UP {
            tokio::time::sleep(pause.saturating_sub(begun.elapsed())).await;
        }
    }
    consumer.close().await?;
    producer.close(Duration::from_secs(5)).await.context("closing")?;
    Ok(micros)
}
