//! Prints a topic as it grows: `topic-tail --bootstrap host:port --topic command-results`, one JSON object a
//! record: {"partition", "offset", "key", "payload"}, the payload in hexadecimal, since the bus knows no records.
//!
//! For demonstrations and checks. It reads all partitions from the start, commits nothing, and ends on SIGTERM,
//! SIGINT or, if asked, when its standard input closes.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use bus::{BusConfig, Event, Lane, LaneConsumer, Record, StartAt};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Prints the records of a topic, from the first on.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where Kafka listens.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: String,
    /// The topic.
    #[arg(long)]
    topic: String,
    /// End when standard input closes: a parent that dies takes this with it.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let closed = stdin_close(arguments.exit_on_stdin_close)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = closed => Ok(()),
        ended = tail(&arguments) => ended,
    }
}

async fn tail(arguments: &Arguments) -> anyhow::Result<()> {
    let mut config = BusConfig::at(&arguments.bootstrap);
    config.fetch_wait_max_ms = 5;
    let partitions = loop {
        match bus::describe(&config, &arguments.topic).await {
            Ok(Some(partitions)) => break partitions,
            // The topic or the broker may be on its way.
            Ok(None) | Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let count = i32::try_from(partitions).context("counting partitions")?;
    let lanes: Vec<Lane> = (0..count)
        .map(|n| Lane::new(arguments.topic.as_str(), n))
        .collect();
    let mut consumer = LaneConsumer::start(&config, &lanes, StartAt::Beginning).await?;
    loop {
        if let Event::Record(record) = consumer.recv().await {
            print(&record)?;
        }
    }
}

fn print(record: &Record) -> anyhow::Result<()> {
    let mut payload = String::with_capacity(record.payload.len() * 2);
    for byte in &record.payload {
        write!(payload, "{byte:02x}")?;
    }
    let key = record.key.as_deref().map(String::from_utf8_lossy);
    let line = serde_json::json!({
        "partition": record.partition, "offset": record.offset, "key": key, "payload": payload,
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Resolves when standard input closes, never if that is not asked for.
fn stdin_close(asked: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let (sender, closed) = oneshot::channel::<()>();
    if asked {
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut sink = [0; 256];
                while std::io::stdin().read(&mut sink).is_ok_and(|read| read > 0) {}
                drop(sender);
            })?;
        return Ok(closing(Some(closed)));
    }
    Ok(closing(None))
}

async fn closing(closed: Option<oneshot::Receiver<()>>) {
    match closed {
        Some(closed) => drop(closed.await),
        None => std::future::pending().await,
    }
}
