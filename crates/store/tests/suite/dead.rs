//! Dead letters: listed by page and filter, read, replayed once, purged, and forgotten.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use domain::command::{ATTEMPTS_KEPT, AttemptOutcome, Deadline, RedeliveryClass, Request, Status};
use domain::delivery::EventKind;
use domain::ids::{ChargePointId, CommandId, Micros};
use domain::settings::DeliverySettings;
use domain::slot::{AcceptReply, DeadLetter, DeadLetterReason, Replay, ReplayReply};
use store::{DeadLetterFilter, FoundDeadLetter, Store, StoreConfig, StoreError};

use super::register;
use crate::support::{samples, until};

pub(crate) async fn all(config: impl Fn() -> StoreConfig) -> Result<()> {
    they_are_listed_by_page_and_filter(&config()).await?;
    they_are_replayed_once(&config()).await?;
    they_keep_their_newest_attempts(&config()).await?;
    everything_is_forgotten(&config()).await
}

/// Makes a dead letter: a command that expired while it waited.
async fn expired(
    store: &Store,
    id: &ChargePointId,
    action: &str,
    class: RedeliveryClass,
) -> Result<CommandId> {
    let request = Request {
        action: action.into(),
        class,
        deadline: Deadline::After(1),
        ..samples::request(id, store.slots())
    };
    store.accept(&request).await?;
    until("it expires", async || {
        store.run_due(store.slot_of(id), 100).await.ok()?;
        let command = store.get_command(request.id).await.ok()?.value?;
        (command.progress.status == Status::Expired).then_some(())
    })
    .await;
    Ok(request.id)
}

async fn listed(store: &Store, filter: &DeadLetterFilter, limit: usize) -> Result<Vec<DeadLetter>> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_dead_letters(filter, after.as_deref(), limit).await?;
        assert!(page.dead_letters.len() <= limit);
        found.extend(page.dead_letters);
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

fn ids(letters: &[DeadLetter]) -> Vec<CommandId> {
    letters.iter().map(|d| d.command.request.id).collect()
}

async fn they_are_listed_by_page_and_filter(config: &StoreConfig) -> Result<()> {
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let chargers: Vec<_> = (0..7)
        .map(|n| samples::charge_point(&format!("CP-{n}")))
        .collect();
    let mut made = Vec::new();
    for n in 0..14 {
        let action = if n < 7 { "Reset" } else { "ClearCache" };
        made.push(expired(&store, &chargers[n % 7], action, RedeliveryClass::Safe).await?);
    }
    super::accept(&store, &chargers[0]).await?;
    let all: BTreeSet<CommandId> = made.iter().copied().collect();
    let everything = DeadLetterFilter::default();
    for limit in [1, 3, 1_000] {
        let found = ids(&listed(&store, &everything, limit).await?);
        assert_eq!((found.len(), found.into_iter().collect()), (14, all.clone()));
    }
    filters_hold_together(&store, &chargers, &made).await?;
    for bad in ["x", "0.", "0.x:y", "999999.1:", "0.1:no-id"] {
        let refused = store.list_dead_letters(&everything, Some(bad), 1).await;
        let fine = matches!(refused, Err(StoreError::Cursor)) || bad == "0." || bad == "999999.1:";
        assert!(fine, "{bad:?}: {refused:?}");
    }
    purging_while_listing_misses_none(&store, &all).await?;
    store.close().await;
    Ok(())
}

async fn filters_hold_together(store: &Store, chargers: &[ChargePointId], made: &[CommandId]) -> Result<()> {
    let of_one = DeadLetterFilter {
        charge_point: Some(chargers[3].clone()),
        ..DeadLetterFilter::default()
    };
    let found = listed(store, &of_one, 1).await?;
    assert_eq!(ids(&found), [made[3], made[10]], "a charger's oldest first");
    let by_action = DeadLetterFilter {
        action: Some("Reset".into()),
        reasons: vec![DeadLetterReason::Expired],
        ..of_one.clone()
    };
    assert_eq!(ids(&listed(store, &by_action, 9).await?), [made[3]]);
    let by_reason = DeadLetterFilter {
        reasons: vec![DeadLetterReason::NoAnswer, DeadLetterReason::OutcomeUnknown],
        ..of_one.clone()
    };
    assert_eq!(listed(store, &by_reason, 9).await?, []);
    let second = found[1].command.progress.ended;
    let since = DeadLetterFilter {
        ended_after: Some(second),
        ..of_one.clone()
    };
    let until = DeadLetterFilter {
        ended_before: Some(second),
        ..of_one
    };
    assert_eq!(ids(&listed(store, &since, 9).await?), [made[10]]);
    assert_eq!(ids(&listed(store, &until, 9).await?), [made[3]]);
    Ok(())
}

