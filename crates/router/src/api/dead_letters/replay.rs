//! ReplayDeadLetter and ReplayDeadLetters: a dead letter becomes a new command that names it. Repeating a replay
//! finds the command that the first one made, so a call that failed half-way is simply repeated.

use std::sync::Arc;

use domain::command::{Deadline, RedeliveryClass, Request};
use domain::ids::CommandId;
use domain::slot::{AcceptReply, DeadLetter, Replay, ReplayReply};
use tonic::metadata::MetadataMap;
use tracing::Span;
use wire::gateway::command::v1::{
    ReplayDeadLetterRequest, ReplayDeadLetterResponse, ReplayDeadLettersRequest, ReplayDeadLettersResponse,
    ReplayOutcome,
};

use super::read::{find, unknown};
use crate::api::canonical::{canonical, content_hash};
use crate::api::page::{self, Pages};
use crate::api::send::{Accepted, accepted, answer_timeout_us, claimed, new_id, priority_name};
use crate::api::violations::{self, Violations};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::metrics::{ACCEPTED, REPLAYED};
use crate::trace::Origin;

/// How dead letters are to be replayed.
#[derive(Clone, Copy)]
struct How<'a> {
    allow_unsafe: bool,
    deadline: Deadline,
    metadata: &'a MetadataMap,
}

/// Replays one.
pub(super) async fn one(
    engine: &Arc<Engine>,
    metadata: &MetadataMap,
    request: &ReplayDeadLetterRequest,
) -> Result<ReplayDeadLetterResponse, ApiError> {
    let mut wrong = Violations::default();
    let id = CommandId::parse(&request.command_id).map_err(|error| error.to_string());
    let id = wrong.ok("command_id", id);
    let deadline = violations::deadline(request.deadline.as_ref(), &engine.config.delivery);
    let deadline = wrong.ok("deadline", deadline);
    let (Some(id), Some(deadline)) = (id, deadline) else {
        return Err(ApiError::Invalid(wrong.into_list()));
    };
    let how = How {
        allow_unsafe: request.allow_unsafe,
        deadline,
        metadata,
    };
    let replayed = replay(engine, &find(engine, id).await?, how).await?;
    Ok(ReplayDeadLetterResponse {
        command_id: replayed.id.to_string(),
        state: replayed.state.into(),
        deduplicated: replayed.deduplicated,
    })
}

/// Replays those that match, in the order of the listing, so that a charger gets them in the order of their ends.
pub(super) async fn several(
    engine: &Arc<Engine>,
    metadata: &MetadataMap,
    request: &ReplayDeadLettersRequest,
) -> Result<ReplayDeadLettersResponse, ApiError> {
    let mut wrong = Violations::default();
    let filter = super::chosen(request.filter.as_ref(), &mut wrong);
    let deadline = violations::deadline(request.deadline.as_ref(), &engine.config.delivery);
    let deadline = wrong.ok("deadline", deadline);
    let limit = wrong.ok("limit", page::checked_size(request.limit));
    let (true, Some(deadline), Some(limit)) = (wrong.is_empty(), deadline, limit) else {
        return Err(ApiError::Invalid(wrong.into_list()));
    };
    let pages = Pages::of("ReplayDeadLetters", &filter);
    let after = pages.read(&request.page_token)?;
    let how = How {
        allow_unsafe: request.allow_unsafe,
        deadline,
        metadata,
    };
    let page = engine.store.list_dead_letters(&filter, after, limit).await?;
    let mut outcomes = Vec::with_capacity(page.dead_letters.len());
    for letter in &page.dead_letters {
        outcomes.push(if request.dry_run {
            would_be(letter, request.allow_unsafe)
        } else {
            outcome(letter, replay(engine, letter, how).await)?
        });
    }
    Ok(ReplayDeadLettersResponse {
        outcomes,
        next_page_token: pages.next(page.next),
    })
}

/// What a replay would do.
fn would_be(letter: &DeadLetter, allow_unsafe: bool) -> ReplayOutcome {
    let (id, deduplicated) = (letter.command.request.id, letter.replayed_as.is_some());
    let refused = !deduplicated && !allow_unsafe && letter.command.request.class == RedeliveryClass::Unsafe;
    ReplayOutcome {
        dead_letter_id: id.to_string(),
        command_id: String::new(),
        deduplicated,
        problem: if refused {
            ApiError::UnsafeToRepeat(id).to_string()
        } else {
            String::new()
        },
    }
}

/// What became of one of several. A store that is away, or a router that ends, is an error of the whole call:
/// what was replayed before is found again when the call is repeated.
fn outcome(letter: &DeadLetter, replayed: Result<Accepted, ApiError>) -> Result<ReplayOutcome, ApiError> {
    let dead_letter_id = letter.command.request.id.to_string();
    match replayed {
        Ok(replayed) => Ok(ReplayOutcome {
            dead_letter_id,
            command_id: replayed.id.to_string(),
            deduplicated: replayed.deduplicated,
            problem: String::new(),
        }),
        Err(error @ (ApiError::Store(_) | ApiError::Submit(_) | ApiError::ShuttingDown)) => Err(error),
        Err(error) => Ok(ReplayOutcome {
            dead_letter_id,
            problem: error.to_string(),
            ..ReplayOutcome::default()
        }),
    }
}

