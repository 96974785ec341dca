//! The barrier under `replicated`: while the replica stands still, what must wait for it fails, and what need not
//! goes on.

#![allow(
    clippy::unwrap_used,
    reason = "what a test's helper cannot do is the test's failure"
)]

mod support;

use anyhow::Result;
use domain::delivery::{Event, EventKind};
use domain::dispatch::Consumes;
use domain::ids::{ChargePointId, CommandId, Incarnation, Nonce, Version};
use domain::settings::DeliverySettings;
use domain::slot::{AcceptReply, EventInput, RegisterReply};
use nix::sys::signal::Signal;
use store::{
    CommandFilter, DeadLetterFilter, Durability, Held, Mark, Store, StoreConfig, StoreError, Taking,
};
use support::{Keeps, Redis, config, samples, until};

async fn accept(store: &Store, id: &ChargePointId) -> Result<CommandId, StoreError> {
    let request = samples::request(id, store.slots());
    let reply = store.accept(&request).await?.value;
    assert!(matches!(reply, AcceptReply::Accepted { .. }), "{reply:?}");
    Ok(request.id)
}

#[tokio::test]
async fn the_barrier_waits_for_replicas_and_counts_them() -> Result<()> {
    let (redis, replica) = replicated().await?;
    // A script's first use waits twice, since Redis has to be told it in between: far below the call's own limit.
    let config = StoreConfig {
        wait_timeout_ms: 300,
        ..config(redis.url(), Durability::Replicated)
    };
    let store = Store::connect(config, DeliverySettings::default()).await?;
    let id = samples::charge_point("CP-1");
    let command = until("the replica confirms", async || accept(&store, &id).await.ok()).await;
    replica.signal(Signal::SIGSTOP)?;
    let refused = accept(&store, &id).await.err();
    let barrier = matches!(
        refused,
        Some(StoreError::Barrier {
            wanted: 1,
            got: 0,
            ..
        })
    );
    assert!(barrier, "{refused:?}");
    let read = store.get_command(command).await.err();
    assert!(
        matches!(read, Some(StoreError::Barrier { .. })),
        "a read passes the barrier too: {read:?}"
    );
    replica.signal(Signal::SIGCONT)?;
    until("the replica follows again", async || {
        store.get_command(command).await.ok()
    })
    .await;
    until("the replica confirms", async || accept(&store, &id).await.ok()).await;
    store.close().await;
    Ok(())
}

/// A master that needs one replica, and that replica.
async fn replicated() -> Result<(Redis, Redis)> {
    let args = [
        "--min-replicas-to-write",
        "1",
        "--min-replicas-max-lag",
        "120",
        "--repl-diskless-sync-delay",
        "0",
    ];
    let redis = Redis::start(Keeps::Nothing, &args)?;
    let port = redis.port.to_string();
    let replica = Redis::start(Keeps::Nothing, &["--replicaof", "127.0.0.1", &port])?;
    until("the replica is in step", async || {
        redis
            .cli(&["INFO", "replication"])
            .ok()
            .filter(|i| i.contains("state=online"))
    })
    .await;
    Ok((redis, replica))
}

/// What a call came to.
fn came_to<T>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Ok(done) => {
            drop(done);
            "done"
        }
        Err(StoreError::Barrier { .. }) => "waited in vain",
        Err(other) => other.kind(),
    }
}

#[tokio::test]
async fn what_must_be_durable_waits_for_the_replica_and_nothing_else_does() -> Result<()> {
    let (redis, replica) = replicated().await?;
    let config = StoreConfig {
        wait_timeout_ms: 150,
        ..config(redis.url(), Durability::Replicated)
    };
    let store = Store::connect(config, DeliverySettings::default()).await?;
    let id = samples::charge_point("CP-1");
    let command = until("the replica confirms", async || accept(&store, &id).await.ok()).await;
    let pod = samples::pod("edge-1");
    let RegisterReply::Registered { version, .. } = store
        .register(&samples::registration(&id, &pod, 1, 1))
        .await?
        .value
    else {
        anyhow::bail!("refused");
    };
    replica.signal(Signal::SIGSTOP)?;
    let mut waits = must_wait(&store, &id, command, version).await;
    waits.extend(reads_wait(&store, &id, command).await);
    let goes_on = need_not_wait(&store, &id, version).await;
    replica.signal(Signal::SIGCONT)?;
    store.close().await;
    for (call, outcome) in waits {
        assert_eq!(outcome, "waited in vain", "{call}");
    }
    for (call, outcome) in goes_on {
        assert_eq!(outcome, "done", "{call}");
    }
    Ok(())
}

