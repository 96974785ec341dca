//! What holds on a single Redis and on a Redis Cluster alike. Each check takes a configuration with a prefix
//! of its own.

pub(crate) mod dead;
pub(crate) mod leases;
pub(crate) mod looks;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use domain::command::{Command, Priority, Status};
use domain::delivery::{EventKind, Verdict};
use domain::ids::{ChargePointId, CommandId, Incarnation, Slot, Version};
use domain::settings::DeliverySettings;
use domain::slot::{AcceptReply, EventInput, RegisterReply};
use store::{ChangeEvent, CommandFilter, Store, StoreConfig, StoreError};

use crate::support::{samples, until};

/// Connects with settings under which things lapse soon.
pub(crate) async fn connect(config: &StoreConfig) -> Result<Store> {
    let settings = DeliverySettings {
        connection_ttl_us: 300_000,
        pod_lease_us: 300_000,
        ..DeliverySettings::default()
    };
    Ok(Store::connect(config.clone(), settings).await?)
}

/// Runs every check of the suite.
pub(crate) async fn all(config: impl Fn() -> StoreConfig) -> Result<()> {
    pins(&config()).await?;
    versions_grow(&config()).await?;
    a_command_lives(&config()).await?;
    listings_are_complete(&config()).await?;
    listings_by_time(&config()).await?;
    only_the_holder_drains(&config()).await?;
    changes_are_told(&config()).await?;
    dead::all(&config).await?;
    looks::all(&config).await?;
    leases::all(&config()).await
}

/// A store pinned to a slot count refuses a service with another.
async fn pins(config: &StoreConfig) -> Result<()> {
    let first = connect(config).await?;
    let again = connect(config).await?;
    let other = StoreConfig {
        slots: config.slots + 1,
        ..config.clone()
    };
    let refused = Store::connect(other, DeliverySettings::default()).await.err();
    assert!(matches!(refused, Some(StoreError::Pins { .. })), "{refused:?}");
    first.close().await;
    again.close().await;
    Ok(())
}

/// Registers a charger and returns the version.
pub(crate) async fn register(
    store: &Store,
    id: &ChargePointId,
    incarnation: u64,
    sequence: u64,
) -> Result<Version> {
    let registration = samples::registration(id, &samples::pod("edge-1"), incarnation, sequence);
    match store.register(&registration).await?.value {
        RegisterReply::Registered { version, .. } => Ok(version),
        RegisterReply::Refused(why) => anyhow::bail!("refused: {why:?}"),
    }
}

/// Accepts a command for a charger and returns its id.
pub(crate) async fn accept(store: &Store, id: &ChargePointId) -> Result<CommandId> {
    let request = samples::request(id, store.slots());
    match store.accept(&request).await?.value {
        AcceptReply::Accepted { .. } => Ok(request.id),
        other => anyhow::bail!("not accepted: {other:?}"),
    }
}

/// A version grows over unregister and over expiry, and an old one changes nothing.
async fn versions_grow(config: &StoreConfig) -> Result<()> {
    let store = connect(config).await?;
    let id = samples::charge_point("CP-1");
    let first = register(&store, &id, 1, 1).await?;
    assert!(store.unregister(&id, Incarnation(1), first).await?.value);
    let second = register(&store, &id, 1, 2).await?;
    assert!(
        !store.unregister(&id, Incarnation(1), first).await?.value,
        "a former version was unregistered"
    );
    until("the registration lapses", async || {
        let reply = store.get_connection(&id).await.ok()?;
        let device = reply.value?.device;
        (!device.has_route(reply.redis_now) && device.connected).then_some(())
    })
    .await;
    let third = register(&store, &id, 2, 1).await?;
    assert!(first < second && second < third, "{first} {second} {third}");
    store.close().await;
    Ok(())
}

