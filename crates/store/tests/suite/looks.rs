//! A look at several slots: which of them want a round over their timers.

use anyhow::{Context as _, Result};
use domain::command::{Deadline, Request};
use domain::delivery::EventKind;
use domain::ids::{ChargePointId, CommandId, Slot};
use domain::settings::DeliverySettings;
use store::{Look, Store, StoreConfig};

use crate::support::{samples, until};

pub(crate) async fn all(config: impl Fn() -> StoreConfig) -> Result<()> {
    let store = connect(&config()).await?;
    assert_eq!(store.is_cluster(), config().url.starts_with("redis-cluster"));
    if store.is_cluster() {
        let all: Vec<_> = store.all_slots().collect();
        assert!(store.look_at(&all).await.is_err(), "they lie on several servers");
    } else {
        what_waits_or_leaves_is_found(&store).await?;
        a_walk_over_listings_is_gone_on_with(&connect(&config()).await?).await?;
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
    let looks = store.look_at(&[other, slot]).await?;
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
    let waits = look(store, charge_point).await?;
    assert_eq!(waits, (true, 0), "its timer is far, but rounds go on");
    cancel(store, charge_point, id).await?;
    assert_eq!(look(store, charge_point).await?, (true, 1), "its end is to leave");
    leave(store, slot).await?;
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

/// More listings than a round looks at: who has begun to walk over them goes on.
async fn a_walk_over_listings_is_gone_on_with(store: &Store) -> Result<()> {
    let charge_point = &samples::charge_point("CP-3");
    let slot = store.slot_of(charge_point);
    for _ in 0..20 {
        let id = super::accept(store, charge_point).await?;
        cancel(store, charge_point, id).await?;
    }
    leave(store, slot).await?;
    assert_eq!(look(store, charge_point).await?, (false, 20));
    store.run_due(slot, 10).await?;
    assert_eq!(look(store, charge_point).await?, (true, 20), "sixteen of twenty");
    store.run_due(slot, 10).await?;
    assert_eq!(look(store, charge_point).await?, (false, 20), "it is through");
    store.close().await;
    Ok(())
}

async fn cancel(store: &Store, charge_point: &ChargePointId, id: CommandId) -> Result<()> {
    let command = store.get_command(id).await?.value.context("gone")?;
    let cancel = [samples::event(&command, EventKind::Cancel)];
    store.apply_events(store.slot_of(charge_point), &cancel).await?;
    Ok(())
}

/// Everything that is to leave a slot does.
async fn leave(store: &Store, slot: Slot) -> Result<()> {
    let entries = store.drain(slot, "a", 100, 0).await?.value.entries;
    let numbers: Vec<_> = entries.iter().map(|(number, _)| *number).collect();
    store.trim(slot, "a", &numbers, &[]).await?;
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
    leave(store, slot).await?;
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
