//! A look at several slots: it wants a round where one would find something, and nowhere else.

use anyhow::{Context as _, Result};
use domain::command::{Deadline, Request};
use domain::delivery::EventKind;
use domain::ids::{ChargePointId, Slot};
use domain::settings::DeliverySettings;
use store::{Look, Store, StoreConfig};

use crate::support::{samples, until};

pub(crate) async fn all(config: impl Fn() -> StoreConfig) -> Result<()> {
    let store = connect(&config()).await?;
    if config().url.starts_with("redis-cluster") {
        let looks = store.look_at(&[Slot(0), Slot(1)]).await?;
        assert_eq!(looks, None, "they may lie on several servers");
    } else {
        what_waits_or_leaves_is_found(&store).await?;
        a_dead_letter_is_found_when_its_retention_ends(&connect(&config()).await?).await?;
    }
    store.close().await;
    Ok(())
}

async fn connect(config: &StoreConfig) -> Result<Store> {
    let settings = DeliverySettings {
        dead_letter_retention_us: 100_000,
        ..DeliverySettings::default()
    };
    Ok(Store::connect(config.clone(), settings).await?)
}

/// What a look tells of a charger's slot; in the next one there is nothing.
async fn look(store: &Store, charge_point: &ChargePointId) -> Result<(bool, u64)> {
    let slot = store.slot_of(charge_point);
    let other = Slot((slot.0 + 1) % store.slots());
    let looks = store.look_at(&[other, slot]).await?.context("no cluster")?;
    let [first, second] = looks[..] else {
        anyhow::bail!("{looks:?}");
    };
    let nothing = Look {
        slot: other,
        wants_round: false,
        outbox_numbers: 0,
    };
    assert_eq!((first, second.slot), (nothing, slot));
    Ok((second.wants_round, second.outbox_numbers))
}

async fn what_waits_or_leaves_is_found(store: &Store) -> Result<()> {
    let charge_point = &samples::charge_point("CP-1");
    let slot = store.slot_of(charge_point);
    assert_eq!(look(store, charge_point).await?, (false, 0));
    let id = super::accept(store, charge_point).await?;
    assert_eq!(look(store, charge_point).await?, (true, 0), "it has a timer");
    let command = store.get_command(id).await?.value.context("gone")?;
    let cancel = [samples::event(&command, EventKind::Cancel)];
    store.apply_events(slot, &cancel).await?;
    assert_eq!(look(store, charge_point).await?, (true, 1), "its end is to leave");
    let entries = store.drain(slot, "a", 10, 0).await?.value.entries;
    let numbers: Vec<_> = entries.iter().map(|(number, _)| *number).collect();
    store.trim(slot, "a", &numbers, &[]).await?;
    assert_eq!(look(store, charge_point).await?, (false, 1));
    super::register(store, charge_point, 1, 1).await?;
    super::register(store, charge_point, 2, 2).await?;
    let notes = store.drain(slot, "a", 10, 0).await?.value.notes;
    assert_eq!(
        (notes.len(), look(store, charge_point).await?.0),
        (1, true),
        "a note"
    );
    Ok(())
}

async fn a_dead_letter_is_found_when_its_retention_ends(store: &Store) -> Result<()> {
    let charge_point = &samples::charge_point("CP-2");
    let slot = store.slot_of(charge_point);
    let request = Request {
        deadline: Deadline::After(1),
        ..samples::request(charge_point, store.slots())
    };
    store.accept(&request).await?;
    until("it expires", async || {
        let round = store.run_due(slot, 10).await.ok()?.value;
        (round.outbox > 0).then_some(())
    })
    .await;
    let numbers = until("it leaves", async || {
        let entries = store.drain(slot, "a", 10, 0).await.ok()?.value.entries;
        Some(entries.iter().map(|(number, _)| *number).collect::<Vec<_>>())
    })
    .await;
    store.trim(slot, "a", &numbers, &[]).await?;
    until("it is to be forgotten", async || {
        let (wants_round, _) = look(store, charge_point).await.ok()?;
        wants_round.then_some(())
    })
    .await;
    store.run_due(slot, 10).await?;
    assert_eq!(look(store, charge_point).await?, (false, 1), "it is forgotten");
    store.close().await;
    Ok(())
}
