//! The audit finds what no operation leaves behind, and derives it again.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod support;

use anyhow::{Context as _, Result};
use domain::command::{Deadline, Request, Status};
use domain::ids::{ChargePointId, CommandId};
use domain::settings::DeliverySettings;
use store::{CommandFilter, Durability, Finding, Store};
use support::{Keeps, Redis, config, samples, until};

/// An open command and a dead letter of one charger.
async fn two_commands(store: &Store, id: &ChargePointId) -> Result<(CommandId, CommandId)> {
    let (open, dead) = (
        samples::request(id, store.slots()),
        Request {
            deadline: Deadline::After(1),
            ..samples::request(id, store.slots())
        },
    );
    store.accept(&open).await?;
    store.accept(&dead).await?;
    until("it expires", async || {
        store.run_due(store.slot_of(id), 10).await.ok()?;
        let command = store.get_command(dead.id).await.ok()?.value?;
        (command.progress.status == Status::Expired).then_some(())
    })
    .await;
    Ok((open.id, dead.id))
}

/// What an audit of the charger and of its slot's timers says.
async fn audit(store: &Store, id: &ChargePointId, mend: bool) -> Result<Vec<String>> {
    let slot = store.slot_of(id);
    let mut findings = store.audit_timers(slot, (0, 100), mend, 0).await?.value.findings;
    findings.extend(store.audit_charger(id, mend).await?.value);
    let mut kinds: Vec<String> = findings.into_iter().map(|f: Finding| f.kind).collect();
    kinds.sort();
    Ok(kinds)
}

#[tokio::test]
async fn damaged_listings_and_a_lost_time_to_live_are_found_and_mended() -> Result<()> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    let config = config(redis.url(), Durability::Relaxed);
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let id = samples::charge_point("CP-1");
    let (_open, dead) = two_commands(&store, &id).await?;
    assert_eq!(
        audit(&store, &id, false).await?,
        Vec::<String>::new(),
        "a sound slot"
    );
    let base = format!("{}:{{s{}}}", config.prefix, store.slot_of(&id));
    redis.cli(&["ZREMRANGEBYRANK", &format!("{base}:all"), "0", "0"])?;
    redis.cli(&["DEL", &format!("{base}:dl")])?;
    redis.cli(&["PERSIST", &format!("{base}:e:{dead}")])?;
    // The first of the two is the open one.
    let damage = ["count", "listing", "listing", "retention"];
    assert_eq!(audit(&store, &id, false).await?, damage);
    assert_eq!(
        audit(&store, &id, false).await?,
        damage,
        "looking changes nothing"
    );
    audit(&store, &id, true).await?;
    assert_eq!(audit(&store, &id, true).await?, Vec::<String>::new());
    let listed = store.list_commands(&CommandFilter::default(), None, 10).await?;
    assert_eq!(listed.commands.len(), 2);
    let letters = store
        .list_dead_letters(&store::DeadLetterFilter::default(), None, 10)
        .await?;
    assert_eq!(letters.dead_letters.len(), 1);
    let ttl = redis.cli(&["PTTL", &format!("{base}:e:{dead}")])?;
    let ttl: i64 = ttl.trim().parse().context(ttl)?;
    assert!(ttl > 0, "it would stay for ever");
    store.close().await;
    Ok(())
}
