//! Puts one record, given in hexadecimal, into a partition of a topic and prints where it lies:
//! `topic-put --bootstrap host:port --topic T --partition 3 --hex ff00`. For tests of faults, which put there what
//! nobody can read.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use bus::{BusConfig, Message, Producer};
use clap::Parser;

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts one record into a partition.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Kafka listens.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// The partition.
    #[arg(long)]
    partition: i32,
    /// The record's payload.
    #[arg(long)]
    hex: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let producer = Producer::new(&BusConfig::at(&arguments.bootstrap))?;
    let message =
        Message::new(arguments.topic.as_str(), bytes(&arguments.hex)?).partition(arguments.partition);
    let delivered = producer
        .send(&message)?
        .await
        .context("the record was not taken")?;
    producer.close(PATIENCE).await?;
    let line = serde_json::json!({
        "topic": arguments.topic, "partition": delivered.partition, "offset": delivered.offset,
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    let byte = |at: usize| hex.get(2 * at..2 * at + 2).map(|two| u8::from_str_radix(two, 16));
    let bytes: Option<Result<Vec<u8>, _>> = (0..hex.len().div_ceil(2)).map(byte).collect();
    bytes
        .context("a digit is missing")?
        .context("the payload is no hexadecimal text")
}
