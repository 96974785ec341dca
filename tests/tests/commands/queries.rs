//! What a caller can ask: keys, lists, the registry, health and reflection.

use integration::api::{from_now, is_end, safe_command};
use integration::{Api, Charger, command};
use prost_types::Timestamp;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt;
use wire::gateway::command::v1::{CommandState, ListCommandsRequest, Priority, SendCommandRequest};
use wire::gateway::registry::v1::{GetConnectionRequest, ListConnectionsRequest};

use crate::WORLD;

#[test]
fn an_idempotency_key_names_one_command_of_one_charger() {
    WORLD.run(async |system| {
        let (api, other_router) = (system.api(1), system.api(2));
        let request = SendCommandRequest {
            idempotency_key: "order 66".to_owned(),
            ..command(&system.charger_id("idempotent"), "Reset")
        };
        let first = api.try_send(request.clone()).await.unwrap();
        assert!(!first.deduplicated);
        // Priority and deadline are no part of the content.
        let again = SendCommandRequest {
            priority: Priority::High.into(),
            deadline: from_now(60_000),
            ..request.clone()
        };
        let again = other_router.try_send(again).await.unwrap();
        assert_eq!((&again.command_id, again.deduplicated), (&first.command_id, true));
        let other_payload = SendCommandRequest {
            payload_json: r#"{"type":"Hard"}"#.to_owned(),
            ..request.clone()
        };
        assert_eq!(
            api.try_send(other_payload).await.unwrap_err().code(),
            Code::AlreadyExists
        );
        let other_charger = SendCommandRequest {
            charge_point_id: system.charger_id("other"),
            ..request
        };
        assert_ne!(
            api.try_send(other_charger).await.unwrap().command_id,
            first.command_id
        );
    });
}

/// The ids of a charger's commands in these states, page by page.
async fn pages(api: &Api, charge_point_id: &str, states: &[CommandState]) -> Vec<Vec<String>> {
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListCommandsRequest {
            charge_point_id: charge_point_id.to_owned(),
            states: states.iter().map(|state| (*state).into()).collect(),
            page_size: 2,
            page_token,
            ..ListCommandsRequest::default()
        };
        let page = api.commands.clone().list_commands(request).await;
        let Ok(page) = page else {
            panic!("no page but {page:?}")
        };
        let page = page.into_inner();
        pages.push(
            page.commands
                .into_iter()
                .map(|command| command.command_id)
                .collect(),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[test]
fn a_list_of_commands_comes_in_pages_and_can_be_narrowed_to_states() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("listed"));
        let mut sent = Vec::new();
        for _ in 0..5 {
            sent.push(api.send(command(&id, "ClearCache")).await);
        }
        api.cancel(&sent[4]).await.unwrap();
        let all = pages(&api, &id, &[]).await;
        assert!(
            all.iter().all(|page| page.len() <= 2) && all.len() >= 3,
            "{all:?}"
        );
        assert_eq!(all.concat(), sent, "oldest first");
        assert_eq!(
            pages(&api, &id, &[CommandState::Cancelled]).await.concat(),
            sent[4..]
        );
        assert_eq!(
            pages(&api, &id, &[CommandState::Pending]).await.concat(),
            sent[..4]
        );
        let bad = ListCommandsRequest {
            page_size: 1_001,
            ..ListCommandsRequest::default()
        };
        assert_eq!(
            api.commands.clone().list_commands(bad).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    });
}

/// Three commands of one charger, and when the second was accepted.
async fn three(api: &Api, id: &str) -> (Vec<String>, Option<Timestamp>) {
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(api.send(command(id, "ClearCache")).await);
    }
    let second = api.get(&sent[1]).await.created_at;
    (sent, second)
}

#[test]
fn a_list_of_commands_can_be_narrowed_to_a_range_of_time() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("dated"));
        let (sent, second) = three(&api, &id).await;
        let all = ListCommandsRequest {
            charge_point_id: id,
            ..ListCommandsRequest::default()
        };
        let listed = async |request: ListCommandsRequest| -> Vec<String> {
            let page = api.commands.clone().list_commands(request).await.unwrap();
            let commands = page.into_inner().commands.into_iter();
            commands.map(|command| command.command_id).collect()
        };
        let from = ListCommandsRequest {
            created_after: second,
            ..all.clone()
        };
        assert_eq!(listed(from).await, sent[1..]);
        let before = ListCommandsRequest {
            created_before: second,
            ..all
        };
        assert_eq!(listed(before).await, sent[..1]);
    });
}

