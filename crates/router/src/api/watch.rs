//! WatchCommand: the present state, then the latest after each change, to the terminal one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chassis::Period;
use domain::ids::CommandId;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wire::gateway::command::v1::WatchCommandResponse;
use wire::map::command::Payload;

use super::get::{parse, read};
use crate::changes::Watcher;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::{InGauge, WATCHES};

/// From one try to the next while the store is away.
const AWAY: Period = Period {
    every: Duration::from_millis(500),
    jitter: 0.5,
};

type Watched = Pin<Box<dyn Stream<Item = Result<WatchCommandResponse, Status>> + Send>>;

/// Streams a command's states until it ended, its caller leaves or `drain` is cancelled.
pub(super) async fn watch(
    engine: &Arc<Engine>,
    id: &str,
    drain: CancellationToken,
) -> Result<Watched, ApiError> {
    let id = parse(id)?;
    // Enters before it reads: what changes after the read wakes.
    let watcher = engine.hub.watch(id);
    let first = read(engine, id).await?;
    let state = State {
        engine: Arc::clone(engine),
        id,
        watcher,
        drain,
        seen: 0,
        first: Some(first),
        ended: false,
        _counted: InGauge::enter(WATCHES),
    };
    Ok(Box::pin(unfold(state, |mut state| async move {
        let item = state.next().await?;
        Some((item, state))
    })))
}

/// One open watch.
struct State {
    engine: Arc<Engine>,
    id: CommandId,
    watcher: Watcher,
    drain: CancellationToken,
    seen: u64,
    first: Option<domain::command::Command>,
    ended: bool,
    _counted: InGauge,
}

impl State {
    /// The next state that was not shown yet; none after the terminal one, or after an error.
    async fn next(&mut self) -> Option<Result<WatchCommandResponse, Status>> {
        while !self.ended {
            let command = match self.read().await {
                Ok(command) => command,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            };
            self.ended = command.progress.status.is_terminal();
            // A store that was rolled back shows lower revisions again: those are news too.
            if command.progress.revision != self.seen {
                self.seen = command.progress.revision;
                let payload = if self.ended {
                    Payload::Hidden
                } else {
                    Payload::Shown
                };
                let shown = wire::map::command::command(&command, payload);
                return Some(Ok(WatchCommandResponse { command: Some(shown) }));
            }
        }
        None
    }

    /// Reads, some watches at a time: after a gap all of them are woken together.
    async fn reading(&self) -> Result<domain::command::Command, ApiError> {
        let _turn = self.engine.watch_reads.acquire().await;
        read(&self.engine, self.id).await
    }

    /// The first state at once, later ones when the watcher is woken. A store that is away is waited for:
    /// the watch promises the end, and its caller has a deadline if it wants one.
    async fn read(&mut self) -> Result<domain::command::Command, ApiError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            tokio::select! {
                () = self.drain.cancelled() => return Err(ApiError::ShuttingDown),
                () = self.watcher.woken() => {}
            }
            match self.reading().await {
                Err(ApiError::Store(error)) if error.is_transient() => {
                    tracing::debug!(command = %self.id, %error, "a watch waits for the store");
                    let pause = tokio::time::sleep(AWAY.next(&mut rand::rng()));
                    self.drain.run_until_cancelled(pause).await;
                    self.watcher.again();
                }
                result => return result,
            }
        }
    }
}
