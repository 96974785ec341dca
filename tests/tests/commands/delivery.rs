//! From the caller to the charger and back.

use std::time::Duration;

use integration::api::{from_now, result_of, safe_command, unsafe_command};
use integration::wait::{stays_silent, within};
use integration::{Api, Charger, Companion, Records, command};
use serde_json::json;
use tonic::{Code, Streaming};
use wire::gateway::command::v1::{
    Command, CommandState, Priority, SendCommandRequest, WatchCommandRequest, WatchCommandResponse, answer,
};

use crate::{WORLD, charger};

/// What no correct gateway would delay, had it anything to send.
const A_WHILE: Duration = Duration::from_millis(300);

/// What the charger says below: its own text, blanks included.
const ANSWER: &str = r#"{"configurationKey":[], "unknownKey":["x"]}"#;

/// The stream of a command's states.
async fn watched(api: &Api, id: &str) -> Streaming<WatchCommandResponse> {
    let request = WatchCommandRequest {
        command_id: id.to_owned(),
    };
    let Ok(response) = api.commands.clone().watch_command(request).await else {
        panic!("{id} cannot be watched")
    };
    response.into_inner()
}

/// The last state of a stream that ends in order.
async fn last_of(mut watch: Streaming<WatchCommandResponse>) -> Option<Command> {
    let mut last = None;
    while let Ok(Some(update)) = watch.message().await {
        last = update.command;
    }
    last
}

#[test]
fn an_answer_is_seen_by_whoever_asks_and_whoever_watches() {
    WORLD.run(async |system| {
        let mut charger = charger(system, "first").await;
        let (api, other_router) = (system.api(1), system.api(2));
        let payload_json = r#"{"key":["HeartbeatInterval"]}"#.to_owned();
        let request = SendCommandRequest {
            payload_json,
            ..command(&charger.id, "GetConfiguration")
        };
        let id = api.send(request).await;
        let watch = watched(&other_router, &id).await;

        let call = charger.expect_call().await;
        assert_eq!((&call.id, call.action.as_str()), (&id, "GetConfiguration"));
        assert_eq!(call.payload, json!({"key": ["HeartbeatInterval"]}));
        charger.send_text(&format!(r#"[3,"{id}",{ANSWER}]"#)).await;

        let ended = other_router.reaches(&id, CommandState::Acknowledged).await;
        assert_eq!(
            result_of(&ended),
            json!({"configurationKey": [], "unknownKey": ["x"]})
        );
        assert_eq!(
            (ended.attempts, ended.last_pod_id.as_str()),
            (1, system.pod(1).as_str())
        );
        assert!(ended.ended_at.is_some() && !ended.possibly_written);
        let last = within("the watch ends", last_of(watch)).await;
        assert_eq!(last.unwrap().state(), CommandState::Acknowledged);
    });
}

#[test]
fn an_answer_leaves_as_a_result_and_as_an_event() {
    WORLD.run(async |system| {
        let mut results = Records::of_results(system.kafka()).await;
        let mut events = Records::of_events(system.kafka()).await;
        let mut charger = charger(system, "recorded").await;
        let id = system.api(1).send(command(&charger.id, "GetConfiguration")).await;
        assert_eq!(charger.expect_call().await.id, id);
        charger.send_text(&format!(r#"[3,"{id}",{ANSWER}]"#)).await;
        let result = results.result(&id).await;
        assert_eq!((result.state.as_str(), result.attempts), ("ACKNOWLEDGED", 1));
        assert_eq!(result.result_json, ANSWER);
        assert_eq!(
            (&result.charge_point_id, result.action.as_str()),
            (&charger.id, "GetConfiguration")
        );
        assert!(result.sequence > 0 && !result.record_id.is_empty());
        let (key, event) = events.event(&charger.id, "command.response").await;
        assert_eq!(key, charger.id);
        assert_eq!(
            (&event["messageId"], &event["action"]),
            (&json!(id), &json!("GetConfiguration"))
        );
        assert_eq!(event["gatewayId"], system.pod(1));
    });
}

#[test]
fn a_chargers_rejection_is_its_answer_and_nothing_is_sent_again() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "rejecting").await, system.api(1));
        let rejected = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.expect_call().await.id, rejected);
        charger.answer(&rejected, &json!({"status": "Rejected"})).await;
        let ended = api.reaches(&rejected, CommandState::Acknowledged).await;
        assert_eq!(
            (result_of(&ended), ended.attempts),
            (json!({"status": "Rejected"}), 1)
        );

        let refused = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.expect_call().await.id, refused);
        charger
            .answer_error(&refused, "NotSupported", "no cache here")
            .await;
        let ended = api.reaches(&refused, CommandState::Acknowledged).await;
        let Some(answer::Kind::Error(error)) = ended.answer.unwrap().kind else {
            panic!("a CALLERROR was sent")
        };
        assert_eq!(
            (error.code.as_str(), error.description.as_str()),
            ("NotSupported", "no cache here")
        );
        assert_eq!(ended.attempts, 1);

        let next = api.send(safe_command(&charger.id, "ClearCache")).await;
        assert_eq!(charger.accept_next().await.id, next);
    });
}