#[test]
fn an_empty_range_of_time_and_a_token_of_another_request_are_refused() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("misdated"));
        let (_, second) = three(&api, &id).await;
        let list = async |request| api.commands.clone().list_commands(request).await;
        let first = ListCommandsRequest {
            charge_point_id: id,
            page_size: 1,
            ..ListCommandsRequest::default()
        };
        let page_token = list(first.clone()).await.unwrap().into_inner().next_page_token;
        let of_another = ListCommandsRequest {
            created_after: second,
            page_token,
            ..first.clone()
        };
        let empty = ListCommandsRequest {
            created_after: second,
            created_before: second,
            ..first
        };
        for (wrong, field) in [(of_another, "page_token"), (empty, "created_before")] {
            let refused = list(wrong).await.unwrap_err();
            let details = refused.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, field);
        }
    });
}

/// The chargers of a pod, read page by page.
async fn chargers_of(api: &Api, pod_id: &str) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListConnectionsRequest {
            pod_id: pod_id.to_owned(),
            page_size: 1,
            page_token,
        };
        let page = api.registry.clone().list_connections(request).await;
        let Ok(page) = page else {
            panic!("no page but {page:?}")
        };
        let page = page.into_inner();
        assert!(
            page.connections
                .iter()
                .all(|connection| connection.pod_id == pod_id)
        );
        found.extend(
            page.connections
                .into_iter()
                .map(|connection| connection.charge_point_id),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

#[test]
fn the_registry_knows_who_is_connected_where() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(2), system.charger_id("registered"));
        let unseen = GetConnectionRequest {
            charge_point_id: id.clone(),
        };
        assert_eq!(
            api.registry
                .clone()
                .get_connection(unseen)
                .await
                .unwrap_err()
                .code(),
            Code::NotFound
        );
        let charger = Charger::connect_as(system.edge(2), &id, "ocpp2.0.1").await;
        let first = api.connected(&id).await;
        assert_eq!(
            (first.pod_id.as_str(), first.ocpp_version.as_str()),
            (system.pod(2).as_str(), "ocpp2.0.1")
        );
        assert!(first.version > 0 && first.incarnation > 0);
        let (from, until) = (first.registered_at.unwrap(), first.expires_at.unwrap());
        assert!((from.seconds, from.nanos) < (until.seconds, until.nanos));
        let found = chargers_of(&api, &system.pod(2)).await;
        assert!(found.contains(&id), "{found:?}");
        charger.close().await;
        api.connection_where(&id, "is over", |connection| !connection.connected)
            .await;
        let _again = Charger::connect(system.edge(1), &id).await;
        let second = api.connected(&id).await;
        assert_eq!(
            (second.pod_id, second.ocpp_version.as_str()),
            (system.pod(1), "ocpp1.6")
        );
        assert!(second.version > first.version);
    });
}

#[test]
fn all_three_versions_of_the_protocol_are_spoken_and_the_chargers_preference_counts() {
    WORLD.run(async |system| {
        let api = system.api(1);
        for (offered, chosen) in [
            ("ocpp2.1", "ocpp2.1"),
            ("ocpp2.0.1, ocpp1.6", "ocpp2.0.1"),
            ("ocpp9.9, ocpp1.6, ocpp2.1", "ocpp1.6"),
        ] {
            let id = system.charger_id(&format!("speaks-{chosen}"));
            let mut charger = Charger::connect_as(system.edge(1), &id, offered).await;
            assert_eq!(api.connected(&id).await.ocpp_version, chosen);
            let command_id = api.send(safe_command(&id, "ClearCache")).await;
            assert_eq!(charger.accept_next().await.id, command_id);
            assert!(is_end(api.end_of(&command_id).await.state()));
        }
    });
}

#[test]
fn health_is_told_a_service() {
    WORLD.run(async |system| {
        let mut health = HealthClient::new(system.api(1).channel);
        for service in [
            "",
            "gateway.command.v1.CommandService",
            "gateway.registry.v1.RegistryService",
        ] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let answer = health.check(request).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
        }
        let unknown = HealthCheckRequest {
            service: "no.such.Service".to_owned(),
        };
        assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn reflection_names_every_service() {
    WORLD.run(async |system| {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request,
        };
        let asked = futures_util::stream::once(async { ask });
        let mut client = ServerReflectionClient::new(system.api(1).channel);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(list)) = answer else {
            panic!("no list but {answer:?}")
        };
        let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        for service in [
            "gateway.command.v1.CommandService",
            "gateway.command.v1.DeadLetterService",
            "gateway.registry.v1.RegistryService",
            "gateway.link.v1.EdgeLinkService",
            "grpc.health.v1.Health",
        ] {
            assert!(
                names.iter().any(|name| name == service),
                "{service} is not in {names:?}"
            );
        }
    });
}
