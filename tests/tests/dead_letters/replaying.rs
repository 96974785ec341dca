//! Replays: one, several, again, refused.

use integration::Api;
use integration::api::{from_now, safe_command, unsafe_command};
use integration::wait::eventually;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;
use wire::gateway::command::v1::{
    AttemptOutcome, CommandState, DeadLetterReason, ReplayDeadLetterRequest, ReplayDeadLettersRequest,
    ReplayDeadLettersResponse, SendCommandRequest,
};

use crate::{WORLD, charger, client, expired, get, of, replay, violations};

async fn replay_all(api: &Api, request: ReplayDeadLettersRequest) -> ReplayDeadLettersResponse {
    let replayed = client(api).replay_dead_letters(request).await;
    replayed.expect("the call succeeds").into_inner()
}

#[test]
fn a_replay_is_a_new_command_that_names_the_dead_letter_and_repeating_it_finds_the_same() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("replayed"));
        let request = SendCommandRequest {
            payload_json: r#"{"b":2}"#.to_owned(),
            ..safe_command(&id, "ClearCache")
        };
        let dead = expired(&api, request).await;
        let first = replay(&api, &dead, false).await.unwrap();
        assert!(!first.deduplicated && first.command_id != dead);
        let again = replay(&system.api(2), &dead, false).await.unwrap();
        assert_eq!((&again.command_id, again.deduplicated), (&first.command_id, true));
        let mut charger = charger(system, "replayed").await;
        let call = charger.accept_next().await;
        assert_eq!((&call.id, call.payload), (&first.command_id, json!({"b": 2})));
        let ended = api.reaches(&first.command_id, CommandState::Acknowledged).await;
        assert_eq!(ended.replay_of, dead);
        assert_eq!(get(&api, &dead).await.unwrap().replayed_as, first.command_id);
        assert_eq!(
            replay(&api, &dead, false).await.unwrap().command_id,
            first.command_id
        );
    });
}

#[test]
fn an_unsafe_dead_letter_is_replayed_only_with_the_callers_word() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "unsafe").await, system.api(1));
        let id = api.send(unsafe_command(&charger.id, "Reset")).await;
        assert_eq!(charger.expect_call().await.id, id);
        api.reaches(&id, CommandState::Failed).await;
        let letter = get(&api, &id).await.unwrap();
        assert_eq!(letter.reason(), DeadLetterReason::OutcomeUnknown);
        assert_eq!(
            letter.attempts.last().map(|a| a.outcome()),
            Some(AttemptOutcome::Unknown)
        );
        let refused = replay(&api, &id, false).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let violations = refused.get_details_precondition_failure().unwrap().violations;
        assert_eq!(violations[0].r#type, "SAFE_TO_REPEAT");
        let replayed = replay(&api, &id, true).await.unwrap();
        assert_eq!(charger.accept_next().await.id, replayed.command_id);
        api.reaches(&replayed.command_id, CommandState::Acknowledged)
            .await;
    });
}

/// Three dead letters of one charger; the second is unsafe to repeat.
async fn three(api: &Api, id: &str) -> Vec<String> {
    let mut dead = Vec::new();
    for request in [
        safe_command(id, "ClearCache"),
        unsafe_command(id, "Reset"),
        safe_command(id, "ClearCache"),
    ] {
        dead.push(expired(api, request).await);
    }
    dead
}

fn has_problems(replayed: &ReplayDeadLettersResponse) -> Vec<bool> {
    let outcomes = replayed.outcomes.iter();
    outcomes.map(|outcome| !outcome.problem.is_empty()).collect()
}

fn two_of(id: &str) -> ReplayDeadLettersRequest {
    ReplayDeadLettersRequest {
        filter: Some(of(id)),
        limit: 2,
        ..ReplayDeadLettersRequest::default()
    }
}

#[test]
fn a_dry_run_says_what_would_be_replayed_and_does_nothing() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("planned"));
        let dead = three(&api, &id).await;
        let dry_run = ReplayDeadLettersRequest {
            dry_run: true,
            ..two_of(&id)
        };
        let planned = replay_all(&api, dry_run).await;
        assert_eq!(has_problems(&planned), [false, true]);
        assert!(planned.outcomes.iter().all(|o| o.command_id.is_empty()));
        assert_eq!(get(&api, &dead[0]).await.unwrap().replayed_as, "");
    });
}

#[test]
fn several_are_replayed_in_order_page_by_page_and_again_without_harm() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("bulk"));
        let dead = three(&api, &id).await;
        let first = replay_all(&api, two_of(&id)).await;
        assert_eq!(has_problems(&first), [false, true]);
        let rest = ReplayDeadLettersRequest {
            page_token: first.next_page_token.clone(),
            ..two_of(&id)
        };
        let rest = replay_all(&api, rest).await;
        let all = first.outcomes.iter().chain(&rest.outcomes);
        let ids: Vec<_> = all.map(|o| o.dead_letter_id.clone()).collect();
        assert_eq!((ids, rest.next_page_token.as_str()), (dead, ""));
        // Repeating the whole finds what there is; with the caller's word the rest goes too.
        let again = ReplayDeadLettersRequest {
            allow_unsafe: true,
            limit: 0,
            ..two_of(&id)
        };
        let again = replay_all(&api, again).await;
        let deduplicated: Vec<_> = again.outcomes.iter().map(|o| o.deduplicated).collect();
        assert_eq!(deduplicated, [true, false, true]);
        assert_eq!(again.outcomes[0].command_id, first.outcomes[0].command_id);
        let mut charger = charger(system, "bulk").await;
        for outcome in [&first.outcomes[0], &rest.outcomes[0], &again.outcomes[1]] {
            assert_eq!(charger.accept_next().await.id, outcome.command_id);
        }
    });
}

#[test]
fn what_cannot_be_replayed_for_want_of_room_is_reported_and_the_call_succeeds() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("crowded"));
        let dead = expired(&api, safe_command(&id, "ClearCache")).await;
        for _ in 0..4 {
            api.send(safe_command(&id, "ClearCache")).await;
        }
        assert_eq!(
            replay(&api, &dead, false).await.unwrap_err().code(),
            Code::ResourceExhausted
        );
        let request = ReplayDeadLettersRequest {
            filter: Some(of(&id)),
            ..ReplayDeadLettersRequest::default()
        };
        let outcomes = replay_all(&api, request).await.outcomes;
        assert!(outcomes[0].problem.contains('4'), "{outcomes:?}");
        assert_eq!((outcomes.len(), outcomes[0].command_id.as_str()), (1, ""));
    });
}

#[test]
fn a_replays_deadline_is_judged_as_that_of_any_command() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("late"));
        let dead = expired(&api, safe_command(&id, "ClearCache")).await;
        for wrong in [from_now(-1_000), from_now(30 * 86_400_000)] {
            let request = ReplayDeadLetterRequest {
                command_id: dead.clone(),
                allow_unsafe: false,
                deadline: wrong,
            };
            let refused = client(&api).replay_dead_letter(request).await.unwrap_err();
            assert_eq!(violations(&refused), ["deadline"]);
        }
        let request = ReplayDeadLetterRequest {
            command_id: dead.clone(),
            allow_unsafe: false,
            deadline: from_now(400),
        };
        let replayed = client(&api)
            .replay_dead_letter(request)
            .await
            .unwrap()
            .into_inner();
        api.reaches(&replayed.command_id, CommandState::Expired).await;
        let chain = eventually("the replay is a dead letter itself", async || {
            get(&api, &replayed.command_id).await.ok()
        })
        .await;
        assert_eq!(chain.command.unwrap().replay_of, dead);
    });
}