type Outcomes = Vec<(&'static str, &'static str)>;

/// Acceptance, claims, ends, what leaves, and lives of pods. Most change nothing here: a reply that rests on an
/// earlier write waits as well.
async fn must_wait(store: &Store, id: &ChargePointId, command: CommandId, version: Version) -> Outcomes {
    let (pod, slot) = (samples::pod("edge-1"), store.slot_of(id));
    let held = Held {
        charge_point: id.clone(),
        pod: pod.clone(),
        incarnation: Incarnation(1),
        version,
    };
    let taking = Taking {
        link: None,
        pod: pod.clone(),
        last_own: Incarnation(0),
        process: Nonce(1),
        consumes: Consumes {
            topic: "t".into(),
            normal: 0,
            urgent: 1,
        },
    };
    let stale = EventInput {
        id: command,
        event: Event::open(EventKind::Written),
        answer: None,
        charge_point: None,
    };
    let request = samples::request(id, store.slots());
    let [as_before, anew] = [1, 2].map(|sequence| samples::registration(id, &pod, 1, sequence));
    vec![
        ("accept", came_to(store.accept(&request).await)),
        ("renew", came_to(store.renew(slot, &[held], false).await)),
        ("run_due", came_to(store.run_due(slot, 10).await)),
        ("register as before", came_to(store.register(&as_before).await)),
        ("register", came_to(store.register(&anew).await)),
        ("apply_events", came_to(store.apply_events(slot, &[stale]).await)),
        ("drain", came_to(store.drain(slot, "a", 1, 0).await)),
        ("take_incarnation", came_to(store.take_incarnation(&taking).await)),
    ]
}

/// An end must not be seen before it is durable.
async fn reads_wait(store: &Store, id: &ChargePointId, command: CommandId) -> Outcomes {
    let slot = store.slot_of(id);
    let commands = CommandFilter {
        charge_point: Some(id.clone()),
        ..CommandFilter::default()
    };
    let letters = DeadLetterFilter {
        charge_point: Some(id.clone()),
        ..DeadLetterFilter::default()
    };
    let listed = store.list_commands(&commands, None, 1).await;
    let dead = store.list_dead_letters(&letters, None, 1).await;
    let purged = store.purge_dead_letters(slot, &[command]).await;
    vec![
        ("get_command", came_to(store.get_command(command).await)),
        ("get_dead_letter", came_to(store.get_dead_letter(command).await)),
        ("list_commands", came_to(listed)),
        ("list_dead_letters", came_to(dead)),
        ("purge_dead_letters", came_to(purged)),
    ]
}

/// What may be lost, and what only reads.
async fn need_not_wait(store: &Store, id: &ChargePointId, version: Version) -> Outcomes {
    let (pod, slot) = (samples::pod("edge-1"), store.slot_of(id));
    let life = Incarnation(1);
    vec![
        ("unregister", came_to(store.unregister(id, life, version).await)),
        ("trim", came_to(store.trim(slot, "a", &[], &[]).await)),
        ("note_done", came_to(store.note_done(id, "kick:1:1").await)),
        ("get_connection", came_to(store.get_connection(id).await)),
        (
            "list_connections",
            came_to(store.list_connections(None, None, 1).await),
        ),
        ("count_slot", came_to(store.count_slot(slot).await)),
        ("link", came_to(store.link(&pod, life).await)),
        (
            "renew_lease",
            came_to(store.renew_lease(None, &pod, life, version, "", None).await),
        ),
        (
            "mark_pod",
            came_to(store.mark_pod(&pod, life, Mark::Draining).await),
        ),
        ("lease", came_to(store.lease(&pod).await)),
        ("leases", came_to(store.leases().await)),
        ("redis_now", came_to(store.redis_now().await)),
    ]
}
