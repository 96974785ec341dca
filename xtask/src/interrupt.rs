//! Ctrl-C and SIGTERM: the first asks the command to end in order, a second ends it at once.
//!
//! Even the second leaves nothing behind: dropping a command drops its supervisor, whose guards clean up.

use std::future::Future;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Resolves once the user wants the command to end.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<u32>);

impl Interrupt {
    /// Takes the signals over; to be called once, within the runtime.
    pub fn install() -> Result<Self> {
        let mut signals = Vec::new();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            signals.push(signal(kind).context("taking over a signal")?);
        }
        let (sender, receiver) = watch::channel(0);
        for stream in signals {
            tokio::spawn(count(stream, sender.clone()));
        }
        Ok(Self(receiver))
    }

    /// Waits for the first signal.
    pub async fn requested(&self) {
        self.reached(1).await;
    }

    /// An error if the user wants the command to end.
    pub fn check(&self) -> Result<()> {
        if *self.0.borrow() > 0 {
            bail!(Interrupted);
        }
        Ok(())
    }

    /// Runs a command that has nothing to say at its end: the first signal drops it.
    pub async fn ends<T>(&self, command: impl Future<Output = Result<T>>) -> Result<T> {
        self.at(1, command).await
    }

    /// Runs a command that handles the first signal itself: the second one drops it.
    pub async fn second_ends<T>(&self, command: impl Future<Output = Result<T>>) -> Result<T> {
        self.at(2, command).await
    }

    async fn at<T>(&self, signals: u32, command: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            outcome = command => outcome,
            () = self.reached(signals) => bail!(Interrupted),
        }
    }

    async fn reached(&self, signals: u32) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|count| *count >= signals).await.is_err() {
            // The counting tasks live as long as the runtime; without them nothing can interrupt.
            std::future::pending::<()>().await;
        }
    }
}

/// The error of a command that was interrupted.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

async fn count(mut stream: Signal, sender: watch::Sender<u32>) {
    while stream.recv().await.is_some() {
        sender.send_modify(|count| *count += 1);
    }
}
