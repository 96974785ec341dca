//! The store on a Redis Cluster of three masters: the suite, and the loss of one master.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod suite;
mod support;

use anyhow::{Context as _, Result};
use domain::ids::{ChargePointId, CommandId};
use domain::settings::DeliverySettings;
use store::{Durability, Store, StoreConfig, StoreError};
use support::cluster::Cluster;
use support::{config, samples, until};

#[tokio::test]
async fn the_suite_holds_on_a_cluster() -> Result<()> {
    if let Ok(hosts) = std::env::var("HOLDFAST_TEST_REDIS_CLUSTER") {
        let url = format!("redis-cluster://{hosts}");
        return suite::all(|| config(url.clone(), Durability::Fsync)).await;
    }
    let cluster = Cluster::start()?;
    suite::all(|| config(cluster.url(), Durability::Fsync)).await
}

/// A charger of every node, with a command.
async fn one_a_node(
    store: &Store,
    cluster: &Cluster,
    prefix: &str,
) -> Result<Vec<(ChargePointId, CommandId)>> {
    let mut found: Vec<Option<(ChargePointId, CommandId)>> = vec![None; cluster.nodes.len()];
    for n in 0..500 {
        let id = samples::charge_point(&format!("CP-{n}"));
        let node = cluster.holder(&format!("{prefix}:{{s{}}}", store.slot_of(&id)))?;
        if found[node].is_none() {
            let command = suite::accept(store, &id).await?;
            found[node] = Some((id, command));
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    found
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .context("a node holds no slot")
}

#[tokio::test]
async fn a_lost_master_takes_only_its_own_slots_and_loses_nothing() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let config = StoreConfig {
        command_timeout_ms: 1_000,
        ..config(cluster.url(), Durability::Fsync)
    };
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let chargers = one_a_node(&store, &cluster, &config.prefix).await?;
    let epoch = store.epoch();
    cluster.nodes[1].kill();
    for _ in 0..3 {
        only_the_lost_one_fails(&store, &chargers).await?;
    }
    cluster.nodes[1].run()?;
    for (id, command) in &chargers {
        until("the master is back", async || {
            suite::accept(&store, id).await.ok()
        })
        .await;
        assert!(
            store.get_command(*command).await?.value.is_some(),
            "an accepted command is gone"
        );
    }
    assert_ne!(store.epoch(), epoch, "a restarted master is another epoch");
    store.close().await;
    Ok(())
}

/// The second of three masters is away.
async fn only_the_lost_one_fails(store: &Store, chargers: &[(ChargePointId, CommandId)]) -> Result<()> {
    let lost = store
        .accept(&samples::request(&chargers[1].0, store.slots()))
        .await
        .err();
    assert!(lost.as_ref().is_some_and(StoreError::is_transient), "{lost:?}");
    for node in [0, 2] {
        let (id, command) = &chargers[node];
        suite::accept(store, id)
            .await
            .with_context(|| format!("node {node}"))?;
        assert!(
            store.get_command(*command).await?.value.is_some(),
            "node {node} has lost its command"
        );
    }
    Ok(())
}
