//! Redis's own failures are told apart, in errors and in metrics: memory full, disk failing, a script that fails.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use domain::ids::ChargePointId;
use domain::settings::DeliverySettings;
use domain::slot::AcceptReply;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use store::{Durability, Store, StoreError};
use support::{Keeps, Redis, config, samples, until};

async fn accept(store: &Store, id: &ChargePointId) -> Result<(), StoreError> {
    let reply = store.accept(&samples::request(id, store.slots())).await?.value;
    assert!(matches!(reply, AcceptReply::Accepted { .. }), "{reply:?}");
    Ok(())
}

#[tokio::test]
async fn a_full_memory_is_told_and_can_be_drained() -> Result<()> {
    let redis = Redis::start(Keeps::Always, &[])?;
    let store = Store::connect(
        config(redis.url(), Durability::Fsync),
        DeliverySettings::default(),
    )
    .await?;
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let id = samples::charge_point("CP-1");
    accept(&store, &id).await?;
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"])?;
    let refused = accept(&store, &id).await.err().context("accepted")?;
    assert!(matches!(refused, StoreError::OutOfMemory), "{refused:?}");
    assert_eq!(counted.failures(), ["acceptCommand out_of_memory"]);
    assert!(
        store.drain(store.slot_of(&id), "a", 1, 0).await?.value.held,
        "draining frees memory"
    );
    assert_eq!(store.count_slot(store.slot_of(&id)).await?.value.open, 1);
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"])?;
    accept(&store, &id).await?;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_failing_disk_is_told() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &["--save", "3600 1"])?;
    let config = config(redis.url(), Durability::Relaxed);
    let store = Store::connect(config, DeliverySettings::default()).await?;
    let id = samples::charge_point("CP-1");
    accept(&store, &id).await?;
    std::fs::remove_dir_all(redis.folder())?;
    redis.cli(&["BGSAVE"])?;
    until("saving failed", async || {
        redis
            .cli(&["INFO", "persistence"])
            .ok()
            .filter(|i| i.contains("rdb_last_bgsave_status:err"))
    })
    .await;
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let refused = accept(&store, &id).await.err().context("accepted")?;
    assert!(matches!(refused, StoreError::Misconf { .. }), "{refused:?}");
    assert_eq!(counted.failures(), ["acceptCommand misconf"]);
    redis.cli(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"])?;
    accept(&store, &id).await?;
    store.close().await;
    Ok(())
}

/// Foreign data under a key of the store.
#[tokio::test]
async fn a_script_that_fails_is_told_and_changes_nothing_for_others() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    let config = config(redis.url(), Durability::Relaxed);
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let counted = Counted::default();
    let _guard = metrics::set_default_local_recorder(&counted);
    let (broken, fine) = (samples::charge_point("CP-1"), samples::charge_point("CP-2"));
    let key = format!("{}:{{s{}}}:d:{broken}", config.prefix, store.slot_of(&broken));
    redis.cli(&["SET", &key, "foreign"])?;
    let refused = accept(&store, &broken).await.err().context("accepted")?;
    let StoreError::Script { operation, text } = &refused else {
        anyhow::bail!("{refused:?}");
    };
    assert_eq!(*operation, "acceptCommand");
    assert!(text.contains("WRONGTYPE") && !refused.is_transient(), "{text}");
    assert_eq!(counted.failures(), ["acceptCommand script"]);
    accept(&store, &fine).await?;
    assert_eq!(counted.failures().len(), 1);
    store.close().await;
    Ok(())
}

/// A recorder that keeps the counter of failures.
#[derive(Debug, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counted {
    /// Scripts with the kind of their failure, once for each time.
    fn failures(&self) -> Vec<String> {
        let counts = self.0.lock().unwrap();
        let times = |(what, count): (&String, &u64)| vec![what.clone(); usize::try_from(*count).unwrap()];
        counts.iter().flat_map(times).collect()
    }
}

/// One counter of a recorder.
struct One(String, Arc<Mutex<BTreeMap<String, u64>>>);

impl CounterFn for One {
    fn increment(&self, value: u64) {
        *self.1.lock().unwrap().entry(self.0.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        self.1.lock().unwrap().insert(self.0.clone(), value);
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() != store::metrics::ERRORS {
            return Counter::noop();
        }
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        Counter::from_arc(Arc::new(One(labels.join(" "), Arc::clone(&self.0))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
