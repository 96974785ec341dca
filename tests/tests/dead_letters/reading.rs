//! What a dead letter tells, and which ones are listed and removed.

use integration::api::safe_command;
use integration::{Api, Records, command};
use prost::Message as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use wire::gateway::command::v1::{
    AttemptOutcome, CommandState, DeadLetterFilter, DeadLetterReason, PurgeDeadLettersRequest,
    PurgeDeadLettersResponse, SendCommandRequest,
};
use wire::gateway::record::v1 as record;

use crate::{WORLD, charger, client, expired, get, listed, of};

async fn purge(api: &Api, request: PurgeDeadLettersRequest) -> PurgeDeadLettersResponse {
    let purged = client(api).purge_dead_letters(request).await;
    purged.expect("the call succeeds").into_inner()
}

/// The dead letter of a command on Kafka, and the trace that its record carries.
async fn on_kafka(letters: &mut Records, id: &str) -> (record::DeadLetter, String) {
    letters
        .first(&format!("the dead letter of {id} is on Kafka"), |read| {
            let letter = record::DeadLetter::decode(read.payload.clone()).ok()?;
            let of_it = letter
                .result
                .as_ref()
                .is_some_and(|result| result.command_id == id);
            let trace = read.headers.get_str("traceparent").unwrap_or_default().to_owned();
            of_it.then_some((letter, trace))
        })
        .await
}

#[test]
fn a_dead_letter_tells_every_attempt_by_the_api_and_on_kafka() {
    WORLD.run(async |system| {
        let mut letters = Records::of_dead_letters(system.kafka()).await;
        let (mut charger, api) = (charger(system, "mute").await, system.api(1));
        let request = SendCommandRequest {
            payload_json: r#"{"a": 1}"#.to_owned(),
            ..safe_command(&charger.id, "ClearCache")
        };
        let id = api.send(request).await;
        for _ in 0..2 {
            assert_eq!(charger.expect_call().await.id, id);
        }
        let ended = api.reaches(&id, CommandState::Failed).await;
        let letter = get(&system.api(2), &id).await.unwrap();
        assert_eq!(letter.reason(), DeadLetterReason::NoAnswer);
        let command = letter.command.clone().unwrap();
        assert_eq!(command.payload_json, r#"{"a": 1}"#);
        assert_eq!((command.ended_at, command.attempts), (ended.ended_at, 2));
        let version = api.connected(&charger.id).await.version;
        for (attempt, number) in letter.attempts.iter().zip(1..) {
            assert_eq!(
                (attempt.number, attempt.outcome()),
                (number, AttemptOutcome::NoAnswer)
            );
            assert_eq!(
                (&attempt.pod_id, attempt.connection_version),
                (&system.pod(1), version)
            );
            assert!(attempt.at.is_some() && attempt.incarnation > 0);
        }
        assert_eq!((letter.attempts.len(), letter.replayed_as.as_str()), (2, ""));
        let (published, trace) = on_kafka(&mut letters, &id).await;
        let told: Vec<_> = published
            .attempts
            .iter()
            .map(|a| (a.number, a.outcome.as_str()))
            .collect();
        assert_eq!(told, [(1, "NO_ANSWER"), (2, "NO_ANSWER")]);
        assert_eq!(trace.split('-').nth(1), Some(&*id.replace('-', "")), "{trace}");
    });
}

#[test]
fn dead_letters_are_listed_by_charger_action_reason_and_time_page_by_page() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("listed"));
        let mut sent = Vec::new();
        for action in ["Reset", "ClearCache", "Reset"] {
            sent.push(expired(&api, command(&id, action)).await);
        }
        let pages = listed(&api, &of(&id), 2).await;
        assert!(
            pages.len() >= 2 && pages.iter().all(|page| page.len() <= 2),
            "{pages:?}"
        );
        assert_eq!(pages.concat(), sent, "oldest first");
        let narrowed = async |filter: DeadLetterFilter| listed(&api, &filter, 0).await.concat();
        let action = "Reset".to_owned();
        assert_eq!(
            narrowed(DeadLetterFilter { action, ..of(&id) }).await,
            [&*sent[0], &*sent[2]]
        );
        let reasons = vec![DeadLetterReason::NoAnswer.into()];
        assert!(narrowed(DeadLetterFilter { reasons, ..of(&id) }).await.is_empty());
        let reasons = vec![
            DeadLetterReason::NoAnswer.into(),
            DeadLetterReason::Expired.into(),
        ];
        assert_eq!(narrowed(DeadLetterFilter { reasons, ..of(&id) }).await, sent);
        let second = api.get(&sent[1]).await.ended_at;
        let after = DeadLetterFilter {
            ended_after: second,
            ..of(&id)
        };
        assert_eq!(narrowed(after).await, sent[1..]);
        let before = DeadLetterFilter {
            ended_before: second,
            ..of(&id)
        };
        assert_eq!(narrowed(before).await, sent[..1]);
    });
}

#[test]
fn purging_removes_those_that_match_with_their_commands_and_a_dry_run_removes_none() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("purged"));
        let mut dead = Vec::new();
        for action in ["Reset", "ClearCache", "Reset", "Reset"] {
            dead.push(expired(&api, command(&id, action)).await);
        }
        let action = "Reset".to_owned();
        let resets = PurgeDeadLettersRequest {
            filter: Some(DeadLetterFilter { action, ..of(&id) }),
            limit: 2,
            ..PurgeDeadLettersRequest::default()
        };
        let dry_run = true;
        let planned = purge(
            &api,
            PurgeDeadLettersRequest {
                dry_run,
                ..resets.clone()
            },
        )
        .await;
        assert_eq!(planned.command_ids, [&*dead[0], &*dead[2]]);
        assert_eq!(listed(&api, &of(&id), 0).await.concat(), dead);
        // Those named must match the filter too; others, twice named ones and unknown ones are no error.
        let unknown = api.send(command(&id, "Reset")).await;
        let named = PurgeDeadLettersRequest {
            command_ids: vec![dead[3].clone(), dead[1].clone(), dead[3].clone(), unknown],
            ..resets.clone()
        };
        assert_eq!(purge(&api, named).await.command_ids, [&*dead[3]]);
        assert_eq!(purge(&api, resets).await.command_ids, [&*dead[0], &*dead[2]]);
        assert_eq!(listed(&api, &of(&id), 0).await.concat(), [&*dead[1]]);
        assert_eq!(api.try_get(&dead[0]).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(get(&api, &dead[0]).await.unwrap_err().code(), Code::NotFound);
        assert!(api.try_get(&dead[1]).await.is_ok());
    });
}

#[test]
fn the_service_is_healthy() {
    WORLD.run(async |system| {
        let request = HealthCheckRequest {
            service: "gateway.command.v1.DeadLetterService".to_owned(),
        };
        let mut health = HealthClient::new(system.api(1).channel);
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    });
}
