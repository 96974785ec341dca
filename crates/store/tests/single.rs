//! The store on one Redis: the suite, and what happens when Redis goes away, stalls, restarts, fails over and back,
//! or forgets its scripts.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod suite;
mod support;

use anyhow::{Context as _, Result};
use domain::ids::{Slot, Version};
use domain::settings::DeliverySettings;
use nix::sys::signal::Signal;
use store::{ChangeEvent, Durability, Store, StoreConfig, StoreError, testing};
use support::{Keeps, Redis, config, samples, until};

async fn connect(redis: &Redis) -> Result<Store> {
    let config = StoreConfig {
        command_timeout_ms: 500,
        ..config(redis.url(), Durability::Fsync)
    };
    Ok(Store::connect(config, DeliverySettings::default()).await?)
}

#[tokio::test]
async fn the_suite_holds_on_a_single_redis() -> Result<()> {
    if let Ok(url) = std::env::var("HOLDFAST_TEST_REDIS") {
        return suite::all(|| config(url.clone(), Durability::Fsync)).await;
    }
    let redis = Redis::start(Keeps::Always, &[])?;
    suite::all(|| config(redis.url(), Durability::Fsync)).await
}

#[tokio::test]
async fn a_redis_that_cannot_keep_its_promise_is_refused() -> Result<()> {
    let redis = Redis::start(Keeps::Always, &[])?;
    for wrong in [
        ["appendfsync", "everysec", "always"],
        ["appendonly", "no", "yes"],
        ["maxmemory-policy", "allkeys-lru", "noeviction"],
    ] {
        redis.cli(&["CONFIG", "SET", wrong[0], wrong[1]])?;
        let refused = connect(&redis).await.err().context("accepted")?;
        assert!(refused.to_string().contains(wrong[0]), "{refused}");
        redis.cli(&["CONFIG", "SET", wrong[0], wrong[2]])?;
    }
    connect(&redis).await?.close().await;
    Ok(())
}

#[tokio::test]
async fn an_absent_redis_is_told_and_connected_to_later() -> Result<()> {
    let mut redis = Redis::start(Keeps::Always, &[])?;
    redis.kill();
    let config = StoreConfig {
        connect_timeout_ms: 300,
        ..config(redis.url(), Durability::Fsync)
    };
    let refused = Store::connect(config.clone(), DeliverySettings::default())
        .await
        .err();
    assert!(matches!(refused, Some(StoreError::Connect { .. })), "{refused:?}");
    redis.run()?;
    let config = StoreConfig {
        connect_timeout_ms: 10_000,
        ..config
    };
    Store::connect(config, DeliverySettings::default())
        .await?
        .close()
        .await;
    Ok(())
}

