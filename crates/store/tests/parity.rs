//! The scripts leave Redis exactly as the model leaves its maps: random events through both, the whole slot
//! compared after each. A failing run prints its seed and its events; `HOLDFAST_PARITY_SEED` repeats one.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

#[path = "parity/count.rs"]
mod count;
#[path = "parity/expect.rs"]
mod expect;
#[path = "parity/generate.rs"]
mod generate;
#[path = "parity/mutants.rs"]
mod mutants;
mod support;
#[path = "parity/world.rs"]
mod world;

use std::collections::BTreeMap;

use anyhow::Result;
use domain::ids::Slot;
use domain::settings::DeliverySettings;
use store::{Durability, Store, testing};
use support::{Keeps, Redis};
use world::{Mismatch, World};

const SEQUENCES: u64 = 1_000;
const EVENTS: usize = 50;
const WORKERS: u16 = 8;

/// What must have happened, or the comparison proves nothing.
const INTERESTING: &[(&str, u64)] = &[
    ("accepted", 5_000),
    ("known key", 100),
    ("other content", 100),
    ("queue full", 50),
    ("outbox full", 10),
    ("deadline refused", 50),
    ("registered", 1_000),
    ("old sequence", 50),
    ("newer socket", 5),
    ("kicked", 200),
    ("renewed", 100),
    ("renewal of a former version", 50),
    ("unregistered", 50),
    ("verdict Applied", 2_000),
    ("verdict Repeated", 50),
    ("verdict Noted", 50),
    ("verdict Stale", 500),
    ("verdict Ended", 300),
    ("unknown command", 20),
    ("granted", 100),
    ("lapsed claim", 100),
    ("attempts exhausted", 10),
    ("outcome unknown", 10),
    ("late answer", 20),
    ("stands aside", 5),
    ("backoff", 200),
    ("too late", 200),
    ("claimed", 2_000),
    ("drained", 200),
    ("note sent", 100),
    ("note done", 50),
    ("epoch changed", 100),
    ("held back", 100),
    ("attempt remembered", 200),
    ("dead letter forgotten", 20),
    ("dead letter pushed out", 20),
    ("dead letter read", 50),
    ("replayed", 100),
    ("replayed before", 50),
    ("replay not accepted", 20),
    ("replay of nothing", 20),
    ("replay of what is no dead letter", 20),
    ("unsafe replay", 20),
    ("purged", 50),
    ("overtaken", 100),
    ("turn of the longest waiting", 20),
    ("another charger's", 50),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_and_model_agree_after_every_event() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    let config = support::config(redis.url(), Durability::Relaxed);
    let store = testing::connect(config, settings(), |prelude| prelude).await?;
    let first = std::env::var("HOLDFAST_PARITY_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let seeds = first.map_or(0..SEQUENCES, |seed: u64| seed..seed + 1);
    let counts = run(&store, seeds.clone())
        .await
        .map_err(|m| anyhow::anyhow!("{m}"))?;
    store.close().await;
    if seeds.end - seeds.start == SEQUENCES {
        for (what, least) in INTERESTING {
            let count = counts.get(what).copied().unwrap_or(0);
            assert!(
                count >= *least,
                "{what:?} happened {count} times only: {counts:?}"
            );
        }
    }
    Ok(())
}

/// Bounds that random events reach.
fn settings() -> DeliverySettings {
    DeliverySettings {
        max_open_per_charger: 4,
        max_outbox: 9,
        max_overtakes: 1,
        grant_us: 1_000_000,
        pod_lease_us: 3_000_000,
        retention_us: 120_000_000,
        dead_letter_retention_us: 200_000_000,
        max_dead_letters: 4,
        ..DeliverySettings::default()
    }
}

/// Runs sequences, some at a time, each in a slot that no other has meanwhile.
async fn run(store: &Store, seeds: std::ops::Range<u64>) -> Result<Counts, Box<Mismatch>> {
    let tasks: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (store, seeds) = (store.clone(), seeds.clone());
            let own = seeds.filter(move |s| s % u64::from(WORKERS) == u64::from(worker));
            tokio::spawn(async move {
                let mut counts = Counts::new();
                for seed in own {
                    let world = World::new(&store, Slot(worker), seed);
                    for (what, count) in world.run(EVENTS).await? {
                        *counts.entry(what).or_default() += count;
                    }
                }
                Ok::<_, Box<Mismatch>>(counts)
            })
        })
        .collect();
    let mut counts = Counts::new();
    for task in tasks {
        let own = task
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?;
        for (what, count) in own {
            *counts.entry(what).or_default() += count;
        }
    }
    Ok(counts)
}

type Counts = BTreeMap<&'static str, u64>;
