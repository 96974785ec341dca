//! How full the outbox gets: Redis is asked each second. A second in which it does not answer is left out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::resp::{Redis, Reply};

/// How often it looks.
const EACH: Duration = Duration::from_secs(1);

/// How many slots a run has, and what their keys begin with: the services' defaults.
const SLOTS: u16 = 64;
const PREFIX: &str = "hf";

/// The most that a slot's outbox takes before commands are refused: the services' default.
pub(super) const BOUND: u64 = 100_000;

/// Looks until it is dropped.
#[derive(Debug)]
pub(super) struct Outbox {
    all: Arc<AtomicU64>,
    slot: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Outbox {
    /// Begins to look.
    pub(super) fn watch(redis: SocketAddr) -> Self {
        let (all, slot) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (most, of_slot) = (Arc::clone(&all), Arc::clone(&slot));
        let task = tokio::spawn(async move {
            let mut ticks = interval(EACH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Ok(lengths) = lengths(redis).await else {
                    continue;
                };
                most.fetch_max(lengths.iter().sum(), Ordering::Relaxed);
                of_slot.fetch_max(lengths.into_iter().max().unwrap_or(0), Ordering::Relaxed);
            }
        });
        Self { all, slot, task }
    }

    /// The most that waited at a time, in all slots and in one.
    pub(super) fn most(&self) -> (u64, u64) {
        (
            self.all.load(Ordering::Relaxed),
            self.slot.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lengths(redis: SocketAddr) -> Result<Vec<u64>> {
    let mut redis = Redis::open(redis).await?;
    let mut lengths = Vec::new();
    for slot in 0..SLOTS {
        let key = format!("{PREFIX}:{{s{slot}}}:out");
        if let Reply::Integer(length) = redis.call(&[b"XLEN", key.as_bytes()]).await? {
            lengths.push(u64::try_from(length).unwrap_or(0));
        }
    }
    Ok(lengths)
}
