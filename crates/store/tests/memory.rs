//! What a command costs in Redis's memory, open and retained, everything counted that exists because of it:
//! its keys, its place in every index, its idempotency key, and the growth of Redis's own tables.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod support;

use anyhow::{Context as _, Result};
use domain::command::{Command, Request};
use domain::delivery::EventKind;
use domain::ids::{ChargePointId, Slot};
use domain::settings::DeliverySettings;
use domain::slot::AcceptReply;
use store::{Durability, Store, StoreConfig};
use support::{Keeps, Redis, config, samples};

/// Chargers, and commands of each: what a command costs must not depend on how they are spread.
const SPREADS: [(usize, usize); 3] = [(4_000, 1), (1_000, 4), (250, 16)];

/// The bars, in bytes a command.
const OPEN: u64 = 1_024;
const RETAINED: u64 = 720;

#[tokio::test]
async fn an_open_command_costs_a_kilobyte_at_most_and_a_retained_one_720_bytes() -> Result<()> {
    for (count, each) in SPREADS {
        let (open, retained) = measured(count, each).await?;
        let spread = format!("{count} chargers with {each} commands each: {open} open, {retained} retained");
        assert!(open <= OPEN && retained <= RETAINED, "{spread}");
        assert!(
            retained >= 200,
            "{spread} cannot be all of it: nothing was measured"
        );
    }
    Ok(())
}

/// Bytes that a command costs beyond its payload while it is open, and after it was answered.
async fn measured(count: usize, each: usize) -> Result<(u64, u64)> {
    let redis = Redis::start(Keeps::Nothing, &[])?;
    // The prefix of a deployment; the server is this test's own.
    let config = StoreConfig {
        prefix: "hf".to_owned(),
        slots: 64,
        ..config(redis.url(), Durability::Relaxed)
    };
    let store = Store::connect(config, DeliverySettings::default()).await?;
    let chargers = connected(&store, count).await?;
    let before = used(&redis)?;
    let mut payloads = 0;
    let mut claimed = Vec::new();
    for n in 0..each {
        for charger in &chargers {
            let request = request(charger, &store, n);
            payloads += request.payload.len() as u64;
            claimed.extend(accept(&store, &request).await?);
        }
    }
    let commands = (count * each) as u64;
    let open = (used(&redis)? - before - payloads) / commands;
    answer_all(&store, claimed).await?;
    let retained = (used(&redis)? - before) / commands;
    store.close().await;
    Ok((open, retained))
}

/// Chargers that are connected and have had a command before, of which nothing but their record is left.
async fn connected(store: &Store, count: usize) -> Result<Vec<ChargePointId>> {
    let pod = samples::pod("edge-7f9c-x2");
    let chargers: Vec<_> = (0..count)
        .map(|n| samples::charge_point(&format!("EVB-P{n:07}")))
        .collect();
    for charger in &chargers {
        store
            .register(&samples::registration(charger, &pod, 1_800_000_000_000_000, 1))
            .await?;
    }
    // Every script is loaded before anything is measured.
    let warm = samples::charge_point("WARM");
    store
        .register(&samples::registration(&warm, &pod, 1_800_000_000_000_000, 1))
        .await?;
    let first = accept(store, &request(&warm, store, 0)).await?;
    answer_all(store, first).await?;
    Ok(chargers)
}

fn request(charger: &ChargePointId, store: &Store, n: usize) -> Request {
    let key = format!("3f0e6c1a-7d52-4b8e-9f6b-{n:04x}5a7c1d2e");
    Request {
        payload: format!(
            r#"{{"key":"HeartbeatInterval","value":"{n}","padding":"{}"}}"#,
            "x".repeat(60)
        ),
        idempotency: samples::key(&key, "0123456789abcdef0123456789abcdef"),
        ..samples::request(charger, store.slots())
    }
}

async fn accept(store: &Store, request: &Request) -> Result<Vec<Command>> {
    match store.accept(request).await?.value {
        AcceptReply::Accepted { claimed, .. } => Ok(claimed.into_iter().map(|c| c.command).collect()),
        other => anyhow::bail!("not accepted: {other:?}"),
    }
}

/// Answers what was claimed and what each answer claims in turn, and lets the results leave.
async fn answer_all(store: &Store, mut claimed: Vec<Command>) -> Result<()> {
    while let Some(command) = claimed.pop() {
        let slot = store.slot_of(&command.request.charge_point);
        let answer = samples::event(&command, EventKind::Answer);
        let applied = store.apply_events(slot, &[answer]).await?.value;
        let next = applied.into_iter().flat_map(|a| a.claimed);
        claimed.extend(next.map(|c| c.command));
    }
    for slot in store.all_slots() {
        leave(store, slot).await?;
    }
    Ok(())
}

async fn leave(store: &Store, slot: Slot) -> Result<()> {
    loop {
        let drained = store.drain(slot, "a", 500, 0).await?.value;
        let numbers: Vec<u64> = drained.entries.iter().map(|(n, _)| *n).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        store.trim(slot, "a", &numbers, &[]).await?;
    }
}

/// Redis's memory without the buffers of its clients.
fn used(redis: &Redis) -> Result<u64> {
    let info = redis.cli(&["INFO", "memory"])?;
    let field = |name: &str| -> Result<u64> {
        let line = info
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
            .with_context(|| format!("INFO has no {name}"))?;
        Ok(line.trim().parse()?)
    };
    Ok(field("used_memory")? - field("mem_clients_normal")?)
}
