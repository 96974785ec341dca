//! Requests that are refused, by field or by what the command is.

use integration::api::{from_now, is_end, safe_command};
use integration::command;
use prost_types::Timestamp;
use tonic::Code;
use wire::gateway::command::v1::{
    CommandState, DeadLetterFilter, ListDeadLettersRequest, PurgeDeadLettersRequest, ReplayDeadLetterRequest,
    ReplayDeadLettersRequest,
};

use crate::{WORLD, charger, client, expired, get, of, replay, violations};

#[test]
fn what_is_no_dead_letter_is_told_apart_from_what_is_not_known() {
    WORLD.run(async |system| {
        let (mut charger, api) = (charger(system, "alive").await, system.api(1));
        let answered = api.send(safe_command(&charger.id, "ClearCache")).await;
        charger.accept_next().await;
        api.reaches(&answered, CommandState::Acknowledged).await;
        let open = api.send(command(&system.charger_id("absent"), "Reset")).await;
        for id in [&answered, &open] {
            for code in [
                get(&api, id).await.unwrap_err().code(),
                replay(&api, id, true).await.unwrap_err().code(),
            ] {
                assert_eq!(code, Code::FailedPrecondition, "{id}");
            }
        }
        let last = if open.ends_with('0') { "1" } else { "0" };
        let unknown = format!("{}{last}", &open[..open.len() - 1]);
        for code in [
            get(&api, &unknown).await.unwrap_err().code(),
            replay(&api, &unknown, true).await.unwrap_err().code(),
        ] {
            assert_eq!(code, Code::NotFound);
        }
        assert!(!is_end(api.get(&open).await.state()));
    });
}

/// A filter of which every field is wrong.
fn bad_filter() -> Option<DeadLetterFilter> {
    Some(DeadLetterFilter {
        charge_point_id: "a b".to_owned(),
        action: "Re-set".to_owned(),
        reasons: vec![99],
        ended_after: from_now(0),
        ended_before: from_now(-1_000),
    })
}

/// The fields of that filter, and some more.
fn in_filter_and(more: &[&str]) -> Vec<String> {
    let fields = ["charge_point_id", "action", "reasons", "ended_before"];
    let in_filter = fields.iter().map(|field| format!("filter.{field}"));
    in_filter.chain(more.iter().map(ToString::to_string)).collect()
}

#[test]
fn every_wrong_field_of_a_filter_is_named() {
    WORLD.run(async |system| {
        let mut client = client(&system.api(1));
        let list = ListDeadLettersRequest {
            filter: bad_filter(),
            page_size: 1_001,
            page_token: String::new(),
        };
        let refused = client.list_dead_letters(list).await.unwrap_err();
        assert_eq!(violations(&refused), in_filter_and(&["page_size"]));
        let bulk = ReplayDeadLettersRequest {
            filter: bad_filter(),
            limit: 1_001,
            deadline: Some(BEFORE_1970),
            ..ReplayDeadLettersRequest::default()
        };
        let refused = client.replay_dead_letters(bulk).await.unwrap_err();
        assert_eq!(violations(&refused), in_filter_and(&["deadline", "limit"]));
        let purge = PurgeDeadLettersRequest {
            filter: bad_filter(),
            command_ids: vec!["x".to_owned()],
            ..PurgeDeadLettersRequest::default()
        };
        let refused = client.purge_dead_letters(purge).await.unwrap_err();
        assert_eq!(violations(&refused), in_filter_and(&["command_ids[0]"]));
    });
}

#[test]
fn a_call_that_changes_many_and_chooses_none_is_refused_and_changes_nothing() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("unchosen"));
        let dead = expired(&api, command(&id, "Reset")).await;
        let mut client = client(&api);
        let refused = client
            .purge_dead_letters(PurgeDeadLettersRequest::default())
            .await;
        assert_eq!(violations(&refused.unwrap_err()), ["filter"]);
        let refused = client
            .replay_dead_letters(ReplayDeadLettersRequest::default())
            .await;
        assert_eq!(violations(&refused.unwrap_err()), ["filter"]);
        let kept = get(&api, &dead).await.unwrap();
        assert!(kept.replayed_as.is_empty());
    });
}

const BEFORE_1970: Timestamp = Timestamp {
    seconds: -1,
    nanos: 0,
};

#[test]
fn an_ill_formed_id_or_deadline_is_named() {
    WORLD.run(async |system| {
        let api = system.api(1);
        let one = ReplayDeadLetterRequest {
            command_id: "x".to_owned(),
            allow_unsafe: true,
            deadline: Some(BEFORE_1970),
        };
        let refused = client(&api).replay_dead_letter(one).await.unwrap_err();
        assert_eq!(violations(&refused), ["command_id", "deadline"]);
        assert_eq!(violations(&get(&api, "").await.unwrap_err()), ["command_id"]);
    });
}

#[test]
fn a_page_token_of_another_request_is_refused() {
    WORLD.run(async |system| {
        let (api, id) = (system.api(1), system.charger_id("tokens"));
        for _ in 0..2 {
            expired(&api, command(&id, "Reset")).await;
        }
        let mut client = client(&api);
        let request = |filter, page_token: &str| ListDeadLettersRequest {
            filter: Some(filter),
            page_size: 1,
            page_token: page_token.to_owned(),
        };
        let page = client.list_dead_letters(request(of(&id), "")).await.unwrap();
        let token = page.into_inner().next_page_token;
        assert!(client.list_dead_letters(request(of(&id), &token)).await.is_ok());
        for (filter, token) in [
            (of("another"), &*token),
            (of(&id), "nonsense"),
            (of(&id), "\u{0}"),
        ] {
            let refused = client
                .list_dead_letters(request(filter, token))
                .await
                .unwrap_err();
            assert_eq!(violations(&refused), ["page_token"], "{token:?}");
        }
        let bulk = PurgeDeadLettersRequest {
            filter: Some(of(&id)),
            page_token: token,
            dry_run: true,
            ..PurgeDeadLettersRequest::default()
        };
        assert_eq!(
            violations(&client.purge_dead_letters(bulk).await.unwrap_err()),
            ["page_token"]
        );
    });
}