#[test]
fn safe_and_unsafe_commands_are_both_written_once_to_a_charger_that_answers() {
    WORLD.run(async |system| {
        let api = system.api(1);
        let companion = Companion::connected(&system.charger_id("both"), vec![system.edge(2)]).await;
        for request in [
            unsafe_command(&companion.id, "Reset"),
            safe_command(&companion.id, "ClearCache"),
        ] {
            let id = api.send(request).await;
            assert_eq!(api.reaches(&id, CommandState::Acknowledged).await.attempts, 1);
            assert_eq!(companion.times_received(&id), 1);
        }
    });
}

#[test]
fn an_urgent_command_overtakes_those_of_low_priority_that_wait() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "urgent").await, system.api(1));
        let with = |priority: Priority| {
            let priority = priority.into();
            SendCommandRequest {
                priority,
                ..safe_command(&charger.id, "ClearCache")
            }
        };
        let first = api.send(with(Priority::Low)).await;
        // It waits for the charger's answer from here on, so none of the others can be the first.
        api.reaches(&first, CommandState::Delivered).await;
        let mut low = Vec::new();
        for _ in 0..5 {
            low.push(api.send(with(Priority::Low)).await);
        }
        let high = api.send(with(Priority::High)).await;
        let urgent = api.send(with(Priority::Urgent)).await;
        api.reaches(&urgent, CommandState::Sent).await;
        let mut order = Vec::new();
        for _ in 0..8 {
            order.push(charger.accept_next().await.id);
        }
        let place = |id: &String| order.iter().position(|written| written == id).unwrap();
        assert_eq!(place(&first), 0);
        // At most one lower write may have been on its way to the charger when the urgent one came to the edge.
        assert!(place(&urgent) <= 2, "{order:?}");
        assert!(place(&high) < place(&low[1]), "{order:?}");
        let of_low: Vec<_> = order.iter().filter(|id| low.contains(id)).cloned().collect();
        assert_eq!(
            of_low, low,
            "those of one priority keep the order of their arrival"
        );
    });
}

#[test]
fn a_charger_never_has_more_than_one_call_to_answer() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "one-call").await, system.api(1));
        let urgent = SendCommandRequest {
            priority: Priority::Urgent.into(),
            ..safe_command(&charger.id, "ClearCache")
        };
        let mut sent = Vec::new();
        for request in [
            safe_command(&charger.id, "ClearCache"),
            unsafe_command(&charger.id, "Reset"),
            urgent,
        ] {
            sent.push(api.send(request).await);
        }
        for _ in 0..sent.len() {
            let call = charger.expect_call().await;
            let second = stays_silent(charger.next_call(), A_WHILE).await;
            assert_eq!(second, None, "a second CALL came before {} was answered", call.id);
            charger.answer(&call.id, &json!({"status": "Accepted"})).await;
        }
        for id in sent {
            api.reaches(&id, CommandState::Acknowledged).await;
        }
    });
}

#[test]
fn a_command_for_an_absent_charger_waits_and_is_written_when_it_connects() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("absent"));
        let waiting = api.send(unsafe_command(&id, "UnlockConnector")).await;
        let pending = api.get(&waiting).await;
        assert_eq!((pending.state(), pending.attempts), (CommandState::Pending, 0));
        let mut charger = Charger::connect(system.edge(2), &id).await;
        assert_eq!(charger.accept_next().await.id, waiting);
        api.reaches(&waiting, CommandState::Acknowledged).await;
    });
}

#[test]
fn a_cancelled_command_is_never_written() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("cancelled"));
        let cancelled = api.send(command(&id, "Reset")).await;
        let kept = api.send(command(&id, "UnlockConnector")).await;
        let ended = api.cancel(&cancelled).await.unwrap();
        assert_eq!(
            (ended.state(), ended.possibly_written),
            (CommandState::Cancelled, false)
        );
        let mut charger = Charger::connect(system.edge(1), &id).await;
        assert_eq!(charger.accept_next().await.id, kept);
        api.reaches(&kept, CommandState::Acknowledged).await;
        let refused = api.cancel(&kept).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(
            refused.message(),
            format!("command {kept} has ended: it is ACKNOWLEDGED")
        );
        assert_eq!(api.get(&cancelled).await.state(), CommandState::Cancelled);
    });
}

#[test]
fn a_command_that_nobody_took_expires_at_its_deadline_and_becomes_a_dead_letter() {
    WORLD.run(async |system| {
        let mut letters = Records::of_dead_letters(system.kafka()).await;
        let mut results = Records::of_results(system.kafka()).await;
        let api = system.api(1);
        let request = SendCommandRequest {
            deadline: from_now(1_500),
            payload_json: r#"{"connectorId":3}"#.to_owned(),
            ..command(&system.charger_id("never-there"), "UnlockConnector")
        };
        let id = api.send(request).await;
        let ended = api.reaches(&id, CommandState::Expired).await;
        assert_eq!((ended.attempts, ended.possibly_written), (0, false));
        assert_eq!(results.result(&id).await.state, "EXPIRED");
        let letter = letters.dead_letter(&id).await;
        assert_eq!(letter.payload_json, r#"{"connectorId":3}"#);
        assert!(letter.unsafe_to_repeat);
    });
}