#[tokio::test]
async fn a_crash_is_told_at_once_and_loses_nothing_accepted() -> Result<()> {
    let mut redis = Redis::start(Keeps::Always, &[])?;
    let store = connect(&redis).await?;
    let id = samples::charge_point("CP-1");
    let command = suite::accept(&store, &id).await?;
    let version = suite::register(&store, &id, 1, 1).await?;
    let epoch = store.epoch();
    redis.kill();
    let told = until("the client notices", async || {
        let error = store.get_command(command).await.err()?;
        matches!(error, StoreError::Unavailable { .. }).then_some(error)
    })
    .await;
    assert!(told.is_transient());
    redis.run()?;
    until("the client is back", async || {
        store.get_command(command).await.ok()
    })
    .await;
    assert!(
        store.get_command(command).await?.value.is_some(),
        "an accepted command is gone"
    );
    assert_ne!(store.epoch(), epoch, "a restart is another epoch");
    assert_eq!(
        store.get_connection(&id).await?.value.map(|c| c.device.version),
        Some(version)
    );
    assert!(suite::register(&store, &id, 1, 2).await? > version);
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_lost_subscription_is_told_and_can_be_made_again() -> Result<()> {
    let mut redis = Redis::start(Keeps::Always, &[])?;
    let store = connect(&redis).await?;
    let limit = std::time::Duration::from_secs(20);
    let mut changes = store.subscribe_changes().await?;
    redis.kill();
    let told = tokio::time::timeout(limit, changes.next()).await?;
    assert_eq!(told, None, "a reader must know that it may miss changes");
    changes.close().await;
    redis.run()?;
    let mut changes = until("it is subscribed again", async || {
        store.subscribe_changes().await.ok()
    })
    .await;
    let charge_point = samples::charge_point("CP-2");
    let next = until("the client is back", async || {
        suite::accept(&store, &charge_point).await.ok()
    })
    .await;
    let told = tokio::time::timeout(limit, changes.next()).await?;
    assert!(
        matches!(told, Some(ChangeEvent::Change(c)) if c.id == next),
        "{told:?}"
    );
    changes.close().await;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_stalled_redis_runs_nothing_late() -> Result<()> {
    let redis = Redis::start(Keeps::Always, &[])?;
    let store = connect(&redis).await?;
    let id = samples::charge_point("CP-1");
    suite::register(&store, &id, 1, 1).await?;
    let request = samples::request(&id, store.slots());
    store.accept(&samples::request(&id, store.slots())).await?;
    let before = script_calls(&redis)?;
    redis.signal(Signal::SIGSTOP)?;
    let stalled = store.accept(&request).await.err();
    assert!(
        stalled.as_ref().is_some_and(StoreError::may_have_run),
        "{stalled:?}"
    );
    redis.signal(Signal::SIGCONT)?;
    until("the waiting script was reached", async || {
        script_calls(&redis).ok().filter(|calls| *calls > before)
    })
    .await;
    let found = until("the client is back", async || {
        store.get_command(request.id).await.ok()
    })
    .await;
    assert_eq!(
        found.value, None,
        "it ran although its caller had been told that it failed"
    );
    store.accept(&request).await?;
    store.close().await;
    Ok(())
}

fn script_calls(redis: &Redis) -> Result<u64> {
    let stats = redis.cli(&["INFO", "commandstats"])?;
    let line = stats
        .lines()
        .find_map(|l| l.strip_prefix("cmdstat_evalsha:calls="))
        .context("no scripts ran")?;
    Ok(line.split(',').next().unwrap_or_default().parse()?)
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() -> Result<()> {
    let redis = Redis::start(Keeps::Always, &[])?;
    let store = connect(&redis).await?;
    let epoch = store.epoch();
    for n in 0..3 {
        redis.cli(&["SCRIPT", "FLUSH"])?;
        suite::accept(&store, &samples::charge_point(&format!("CP-{n}"))).await?;
    }
    assert_eq!(store.epoch(), epoch, "forgotten scripts alone are no other epoch");
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn scripts_of_a_former_epoch_do_not_run_after_a_restart() -> Result<()> {
    let mut redis = Redis::start(Keeps::Always, &[])?;
    let (old, other) = (connect(&redis).await?, connect(&redis).await?);
    let id = samples::charge_point("CP-1");
    suite::accept(&old, &id).await?;
    redis.kill();
    redis.run()?;
    // Another service is first to load the same script into the new life.
    until("the other is back", async || {
        suite::accept(&other, &id).await.ok()
    })
    .await;
    let request = samples::request(&id, old.slots());
    until("the first is back", async || old.accept(&request).await.ok()).await;
    let accepted = old.get_command(request.id).await?.value.context("gone")?;
    assert_eq!(
        accepted.epoch,
        other.epoch(),
        "a command was accepted under the former epoch"
    );
    old.close().await;
    other.close().await;
    Ok(())
}

/// The hole: a master that became a replica and then the master again has the same run id, the same role and still
/// knows the scripts of its former life.
#[tokio::test]
async fn a_fail_back_is_another_epoch() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    let master = redis.port.to_string();
    let other = Redis::start(Keeps::Nothing, &["--replicaof", "127.0.0.1", &master])?;
    let config = StoreConfig {
        command_timeout_ms: 500,
        ..config(redis.url(), Durability::Relaxed)
    };
    let store = Store::connect(config, DeliverySettings::default()).await?;
    let id = samples::charge_point("CP-1");
    let mut epochs = std::collections::BTreeSet::new();
    for asks in [true, false] {
        let command = suite::accept(&store, &id).await?;
        epochs.insert(store.epoch());
        follows(&other).await;
        other.cli(&["REPLICAOF", "NO", "ONE"])?;
        redis.cli(&["REPLICAOF", "127.0.0.1", &other.port.to_string()])?;
        follows(&redis).await;
        if !asks {
            let refused = suite::accept(&store, &id)
                .await
                .err()
                .context("a replica accepted")?;
            let refused = refused.downcast_ref();
            assert!(
                matches!(refused, Some(StoreError::Unavailable { .. })),
                "{refused:?}"
            );
        }
        redis.cli(&["REPLICAOF", "NO", "ONE"])?;
        other.cli(&["REPLICAOF", "127.0.0.1", &master])?;
        if asks {
            store.redis_now().await?;
        }
        assert!(store.get_command(command).await?.value.is_some());
        epochs.insert(store.epoch());
    }
    assert_eq!(epochs.len(), 3, "two fail-backs make three epochs: {epochs:?}");
    store.close().await;
    Ok(())
}

/// Waits until a replica follows its master.
async fn follows(replica: &Redis) {
    until("the replica follows", async || {
        replica
            .cli(&["INFO", "replication"])
            .ok()
            .filter(|i| i.contains("master_link_status:up"))
    })
    .await;
}

#[tokio::test]
async fn a_number_with_more_digits_than_a_double_prints_survives() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    let store = Store::connect(
        config(redis.url(), Durability::Relaxed),
        DeliverySettings::default(),
    )
    .await?;
    let id = samples::charge_point("CP-1");
    let mut registration = samples::registration(&id, &samples::pod("edge-1"), 1, 1);
    registration.floor = Version(8_999_999_999_999_999);
    store.register(&registration).await?;
    let version = store
        .get_connection(&id)
        .await?
        .value
        .context("unknown")?
        .device
        .version;
    assert_eq!(version, Version(9_000_000_000_000_000));
    assert_eq!(
        testing::dump(&store, Slot(0), false).await?.expiring,
        Vec::<String>::new()
    );
    store.close().await;
    Ok(())
}

/// During an upgrade the outbox holds entries of the release before, which wrote a field for each value.
#[tokio::test]
async fn an_outbox_entry_of_the_former_release_leaves_as_well() -> Result<()> {
    const AS_BEFORE: &str = "local entry = redis.call('XRANGE', KEYS[1], '-', '+')[1]
        local call = {'XADD', KEYS[1], '2-0'}
        for i, value in ipairs(cmsgpack.unpack(entry[2][2])) do
          call[2 * i + 2], call[2 * i + 3] = 'field', value
        end
        redis.call('XDEL', KEYS[1], entry[1])
        return redis.call(unpack(call))";
    let redis = Redis::start(Keeps::Always, &[])?;
    let config = config(redis.url(), Durability::Fsync);
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let charge_point = samples::charge_point("CP-1");
    let slot = store.slot_of(&charge_point);
    let id = suite::accept(&store, &charge_point).await?;
    let command = store.get_command(id).await?.value.context("gone")?;
    let cancel = samples::event(&command, domain::delivery::EventKind::Cancel);
    store.apply_events(slot, &[cancel]).await?;
    let now = store.drain(slot, "a", 10, 0).await?.value.entries;
    let key = format!("{}:{{s{}}}:out", config.prefix, slot.0);
    assert_eq!(redis.cli(&["EVAL", AS_BEFORE, "1", &key])?.trim(), "2-0");
    let before = store.drain(slot, "a", 10, 0).await?.value.entries;
    assert_eq!((now.len(), now[0].0, before[0].0), (1, 1, 2));
    assert_eq!(before[0].1, now[0].1);
    assert!(!store.trim(slot, "a", &[2], &[]).await?.value, "nothing is left");
    store.close().await;
    Ok(())
}
