//! Simulated charge points: many in one process, over real WebSockets. What they see and say is logged so that
//! a checker can compare it with what the gateway claims.
//!
//! Leaves out TLS, and any judgement: the simulator reports, its users assert.

mod answers;
mod charger;
mod config;
mod connection;
mod dial;
mod dice;
mod journal;
pub mod sink;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use charger::Charger;
use connection::Shared;
use dial::Dialer;
use dice::Dice;
use journal::Journal;
use stats::Counters;

pub use config::{AnswerMix, Config, ConfigError};
pub use stats::Stats;

/// How often the ramp starts the chargers that are due.
const RAMP_TICK: Duration = Duration::from_millis(10);

/// A running set of charge points. Dropping it closes them without waiting; [`Simulator::stop`] waits.
#[derive(Debug)]
pub struct Simulator {
    ids: Arc<[String]>,
    counters: Arc<Counters>,
    supervisor: JoinHandle<()>,
    stop: DropGuard,
}

/// Why a simulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log file cannot be opened for appending.
    #[error("cannot open the log")]
    Log(#[source] std::io::Error),
}

impl Simulator {
    /// Starts the charge points of `config` on the current tokio runtime and returns at once.
    ///
    /// # Errors
    /// An unusable configuration or log file.
    pub fn start(config: Config) -> Result<Self, StartError> {
        config.validate()?;
        let journal = config
            .log
            .as_deref()
            .map(Journal::open)
            .transpose()
            .map_err(StartError::Log)?;
        let ids: Arc<[String]> = config.ids().collect();
        let counters = Arc::new(Counters::default());
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            dialer: Dialer::new(&config)?,
            handshakes: Semaphore::new(config.max_connecting),
            journal,
            counters: Arc::clone(&counters),
            stop: stop.clone(),
            clock: connection::Clock::start(),
            config: Arc::new(config),
        });
        let supervisor = tokio::spawn(supervise(shared, Arc::clone(&ids)));
        Ok(Self {
            ids,
            counters,
            supervisor,
            stop: stop.drop_guard(),
        })
    }

    /// The ids of the charge points, in order.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.snapshot()
    }

    /// Waits until at least `count` charge points are connected; whether that came true within `limit`.
    pub async fn wait_connected(&self, count: u64, limit: Duration) -> bool {
        self.wait_until(limit, |stats| stats.connected >= count).await
    }

    /// Waits until the statistics satisfy `condition`; whether they did within `limit`.
    pub async fn wait_until(&self, limit: Duration, condition: impl Fn(&Stats) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        while !condition(&self.stats()) {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    /// Closes every connection with a WebSocket close and waits for their tasks. The log is complete afterwards.
    pub async fn stop(self) -> Stats {
        drop(self.stop);
        if let Err(error) = self.supervisor.await {
            tracing::error!(%error, "the simulator's supervisor ended abnormally");
        }
        self.counters.snapshot()
    }
}

/// Starts the chargers at the pace of the ramp, then waits for all of them. They end only when told to stop.
async fn supervise(shared: Arc<Shared>, ids: Arc<[String]>) {
    let mut chargers = JoinSet::new();
    let mut seeds = Dice::new(shared.config.seed.unwrap_or_else(rand::random));
    let started = Instant::now();
    let mut tick = tokio::time::interval(RAMP_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next = 0;
    while next < ids.len() {
        tokio::select! {
            () = shared.stop.cancelled() => break,
            now = tick.tick() => {
                let due = shared.config.due_by(now - started).min(ids.len());
                for (index, id) in ids.iter().enumerate().take(due).skip(next) {
                    let charger = Charger::new(id.clone(), &shared.config, seeds.fork());
                    chargers.spawn(connection::run(charger, index, Arc::clone(&shared)));
                }
                next = due.max(next);
            }
        }
    }
    while let Some(ended) = chargers.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a charger's task ended abnormally");
        }
    }
}