/// Replays a dead letter.
async fn replay(engine: &Arc<Engine>, letter: &DeadLetter, how: How<'_>) -> Result<Accepted, ApiError> {
    let request = request(engine, letter, how.deadline);
    let (id, of, priority) = (request.id, letter.command.request.id, request.priority);
    let charge_point = request.charge_point.clone();
    let span = engine.traces.accept(id, how.metadata);
    let replay = Replay {
        request,
        allow_unsafe: how.allow_unsafe,
    };
    let reply = match call(engine, replay, span).await? {
        ReplayReply::Tried(reply) => reply,
        ReplayReply::NotFound => return Err(unknown(of)),
        ReplayReply::NotADeadLetter => return Err(ApiError::NotADeadLetter(of)),
        ReplayReply::UnsafeToRepeat => return Err(ApiError::UnsafeToRepeat(of)),
    };
    if matches!(reply, AcceptReply::Accepted { .. }) {
        metrics::counter!(ACCEPTED, "priority" => priority_name(priority)).increment(1);
        metrics::counter!(REPLAYED).increment(1);
    }
    accepted(engine, id, &charge_point, &reply)
}

/// Calls the store in a task that the engine owns, as acceptance does.
async fn call(engine: &Arc<Engine>, replay: Replay, span: Span) -> Result<ReplayReply, ApiError> {
    let shared = Arc::clone(engine);
    let call = async move {
        let entry = shared.precedence.accept(replay.request.priority).await;
        let asked_us = shared.clock.now_us();
        let mut reply = shared.store.replay(&replay).await?;
        drop(entry);
        let claimed = match &mut reply.value {
            ReplayReply::Tried(reply) => claimed(reply),
            _ => Vec::new(),
        };
        let request = &replay.request;
        let (origin, slot) = (
            Origin { id: request.id, span },
            shared.slot_of(&request.charge_point),
        );
        shared.follow_up_of(Some(origin), slot, asked_us, &reply, claimed);
        Ok(reply.value)
    };
    engine
        .calls
        .spawn(call)
        .await
        .map_err(|_| ApiError::ShuttingDown)?
}

/// The request of a replay: what the dead letter asked for, under today's bounds.
fn request(engine: &Engine, letter: &DeadLetter, deadline: Deadline) -> Request {
    let (of, delivery) = (&letter.command.request, &engine.config.delivery);
    // It was canonical JSON when it was accepted; anything else would only be a key of its own.
    let payload = canonical(&of.payload).unwrap_or_else(|_| of.payload.clone());
    let hash = content_hash(&of.charge_point, &of.action, &payload, of.class);
    Request {
        max_attempts: delivery.attempts,
        answer_timeout_us: answer_timeout_us(delivery, of.priority),
        ..letter.replay(new_id(engine, &of.charge_point), deadline, hash)
    }
}

#[cfg(test)]
mod tests {
    use domain::command::{Command, Priority, Progress, Status};
    use domain::ids::{ChargePointId, Micros, Slot};
    use store::StoreError;

    use super::*;

    fn letter(class: RedeliveryClass, replayed_as: Option<CommandId>) -> DeadLetter {
        let request = Request {
            id: CommandId::new(1, [1; 10], Slot(0)),
            charge_point: ChargePointId::parse("CP-1").unwrap(),
            action: "Reset".into(),
            payload: "{}".into(),
            priority: Priority::Normal,
            class,
            max_attempts: 3,
            answer_timeout_us: 1,
            deadline: Deadline::After(1),
            idempotency: None,
            replay_of: None,
        };
        let progress = Progress {
            status: Status::Expired,
            ..Progress::accepted()
        };
        DeadLetter {
            command: Command {
                request,
                created: Micros(1),
                deadline: Micros(2),
                score: 0,
                epoch: String::new(),
                progress,
            },
            attempts: vec![],
            replayed_as,
        }
    }

    #[test]
    fn a_dry_run_says_what_would_be_refused_or_found_again() {
        let other = CommandId::new(2, [2; 10], Slot(0));
        let would = |class, replayed_as, allow| would_be(&letter(class, replayed_as), allow);
        let refused = would(RedeliveryClass::Unsafe, None, false);
        assert!(refused.problem.contains("unsafe to repeat") && !refused.deduplicated);
        for fine in [
            would(RedeliveryClass::Unsafe, None, true),
            would(RedeliveryClass::Safe, None, false),
        ] {
            assert!(fine.problem.is_empty() && fine.command_id.is_empty() && !fine.deduplicated);
        }
        let again = would(RedeliveryClass::Unsafe, Some(other), false);
        assert!(again.problem.is_empty() && again.deduplicated);
    }

    #[test]
    fn one_that_cannot_be_replayed_is_reported_and_a_store_that_is_away_fails_the_call() {
        let letter = letter(RedeliveryClass::Safe, None);
        let full = ApiError::Exhausted {
            subject: "charge_point:CP-1".into(),
            description: "the charge point has 5 open commands, the limit".into(),
        };
        let reported = outcome(&letter, Err(full)).unwrap();
        assert!(reported.problem.contains("the limit") && reported.command_id.is_empty());
        let away = ApiError::Store(StoreError::OutOfMemory);
        assert!(outcome(&letter, Err(away)).is_err());
    }
}