/// From acceptance to its end over a registration, with stale and repeated events on the way.
async fn a_command_lives(config: &StoreConfig) -> Result<()> {
    let store = connect(config).await?;
    let charge_point = samples::charge_point("CP-2");
    let slot = store.slot_of(&charge_point);
    let id = accept(&store, &charge_point).await?;
    let registration = samples::registration(&charge_point, &samples::pod("edge-1"), 1, 1);
    let RegisterReply::Registered { claimed, .. } = store.register(&registration).await?.value else {
        anyhow::bail!("refused");
    };
    let command = claimed.first().context("nothing was claimed")?.command.clone();
    assert_eq!((command.request.id, command.progress.status), (id, Status::Sent));
    let events = stale_doubled_and_late(&command);
    let applied = store.apply_events(slot, &events).await?.value;
    let verdicts: Vec<_> = applied.iter().filter_map(|a| a.verdict).collect();
    let expected = [
        Verdict::Stale,
        Verdict::Applied,
        Verdict::Repeated,
        Verdict::Applied,
        Verdict::Ended,
    ];
    assert_eq!(verdicts, expected);
    let read = store.get_command(id).await?.value.context("gone")?;
    assert_eq!(
        (read.progress.status, read.progress.attempts),
        (Status::Acknowledged, 1)
    );
    let elsewhere = Slot((slot.0 + 1) % store.slots());
    let wrong = store.apply_events(elsewhere, &events).await.err();
    assert!(matches!(wrong, Some(StoreError::WrongSlot)));
    assert_eq!(
        store.purge_dead_letters(slot, &[id]).await?.value,
        [],
        "it was answered"
    );
    store.close().await;
    Ok(())
}

fn stale_doubled_and_late(command: &Command) -> [EventInput; 5] {
    let mut stale = samples::event(command, EventKind::Written);
    stale.event.dispatch.0 -= 1;
    let written = samples::event(command, EventKind::Written);
    let answer = samples::event(command, EventKind::Answer);
    [stale, written.clone(), written, answer.clone(), answer]
}

/// Pages of any size return everything once.
async fn listings_are_complete(config: &StoreConfig) -> Result<()> {
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let mut accepted = BTreeSet::new();
    let mut connected = BTreeSet::new();
    for n in 0..40 {
        let id = samples::charge_point(&format!("CP.{n}"));
        register(&store, &id, 1, 1).await?;
        connected.insert(id.clone());
        for _ in 0..1 + n % 3 {
            accepted.insert(accept(&store, &id).await?);
        }
    }
    for limit in [1, 7, 1_000] {
        assert_eq!(
            commands(&store, &CommandFilter::default(), limit).await?,
            accepted
        );
        assert_eq!(connections(&store, limit).await?, connected);
    }
    let only = CommandFilter {
        charge_point: Some(samples::charge_point("CP.2")),
        statuses: vec![Status::Sent],
        ..CommandFilter::default()
    };
    assert_eq!(commands(&store, &only, 2).await?.len(), 1);
    let none = CommandFilter {
        statuses: vec![Status::Failed],
        ..CommandFilter::default()
    };
    assert_eq!(commands(&store, &none, 2).await?.len(), 0);
    bad_tokens_are_refused(&store).await?;
    store.close().await;
    Ok(())
}

/// A token is what a listing returned, or it is refused; nothing of it reaches a script.
async fn bad_tokens_are_refused(store: &Store) -> Result<()> {
    let only = CommandFilter {
        charge_point: Some(samples::charge_point("CP.2")),
        ..CommandFilter::default()
    };
    let other = (store.slot_of(&samples::charge_point("CP.2")).0 + 1) % store.slots();
    for bad in [
        "",
        "x",
        "x.",
        "0.a b:",
        "0.CP-1:no-id",
        "-1.",
        &format!("{other}.CP.2:"),
    ] {
        let listed = store.list_commands(&only, Some(bad), 1).await;
        assert!(matches!(listed, Err(StoreError::Cursor)), "{bad:?}: {listed:?}");
    }
    for bad in [
        "",
        "x",
        "0.x:CP-1",
        "0.-1:CP-1",
        "0.1e3:CP-1",
        "0.inf:CP-1",
        "0.(5:CP-1",
    ] {
        let listed = store.list_connections(None, Some(bad), 1).await;
        assert!(matches!(listed, Err(StoreError::Cursor)), "{bad:?}: {listed:?}");
    }
    Ok(())
}

/// Commands by when they were accepted: at or after, and before.
async fn listings_by_time(config: &StoreConfig) -> Result<()> {
    let store = connect(config).await?;
    let id = samples::charge_point("CP-1");
    let mut times = Vec::new();
    for _ in 0..3 {
        let command = accept(&store, &id).await?;
        let read = store.get_command(command).await?.value.context("gone")?;
        times.push((command, read.created));
    }
    let between = CommandFilter {
        created_after: Some(times[1].1),
        created_before: Some(times[2].1),
        ..CommandFilter::default()
    };
    assert_eq!(commands(&store, &between, 1).await?, BTreeSet::from([times[1].0]));
    let since = CommandFilter {
        created_before: None,
        ..between
    };
    assert_eq!(
        commands(&store, &since, 1).await?,
        BTreeSet::from([times[1].0, times[2].0])
    );
    store.close().await;
    Ok(())
}