/// A page's token stays good when what it was taken from is gone.
async fn purging_while_listing_misses_none(store: &Store, all: &BTreeSet<CommandId>) -> Result<()> {
    let mut purged = BTreeSet::new();
    let mut after = None;
    loop {
        let page = store
            .list_dead_letters(&DeadLetterFilter::default(), after.as_deref(), 2)
            .await?;
        for letter in page.dead_letters {
            let (id, slot) = (
                letter.command.request.id,
                store.slot_of(&letter.command.request.charge_point),
            );
            assert_eq!(store.purge_dead_letters(slot, &[id, id]).await?.value, [id]);
            assert!(store.get_command(id).await?.value.is_none());
            purged.insert(id);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(purged, *all);
    Ok(())
}

async fn they_are_replayed_once(config: &StoreConfig) -> Result<()> {
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let charge_point = samples::charge_point("CP-1");
    let of = expired(&store, &charge_point, "Reset", RedeliveryClass::Unsafe).await?;
    let FoundDeadLetter::Found(letter) = store.get_dead_letter(of).await?.value else {
        anyhow::bail!("no dead letter");
    };
    assert_eq!(
        letter.command.request.payload,
        samples::request(&charge_point, 1).payload
    );
    let refused = replay(&store, &letter, false).await?;
    assert_eq!(refused.1, ReplayReply::UnsafeToRepeat);
    let (first, made) = replay(&store, &letter, true).await?;
    assert!(
        matches!(made, ReplayReply::Tried(AcceptReply::Accepted { .. })),
        "{made:?}"
    );
    let command = store.get_command(first).await?.value.context("gone")?;
    assert_eq!(command.request.replay_of, Some(of));
    let (_, again) = replay(&store, &letter, true).await?;
    assert!(matches!(again, ReplayReply::Tried(AcceptReply::Known { id, .. }) if id == first));
    assert_eq!(
        store.get_dead_letter(first).await?.value,
        FoundDeadLetter::NotADeadLetter
    );
    let unknown = samples::fresh_id(store.slot_of(&charge_point));
    assert_eq!(
        store.get_dead_letter(unknown).await?.value,
        FoundDeadLetter::NotFound
    );
    store.close().await;
    Ok(())
}

async fn replay(store: &Store, letter: &DeadLetter, allow_unsafe: bool) -> Result<(CommandId, ReplayReply)> {
    let id = samples::fresh_id(store.slot_of(&letter.command.request.charge_point));
    let request = letter.replay(id, Deadline::After(60_000_000), "0123456789abcdef".repeat(2));
    let replay = Replay {
        request,
        allow_unsafe,
    };
    Ok((id, store.replay(&replay).await?.value))
}

async fn they_keep_their_newest_attempts(config: &StoreConfig) -> Result<()> {
    let store = Store::connect(config.clone(), DeliverySettings::default()).await?;
    let charge_point = samples::charge_point("CP-1");
    let slot = store.slot_of(&charge_point);
    register(&store, &charge_point, 1, 1).await?;
    let request = Request {
        max_attempts: 50,
        ..samples::request(&charge_point, store.slots())
    };
    store.accept(&request).await?;
    for sequence in 2..15 {
        let command = store.get_command(request.id).await?.value.context("gone")?;
        store
            .apply_events(slot, &[samples::event(&command, EventKind::Written)])
            .await?;
        register(&store, &charge_point, 1, sequence).await?;
    }
    let command = store.get_command(request.id).await?.value.context("gone")?;
    store
        .apply_events(slot, &[samples::event(&command, EventKind::Deadline)])
        .await?;
    let FoundDeadLetter::Found(letter) = store.get_dead_letter(request.id).await?.value else {
        anyhow::bail!("no dead letter");
    };
    let numbers: Vec<u32> = letter.attempts.iter().map(|a| a.number).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[9]), (ATTEMPTS_KEPT, 4, 13));
    assert!(
        letter
            .attempts
            .iter()
            .all(|a| a.outcome == AttemptOutcome::Displaced && a.at > Micros(0))
    );
    let drained = store.drain(slot, "a", 10, 0).await?.value;
    assert_eq!(drained.entries[0].1.attempts, letter.attempts);
    store.close().await;
    Ok(())
}

/// When the retention is over nothing is left, in no index either.
async fn everything_is_forgotten(config: &StoreConfig) -> Result<()> {
    let settings = DeliverySettings {
        retention_us: 100_000,
        dead_letter_retention_us: 200_000,
        ..DeliverySettings::default()
    };
    let store = Store::connect(config.clone(), settings).await?;
    for n in 0..20 {
        let id = samples::charge_point(&format!("CP-{n}"));
        register(&store, &id, 1, 1).await?;
        let answered = super::accept(&store, &id).await?;
        let command = store.get_command(answered).await?.value.context("gone")?;
        store
            .apply_events(store.slot_of(&id), &[samples::event(&command, EventKind::Answer)])
            .await?;
        expired(&store, &id, "Reset", RedeliveryClass::Safe).await?;
    }
    for slot in store.all_slots() {
        until("the slot is empty", async || {
            store.run_due(slot, 10).await.ok()?;
            let count = store.count_slot(slot).await.ok()?.value;
            (count.commands == 0 && count.dead_letters == 0).then_some(())
        })
        .await;
    }
    assert_eq!(listed(&store, &DeadLetterFilter::default(), 10).await?, []);
    store.close().await;
    Ok(())
}
