//! How a command ends whose charger does not answer, and what a late answer does. Timeouts are short here.

use std::sync::LazyLock;

use integration::api::{from_now, result_of, safe_command, unsafe_command};
use integration::{Charger, Records, System, SystemSpec, World};
use serde_json::json;
use wire::gateway::command::v1::{CommandState, FailureReason, SendCommandRequest};

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let spec = SystemSpec::new("endings")
        .router_set("delivery.attempts", 2)
        .router_set("delivery.answer_timeout_ms", 1_500)
        .router_set("delivery.backoff_base_ms", 50)
        .router_set("delivery.grant_ms", 2_000)
        .router_set("delivery.pod_lease_ms", 3_000)
        .edge_set("pod.renew_ms", 800);
    World::start(spec)
});

async fn charger(system: &System, name: &str) -> Charger {
    let id = system.charger_id(name);
    let charger = Charger::connect(system.edge(1), &id).await;
    system.api(1).connected(&id).await;
    charger
}

#[test]
fn a_safe_command_is_written_again_until_its_attempts_are_exhausted() {
    WORLD.run(async |system| {
        let mut letters = Records::of_dead_letters(system.kafka()).await;
        let (mut charger, api) = (charger(system, "mute").await, system.api(1));
        let id = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.expect_call().await.id, id);
        assert_eq!(
            charger.expect_call().await.id,
            id,
            "the second attempt carries the same messageId"
        );
        let ended = api.reaches(&id, CommandState::Failed).await;
        assert_eq!(
            (ended.failure_reason(), ended.attempts),
            (FailureReason::NoAnswer, 2)
        );
        let letter = letters.dead_letter(&id).await.result.unwrap();
        assert_eq!(
            (letter.state.as_str(), letter.reason.as_str()),
            ("FAILED", "NO_ANSWER")
        );
    });
}

#[test]
fn a_late_answer_to_the_first_attempt_ends_the_command() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "late").await, system.api(1));
        let id = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.expect_call().await.id, id);
        assert_eq!(charger.expect_call().await.id, id);
        charger.answer(&id, &json!({"status": "Accepted"})).await;
        let ended = api.reaches(&id, CommandState::Acknowledged).await;
        assert_eq!(result_of(&ended), json!({"status": "Accepted"}));
    });
}

#[test]
fn an_unsafe_command_without_an_answer_is_not_written_again_and_its_outcome_is_unknown() {
    WORLD.run(async |system| {
        let mut letters = Records::of_dead_letters(system.kafka()).await;
        let mut events = Records::of_events(system.kafka()).await;
        let (mut charger, api) = (charger(system, "unsafe-mute").await, system.api(1));
        let id = api.send(unsafe_command(&charger.id, "Reset")).await;
        let next = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.expect_call().await.id, id);
        // The CALL slot is free again after the timeout, and the next command takes it.
        assert_eq!(charger.accept_next().await.id, next);
        let ended = api.reaches(&id, CommandState::Failed).await;
        assert_eq!(
            (ended.failure_reason(), ended.attempts),
            (FailureReason::OutcomeUnknown, 1)
        );
        assert_eq!(
            letters.dead_letter(&id).await.result.unwrap().reason,
            "OUTCOME_UNKNOWN"
        );
        // An answer after the end is an event and changes nothing.
        charger.answer(&id, &json!({"status": "Accepted"})).await;
        let (_, event) = events.event(&charger.id, "command.response").await;
        let event = if event["messageId"] == id {
            event
        } else {
            events.event(&charger.id, "command.response").await.1
        };
        assert_eq!(
            (event["messageId"].as_str(), event["payload"]["late"].as_bool()),
            (Some(&*id), Some(true))
        );
        assert_eq!(api.get(&id).await, ended);
        let last = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.accept_next().await.id, last);
    });
}

#[test]
fn a_safe_command_that_was_written_before_its_deadline_says_so_when_it_expires() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "expiring").await, system.api(1));
        let request = SendCommandRequest {
            deadline: from_now(1_200),
            ..safe_command(&charger.id, "ClearCache")
        };
        let id = api.send(request).await;
        assert_eq!(charger.expect_call().await.id, id);
        let ended = api.reaches(&id, CommandState::Expired).await;
        assert!(ended.possibly_written);
    });
}

#[test]
fn cancelling_an_unsafe_command_that_is_out_is_noted_and_the_charger_has_the_last_word() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "cancelled-late").await, system.api(1));
        let id = api.send(unsafe_command(&charger.id, "Reset")).await;
        assert_eq!(charger.expect_call().await.id, id);
        let noted = api.cancel(&id).await.unwrap();
        assert_eq!(
            (noted.state(), noted.cancel_requested),
            (CommandState::Delivered, true)
        );
        charger.answer(&id, &json!({"status": "Accepted"})).await;
        api.reaches(&id, CommandState::Acknowledged).await;
    });
}
