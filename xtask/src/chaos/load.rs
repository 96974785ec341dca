//! The platform of a run: sends commands of every class and priority through both routers, repeats what failed with the
//! same key, sends some twice, cancels some, reuses some keys for something else, and writes all of it down.
//!
//! The seed decides what is sent; when a call is answered and repeated is the run's own business.

mod calls;
mod mix;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::chronicle::Chronicle;
use super::dice::Dice;
use calls::{Caller, Clients};
use mix::Mix;

pub(super) use calls::{final_reads, open_commands};

/// Calls under way at a time; a tick beyond that sends nothing.
const AT_A_TIME: usize = 400;

/// What the sender and the run share.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The client's history.
    pub(super) chronicle: Chronicle,
    accepted: Mutex<BTreeSet<String>>,
}

impl Ledger {
    /// An empty one.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            chronicle: Chronicle::open(folder, "client")?,
            accepted: Mutex::default(),
        })
    }

    /// The commands that were accepted.
    pub(super) fn accepted(&self) -> BTreeSet<String> {
        self.lock().clone()
    }

    /// How many commands were accepted.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn accept(&self, id: String) {
        self.lock().insert(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is sent where.
#[derive(Debug)]
pub(super) struct Load {
    /// The routers.
    pub(super) routers: Vec<SocketAddr>,
    /// The chargers that connect.
    pub(super) chargers: Vec<String>,
    /// Commands a second.
    pub(super) rate: u64,
    /// What it is drawn from.
    pub(super) seed: u64,
}

impl Load {
    /// Sends until `stop` resolves, then waits for the calls under way.
    pub(super) async fn run(self, ledger: Arc<Ledger>, stop: oneshot::Receiver<()>) -> Result<()> {
        let caller = Arc::new(Caller::new(Clients::new(&self.routers)?, ledger));
        let mut mix = Mix::new(Dice::new(self.seed).fork(2), self.chargers);
        let mut calls = JoinSet::new();
        let mut tick =
            tokio::time::interval(Duration::from_secs(1) / u32::try_from(self.rate).unwrap_or(1).max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tokio::pin!(stop);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                _ = tick.tick() => {
                    for order in mix.next_orders() {
                        if calls.len() < AT_A_TIME {
                            calls.spawn(Arc::clone(&caller).fulfil(order));
                        }
                    }
                }
                Some(done) = calls.join_next() => done.context("a sender ended abnormally")??,
            }
        }
        while let Some(done) = calls.join_next().await {
            done.context("a sender ended abnormally")??;
        }
        Ok(())
    }
}
