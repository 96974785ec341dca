//! The embedded broker as a process: `embedded-broker --topic commands:8 --ready-file ready.json`.
//!
//! For demonstrations and tests without an installed Kafka. It makes the topics it is told to, says where it
//! listens in the ready file, and ends on SIGTERM, SIGINT or, if asked, when its standard input closes. Nothing
//! survives its end.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bus::EmbeddedBroker;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// A volatile Kafka broker for tests and demonstrations.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// A topic and its partitions; may be repeated.
    #[arg(long = "topic", value_name = "NAME:PARTITIONS", value_parser = topic)]
    topics: Vec<(String, i32)>,
    /// Written, whole or not at all, when clients can connect: {"bootstrap": "127.0.0.1:port", "pid": …}.
    #[arg(long, value_name = "PATH")]
    ready_file: PathBuf,
    /// End when standard input closes: a parent that dies takes the broker with it.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let topics: Vec<(&str, i32)> = arguments
        .topics
        .iter()
        .map(|(name, count)| (name.as_str(), *count))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Signals first: one that arrives while the broker starts must not be lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stdin_closed = stdin_close(arguments.exit_on_stdin_close)?;
        let broker = EmbeddedBroker::start(&topics)?;
        announce(&arguments.ready_file, broker.bootstrap())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_closed => {}
        }
        drop(broker);
        Ok(())
    })
}

/// Reads `name:partitions`.
fn topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.rsplit_once(':').ok_or("expected NAME:PARTITIONS")?;
    let partitions: i32 = partitions
        .parse()
        .map_err(|error| format!("{partitions}: {error}"))?;
    if name.is_empty() || partitions < 1 {
        return Err("expected a name and at least one partition".to_owned());
    }
    Ok((name.to_owned(), partitions))
}

/// Writes the ready file beside its place and renames it, so that nobody reads half of it.
fn announce(path: &Path, bootstrap: &str) -> anyhow::Result<()> {
    let ready = serde_json::json!({ "bootstrap": bootstrap, "pid": std::process::id() });
    let mut partial = path.to_path_buf().into_os_string();
    partial.push(".partial");
    std::fs::write(&partial, format!("{ready}\n")).with_context(|| format!("writing {}", path.display()))?;
    std::fs::rename(&partial, path).with_context(|| format!("renaming to {}", path.display()))
}

/// Resolves when standard input ends, or never if that is not asked for. The reading thread is left to the
/// process's end: a blocked read cannot be cancelled.
fn stdin_close(wanted: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let (closed, end) = oneshot::channel();
    if wanted {
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                let mut discarded = [0_u8; 256];
                while matches!(std::io::stdin().lock().read(&mut discarded), Ok(count) if count > 0) {}
                // Nobody waits any more when a signal came first.
                let _ = closed.send(());
            })?;
        return Ok(wait(Some(end)));
    }
    Ok(wait(None))
}

/// Resolves with the channel; without one, never.
async fn wait(end: Option<oneshot::Receiver<()>>) {
    match end {
        // Whether it was told so or the thread went away: there is no input any more.
        Some(end) => _ = end.await,
        None => std::future::pending().await,
    }
}
