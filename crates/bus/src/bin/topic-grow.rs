//! Gives a topic more partitions and prints how many it had and has: `topic-grow --bootstrap host:port --topic T --by 2`.
//! For tests of faults: services never grow a topic by themselves.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bus::BusConfig;
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives a topic more partitions.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Kafka listens.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// How many more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    by: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let known = bus::describe(&BusConfig::at(&arguments.bootstrap), &arguments.topic).await?;
    let from = known.with_context(|| format!("there is no topic {}", arguments.topic))?;
    let to = from + usize::from(arguments.by);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &arguments.bootstrap);
    let admin: AdminClient<DefaultClientContext> = client.create()?;
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let grown = admin
        .create_partitions(&[NewPartitions::new(&arguments.topic, to)], &options)
        .await?;
    if let Some(Err((topic, code))) = grown.into_iter().next() {
        bail!("{topic} does not grow: {code}");
    }
    let line = serde_json::json!({ "topic": arguments.topic, "from": from, "to": to });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
