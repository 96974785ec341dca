//! The verbs that read, `cancel`, and the status for each code.

use super::*;

#[tokio::test]
async fn every_code_has_its_status() {
    let cases = [
        (Code::NotFound, ExitStatus::NotFound),
        (Code::InvalidArgument, ExitStatus::InvalidArgument),
        (Code::Unavailable, ExitStatus::Unavailable),
        (Code::AlreadyExists, ExitStatus::Conflict),
        (Code::FailedPrecondition, ExitStatus::Conflict),
        (Code::ResourceExhausted, ExitStatus::ResourceExhausted),
        (Code::DeadlineExceeded, ExitStatus::TimedOut),
        (Code::PermissionDenied, ExitStatus::Denied),
        (Code::Internal, ExitStatus::Unexpected),
        (Code::Unimplemented, ExitStatus::Unexpected),
    ];
    for (code, status) in cases {
        let script = Script {
            get: [Err(Status::new(code, "told so"))].into(),
            ..Script::default()
        };
        let router = FakeRouter::start(script).await;
        let outcome = run(&[router.address], &["get", "c-1", "--retries", "0"], "").await;
        assert_eq!(outcome.status, status, "{code:?}: {outcome:?}");
        assert!(outcome.stderr.contains("told so"), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
        router.stop().await;
    }
}

#[tokio::test]
async fn a_router_that_accepts_connections_and_says_nothing_times_out() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = ["get", "c-1", "--retries", "0", "--timeout", "100ms"];
    let outcome = run(&[silent.local_addr().unwrap()], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::TimedOut, "{outcome:?}");
}

#[tokio::test]
async fn get_prints_a_table_for_people() {
    let router = FakeRouter::start(Script {
        get: [Ok(result())].into(),
        ..Script::default()
    })
    .await;
    let outcome = run(&[router.address], &["get", "c-1"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok);
    assert!(outcome.stdout.contains("acknowledged"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("CALLRESULT {\"status\":\"Accepted\"}"),
        "{outcome:?}"
    );
    router.stop().await;
}

/// A page of `count` commands that is followed by the page `next`.
fn page(count: u64, next: &str) -> ListCommandsResponse {
    let commands = (0..count)
        .map(|revision| command(CommandState::Pending, revision))
        .collect();
    ListCommandsResponse {
        commands,
        next_page_token: next.to_owned(),
    }
}

#[tokio::test]
async fn list_reads_page_after_page_up_to_its_limit() {
    let script = Script {
        list: [page(200, "a"), page(50, "b")].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let line = "list --charger CP-1 --state pending,sent --limit 250 --output json \
                --since 2h --until 2030-03-17T17:00:00Z";
    let line: Vec<&str> = line.split_whitespace().collect();
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert_eq!(outcome.json()["commands"].as_array().unwrap().len(), 250);
    assert_eq!(outcome.json()["more"], true);
    let listed = router.script().listed.clone();
    let pages: Vec<_> = listed
        .iter()
        .map(|page| (page.page_size, page.page_token.as_str()))
        .collect();
    assert_eq!(pages, [(200, ""), (50, "a")]);
    assert_eq!(
        listed[1].states,
        [CommandState::Pending as i32, CommandState::Sent as i32]
    );
    assert_eq!(listed[1].charge_point_id, "CP-1");
    let since = now() - Duration::from_secs(7_200);
    assert_eq!(listed[1].created_after, Some(since.into()));
    assert_eq!(
        listed[1].created_before.map(|time| time.to_string()),
        Some("2030-03-17T17:00:00Z".to_owned())
    );
    router.stop().await;
}

#[tokio::test]
async fn list_reads_all_when_asked_to_also_past_an_empty_page() {
    let script = Script {
        list: [page(3, "a"), page(0, "b"), page(1, "")].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let outcome = run(&[router.address], &["list", "--all"], "").await;
    assert_eq!(outcome.stdout.lines().count(), 5, "{outcome:?}");
    assert_eq!(outcome.stderr, "");
    router.stop().await;
}

#[tokio::test]
async fn a_list_that_its_limit_cut_short_says_so() {
    let router = FakeRouter::start(Script {
        list: [page(2, "a")].into(),
        ..Script::default()
    })
    .await;
    let outcome = run(&[router.address], &["list", "--limit", "2"], "").await;
    assert!(outcome.stderr.contains("--all"), "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn cancel_prints_what_became_of_it() {
    let noted = Command {
        cancel_requested: true,
        ..command(CommandState::Delivered, 3)
    };
    let router = FakeRouter::start(Script {
        cancel: [Ok(noted)].into(),
        ..Script::default()
    })
    .await;
    let outcome = run(&[router.address], &["cancel", "c-1", "--output", "json"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert_eq!(outcome.json()["cancel_requested"], true);
    router.stop().await;
}

#[tokio::test]
async fn a_cancel_whose_answer_was_lost_is_settled_by_a_look() {
    let ended = || Status::failed_precondition("the command has ended");
    let script = Script {
        cancel: [Err(unavailable()), Err(ended())].into(),
        get: [Ok(command(CommandState::Cancelled, 5))].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let outcome = run(&[router.address], &["cancel", "c-1", "--output", "json"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert_eq!(outcome.json()["state"], "cancelled");

    router.script().cancel = [Err(ended())].into();
    let outcome = run(&[router.address], &["cancel", "c-1"], "").await;
    assert_eq!(outcome.status, ExitStatus::Conflict, "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn connections_are_read_and_listed() {
    let connection = || Connection {
        charge_point_id: "CP-1".to_owned(),
        pod_id: "edge-1".to_owned(),
        connected: true,
        ..Connection::default()
    };
    let page = ListConnectionsResponse {
        connections: vec![connection()],
        next_page_token: String::new(),
    };
    let script = Script {
        connection: [
            Ok(GetConnectionResponse {
                connection: Some(connection()),
            }),
            Err(Status::not_found("CP-2 was never seen")),
        ]
        .into(),
        connections: [page].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let one = run(
        &[router.address],
        &["conn", "get", "CP-1", "--output", "json"],
        "",
    )
    .await;
    assert_eq!(
        (one.status, &one.json()["pod_id"]),
        (ExitStatus::Ok, &"edge-1".into())
    );
    let missing = run(&[router.address], &["conn", "get", "CP-2"], "").await;
    assert_eq!(missing.status, ExitStatus::NotFound);
    let all = run(&[router.address], &["conn", "list", "--pod", "edge-1"], "").await;
    assert_eq!(all.stdout.lines().count(), 2, "{all:?}");
    assert_eq!(router.script().connections_listed[0].pod_id, "edge-1");
    router.stop().await;
}