async fn connections(store: &Store, limit: usize) -> Result<BTreeSet<ChargePointId>> {
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.list_connections(None, after.as_deref(), limit).await?;
        assert!(page.connections.len() <= limit);
        found.extend(page.connections.into_iter().map(|(c, _)| c.charge_point));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn commands(store: &Store, filter: &CommandFilter, limit: usize) -> Result<BTreeSet<CommandId>> {
    let mut found = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store.list_commands(filter, after.as_deref(), limit).await?;
        assert!(page.commands.len() <= limit);
        for command in page.commands {
            assert!(
                found.insert(command.request.id),
                "listed twice: {}",
                command.request.id
            );
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// Two drainers: one drains, the other one after its lease; what was trimmed does not come again.
async fn only_the_holder_drains(config: &StoreConfig) -> Result<()> {
    let config = StoreConfig {
        command_timeout_ms: 300,
        drain_lease_ms: 400,
        ..config.clone()
    };
    let store = connect(&config).await?;
    let charge_point = samples::charge_point("CP-3");
    let slot = store.slot_of(&charge_point);
    let mut request = samples::request(&charge_point, store.slots());
    request.priority = Priority::Urgent;
    store.accept(&request).await?;
    let command = store.get_command(request.id).await?.value.context("gone")?;
    let cancelled = store
        .apply_events(slot, &[samples::event(&command, EventKind::Cancel)])
        .await?;
    assert!(cancelled.wants_drain, "an end wants to be drained");
    let first = store.drain(slot, "a", 10, 0).await?.value;
    assert_eq!((first.held, first.entries.len()), (true, 1));
    let other = store.drain(slot, "b", 10, 0).await?.value;
    assert_eq!((other.held, other.entries.len()), (false, 0));
    reading_behind_what_is_on_its_way_keeps_the_lease(&store, slot, first.entries[0].0).await?;
    let other = until("the drain lease lapses", async || {
        store
            .drain(slot, "b", 10, 0)
            .await
            .ok()
            .map(|r| r.value)
            .filter(|d| d.held)
    })
    .await;
    assert_eq!(
        other.entries, first.entries,
        "an entry leaves only when it is trimmed"
    );
    let numbers: Vec<u64> = other.entries.iter().map(|(n, _)| *n).collect();
    trimming_gives_the_lease_back(&store, slot, &numbers).await?;
    store.close().await;
    Ok(())
}

/// "a" has the drain lease, for this entry.
async fn reading_behind_what_is_on_its_way_keeps_the_lease(
    store: &Store,
    slot: Slot,
    number: u64,
) -> Result<()> {
    let before = store.drain(slot, "a", 10, number - 1).await?.value;
    assert_eq!(before.entries.len(), 1, "what comes after the number is read");
    let behind = store.drain(slot, "a", 10, number).await?.value;
    assert_eq!((behind.held, behind.entries.len()), (true, 0));
    assert!(
        !store.drain(slot, "b", 10, 0).await?.value.held,
        "the entry is still on its way"
    );
    Ok(())
}

/// "b" has the drain lease, for these entries.
async fn trimming_gives_the_lease_back(store: &Store, slot: Slot, numbers: &[u64]) -> Result<()> {
    let left = store.trim(slot, "b", &numbers[1..], &[]).await?.value;
    assert!(left, "what is left, or came meanwhile, is told of");
    assert!(
        store.drain(slot, "a", 10, 0).await?.value.held,
        "trimming gave the lease back"
    );
    assert!(!store.trim(slot, "b", numbers, &[]).await?.value);
    assert!(
        !store.drain(slot, "b", 10, 0).await?.value.held,
        "one who has not the lease gives none back"
    );
    assert!(!store.trim(slot, "a", numbers, &[]).await?.value);
    assert_eq!(store.drain(slot, "a", 10, 0).await?.value.entries, []);
    assert!(
        store.drain(slot, "b", 10, 0).await?.value.held,
        "who finds nothing takes no lease"
    );
    Ok(())
}

/// A subscription tells of every command that changed.
async fn changes_are_told(config: &StoreConfig) -> Result<()> {
    let store = connect(config).await?;
    let mut changes = store.subscribe_changes().await?;
    for n in 0..5 {
        let id = accept(&store, &samples::charge_point(&format!("CP-{n}"))).await?;
        let told = tokio::time::timeout(std::time::Duration::from_secs(20), changes.next()).await?;
        assert!(
            matches!(told, Some(ChangeEvent::Change(c)) if c.id == id && c.revision == 1),
            "{told:?}"
        );
    }
    changes.close().await;
    store.close().await;
    Ok(())
}
