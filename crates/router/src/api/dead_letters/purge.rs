//! PurgeDeadLetters: removes those that match a filter, or those named that match it.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{CommandId, Slot};
use domain::slot::DeadLetter;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use store::{DeadLetterFilter, FoundDeadLetter};
use wire::gateway::command::v1::{PurgeDeadLettersRequest, PurgeDeadLettersResponse};

use crate::api::page::{self, Pages};
use crate::api::violations::Violations;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::PURGED;

/// Named dead letters that are read at a time.
const AT_A_TIME: usize = 16;

/// A request that can be carried out.
#[derive(Debug)]
struct Valid {
    filter: DeadLetterFilter,
    /// Each once, in the order given; empty means that none is named.
    named: Vec<CommandId>,
    limit: usize,
}

/// Removes dead letters, or says which would be removed.
pub(super) async fn purge(
    engine: &Engine,
    request: &PurgeDeadLettersRequest,
) -> Result<PurgeDeadLettersResponse, ApiError> {
    let valid = validate(request)?;
    let pages = Pages::of("PurgeDeadLetters", &(&valid.filter, &valid.named));
    let after = pages.read(&request.page_token)?;
    let (found, next) = if valid.named.is_empty() {
        let page = engine
            .store
            .list_dead_letters(&valid.filter, after, valid.limit)
            .await?;
        let ids = page.dead_letters.iter().map(|l| l.command.request.id);
        (ids.collect(), page.next)
    } else {
        named(engine, &valid, after).await?
    };
    let gone = if request.dry_run {
        found
    } else {
        remove(engine, &found).await?
    };
    Ok(PurgeDeadLettersResponse {
        command_ids: gone.iter().map(ToString::to_string).collect(),
        next_page_token: pages.next(next),
    })
}

fn validate(request: &PurgeDeadLettersRequest) -> Result<Valid, ApiError> {
    let mut wrong = Violations::default();
    let filter = match request.command_ids.as_slice() {
        [] => super::chosen(request.filter.as_ref(), &mut wrong),
        _ => super::filter(request.filter.as_ref(), &mut wrong),
    };
    let limit = wrong.ok("limit", page::checked_size(request.limit));
    if request.command_ids.len() > page::MAX as usize {
        wrong.check("command_ids", Err(format!("must be at most {}", page::MAX)));
    }
    let (mut named, mut seen) = (Vec::new(), BTreeSet::new());
    for (at, id) in request.command_ids.iter().enumerate() {
        let id = CommandId::parse(id).map_err(|error| error.to_string());
        named.extend(
            wrong
                .ok(&format!("command_ids[{at}]"), id)
                .filter(|id| seen.insert(*id)),
        );
    }
    wrong.or(Valid {
        filter,
        named,
        limit: limit.unwrap_or_default(),
    })
}

/// Those of the named that are dead letters and match, and where to go on: at which of the named.
async fn named(
    engine: &Engine,
    valid: &Valid,
    after: Option<&str>,
) -> Result<(Vec<CommandId>, Option<String>), ApiError> {
    let from: usize = match after {
        None => 0,
        Some(place) => place
            .parse()
            .map_err(|_| ApiError::field("page_token", "is not a token of this service"))?,
    };
    let read = |(at, id)| async move { Ok::<_, ApiError>((at, found(engine, id).await?)) };
    let mut letters = iter(valid.named.iter().copied().enumerate().skip(from))
        .map(read)
        .buffered(AT_A_TIME);
    let mut matching = Vec::new();
    while let Some((at, letter)) = letters.try_next().await? {
        if matching.len() >= valid.limit {
            return Ok((matching, Some(at.to_string())));
        }
        let letter = letter.filter(|letter| matches(&valid.filter, letter));
        matching.extend(letter.map(|letter| letter.command.request.id));
    }
    Ok((matching, None))
}

/// A dead letter; none for an id that names none.
async fn found(engine: &Engine, id: CommandId) -> Result<Option<DeadLetter>, ApiError> {
    if id.slot(engine.store.slots()).is_none() {
        return Ok(None);
    }
    Ok(match engine.store.get_dead_letter(id).await?.value {
        FoundDeadLetter::Found(letter) => Some(*letter),
        FoundDeadLetter::NotADeadLetter | FoundDeadLetter::NotFound => None,
    })
}

/// Whether a dead letter meets all conditions, as the store's listing judges.
fn matches(filter: &DeadLetterFilter, letter: &DeadLetter) -> bool {
    let (request, ended) = (&letter.command.request, letter.command.progress.ended);
    filter
        .charge_point
        .as_ref()
        .is_none_or(|id| *id == request.charge_point)
        && filter
            .action
            .as_ref()
            .is_none_or(|action| *action == request.action)
        && (filter.reasons.is_empty() || letter.reason().is_some_and(|r| filter.reasons.contains(&r)))
        && filter.ended_after.is_none_or(|after| ended >= after)
        && filter.ended_before.is_none_or(|before| ended < before)
}

/// Removes dead letters, one call a slot; returns those that were removed.
async fn remove(engine: &Engine, ids: &[CommandId]) -> Result<Vec<CommandId>, ApiError> {
    let mut slots: BTreeMap<Slot, Vec<CommandId>> = BTreeMap::new();
    for id in ids {
        let slot = id.slot(engine.store.slots());
        slots.entry(slot.unwrap_or_default()).or_default().push(*id);
    }
    let mut gone = Vec::with_capacity(ids.len());
    for (slot, ids) in slots {
        gone.extend(engine.store.purge_dead_letters(slot, &ids).await?.value);
    }
    metrics::counter!(PURGED).increment(gone.len() as u64);
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> CommandId {
        CommandId::new(u64::from(n), [n; 10], Slot(0))
    }

    #[test]
    fn each_ill_formed_id_is_named_by_its_place_and_one_given_twice_counts_once() {
        let request = PurgeDeadLettersRequest {
            command_ids: vec![id(1).to_string(), "x".into(), id(2).to_string(), "y".into()],
            limit: 1_001,
            ..Default::default()
        };
        let Err(ApiError::Invalid(wrong)) = validate(&request) else {
            panic!()
        };
        let fields: Vec<_> = wrong.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["limit", "command_ids[1]", "command_ids[3]"]);
        let twice = PurgeDeadLettersRequest {
            command_ids: [2, 1, 2].map(|n| id(n).to_string()).into(),
            ..Default::default()
        };
        assert_eq!(validate(&twice).unwrap().named, [id(2), id(1)]);
        let many = PurgeDeadLettersRequest {
            command_ids: vec![id(1).to_string(); 1_001],
            ..Default::default()
        };
        assert!(validate(&many).is_err());
    }
}
