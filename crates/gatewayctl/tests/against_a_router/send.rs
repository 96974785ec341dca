//! `send`: what is asked, what is repeated, what is printed, and waiting for the end.

use super::*;

#[tokio::test]
async fn send_asks_for_what_the_line_says() {
    let router = FakeRouter::start(Script {
        send: [accepted()].into(),
        ..Script::default()
    })
    .await;
    let line = [
        "send",
        "CP-1",
        "Reset",
        "{\"type\":\"Soft\"}",
        "--priority",
        "urgent",
        "--class",
        "unsafe",
    ];
    let line = [&line[..], &["--deadline", "30s", "--idempotency-key", "k-1"]].concat();
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    let sent = router.script().sent[0].clone();
    assert_eq!(
        (sent.charge_point_id.as_str(), sent.action.as_str()),
        ("CP-1", "Reset")
    );
    assert_eq!(sent.payload_json, "{\"type\":\"Soft\"}");
    assert_eq!(
        (sent.priority(), sent.redelivery_class()),
        (Priority::Urgent, RedeliveryClass::Unsafe)
    );
    assert_eq!(sent.deadline, Some((now() + Duration::from_secs(30)).into()));
    assert_eq!(sent.idempotency_key, "k-1");
    router.stop().await;
}

#[tokio::test]
async fn send_prints_id_state_and_key() {
    let router = FakeRouter::start(Script {
        send: [accepted()].into(),
        ..Script::default()
    })
    .await;
    let line = [
        "send",
        "CP-1",
        "Reset",
        "--idempotency-key",
        "k-1",
        "--output",
        "json",
    ];
    let outcome = run(&[router.address], &line, "").await;
    let expected = serde_json::json!({
        "command_id": "c-1", "state": "pending", "deduplicated": false, "idempotency_key": "k-1",
    });
    assert_eq!(outcome.json(), expected);
    assert_eq!(outcome.stderr, "");
    router.stop().await;
}

#[tokio::test]
async fn a_key_whose_command_is_kept_no_longer_is_said_to_have_sent_nothing() {
    let known = SendCommandResponse {
        command_id: "c-1".to_owned(),
        state: CommandState::Unspecified.into(),
        deduplicated: true,
    };
    let router = FakeRouter::start(Script {
        send: [Ok(known.clone()), Ok(known)].into(),
        ..Script::default()
    })
    .await;
    let line = ["send", "CP-1", "Reset", "--idempotency-key", "k-1"];
    // Nobody is waited for: there is nothing to wait for.
    for line in [line.to_vec(), [&line[..], &["--wait"]].concat()] {
        let outcome = run(&[router.address], &line, "").await;
        assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
        assert!(outcome.stderr.contains("nothing was sent now"), "{outcome:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn the_payload_comes_from_standard_input_or_a_file() {
    let router = FakeRouter::start(Script {
        send: [accepted(), accepted()].into(),
        ..Script::default()
    })
    .await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"{\"from\":\"file\"}").unwrap();
    let from_file = format!("@{}", file.path().display());
    run(
        &[router.address],
        &["send", "CP-1", "Reset", "-"],
        "{\"from\":\"stdin\"}",
    )
    .await;
    run(&[router.address], &["send", "CP-1", "Reset", &from_file], "").await;
    let payloads: Vec<String> = router
        .script()
        .sent
        .iter()
        .map(|sent| sent.payload_json.clone())
        .collect();
    assert_eq!(payloads, ["{\"from\":\"stdin\"}", "{\"from\":\"file\"}"]);
    let outcome = run(
        &[router.address],
        &["send", "CP-1", "Reset", "@/nonexistent/payload"],
        "",
    )
    .await;
    assert_eq!(outcome.status, ExitStatus::Usage);
    router.stop().await;
}

#[tokio::test]
async fn an_unavailable_send_is_repeated_with_the_same_key_at_the_next_router() {
    let first = FakeRouter::start(Script {
        send: [Err(unavailable())].into(),
        ..Script::default()
    })
    .await;
    let second = FakeRouter::start(Script {
        send: [accepted()].into(),
        ..Script::default()
    })
    .await;
    let routers = [nobody().await, first.address, second.address];
    let outcome = run(&routers, &["send", "CP-1", "Reset", "--deadline", "1m"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    let (one, two) = (first.script().sent[0].clone(), second.script().sent[0].clone());
    assert_eq!(one, two);
    assert!(!one.idempotency_key.is_empty());
    assert!(outcome.stderr.contains(&one.idempotency_key), "{outcome:?}");
    assert!(outcome.stdout.contains(&one.idempotency_key), "{outcome:?}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn an_unavailable_send_is_repeated_at_the_only_router_as_often_as_allowed() {
    let script = Script {
        send: [Err(unavailable()), accepted()].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let outcome = run(
        &[router.address],
        &["send", "CP-1", "Reset", "--retries", "1"],
        "",
    )
    .await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert_eq!(router.script().sent.len(), 2);
    router.script().send = [Err(unavailable()), accepted()].into();
    let outcome = run(
        &[router.address],
        &["send", "CP-1", "Reset", "--retries", "0"],
        "",
    )
    .await;
    assert_eq!(outcome.status, ExitStatus::Unavailable, "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_send_that_stays_unanswered_tells_the_key_that_settles_it() {
    let router = FakeRouter::start(Script {
        send: [Err(unavailable())].into(),
        ..Script::default()
    })
    .await;
    let line = [
        "send",
        "CP-1",
        "Reset",
        "--idempotency-key",
        "k-9",
        "--retries",
        "0",
    ];
    let outcome = run(&[nobody().await, router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Unavailable);
    assert_eq!(outcome.stdout, "");
    assert!(outcome.stderr.contains("--idempotency-key k-9"), "{outcome:?}");
    assert!(outcome.stderr.contains("onnection refused"), "{outcome:?}");
    assert!(!outcome.stderr.contains("GATEWAYCTL_ROUTER"), "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_send_that_reached_nobody_says_that_nothing_was_accepted() {
    let line = ["send", "CP-1", "Reset", "--retries", "1"];
    let outcome = run(&[nobody().await], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Unavailable);
    assert!(outcome.stderr.contains("nothing was accepted"), "{outcome:?}");
    assert!(outcome.stderr.contains("GATEWAYCTL_ROUTER"), "{outcome:?}");
    assert!(!outcome.stderr.contains("may or may not"), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("no router answered, trying again (1 of 1)"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_refused_before_any_call() {
    let router = FakeRouter::start(Script::default()).await;
    for (payload, reason) in [("{oops", "line 1 column"), ("[1]", "a list"), ("", "is empty")] {
        let outcome = run(&[router.address], &["send", "CP-1", "Reset", payload], "").await;
        assert_eq!(outcome.status, ExitStatus::Usage, "{outcome:?}");
        assert!(outcome.stderr.contains("not a JSON object"), "{outcome:?}");
        assert!(outcome.stderr.contains(reason), "{outcome:?}");
    }
    assert!(router.script().sent.is_empty());
    router.stop().await;
}

#[tokio::test]
async fn who_waits_is_told_the_id_the_deadline_and_the_way() {
    let sent = Command {
        deadline: Some(now().into()),
        last_pod_id: "edge-2".to_owned(),
        ..command(CommandState::Sent, 2)
    };
    let script = Script {
        send: [accepted()].into(),
        watch: [vec![Ok(sent), Ok(result())]].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let outcome = run(&[router.address], &["send", "CP-1", "Reset", "--wait"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    for text in [
        "accepted as c-1",
        "its deadline is 2030-03-17T17:46:40Z",
        "pod edge-2",
    ] {
        assert!(outcome.stderr.contains(text), "{text} is missing in {outcome:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn send_with_wait_ends_as_the_command_does() {
    let refusal = CallError {
        code: "NotSupported".to_owned(),
        ..CallError::default()
    };
    let cases = [
        (result(), ExitStatus::Ok),
        (answered(Kind::Error(refusal)), ExitStatus::ChargerError),
        (command(CommandState::Failed, 4), ExitStatus::Unanswered),
        (command(CommandState::Expired, 4), ExitStatus::Unanswered),
        (command(CommandState::Cancelled, 4), ExitStatus::Unanswered),
    ];
    for (ended, status) in cases {
        let watch = vec![Ok(command(CommandState::Sent, 2)), Ok(ended)];
        let script = Script {
            send: [accepted()].into(),
            watch: [watch].into(),
            ..Script::default()
        };
        let router = FakeRouter::start(script).await;
        let outcome = run(
            &[router.address],
            &["send", "CP-1", "Reset", "--wait", "--output", "json"],
            "",
        )
        .await;
        assert_eq!(outcome.status, status, "{outcome:?}");
        assert_eq!(
            outcome.json()["state"],
            outcome.json()["command"]["state"],
            "{outcome:?}"
        );
        router.stop().await;
    }
}

#[tokio::test]
async fn an_accepted_command_is_printed_even_if_waiting_for_it_fails() {
    let script = Script {
        send: [accepted()].into(),
        watch: [vec![]].into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let line = [
        "send",
        "CP-1",
        "Reset",
        "--wait",
        "--output",
        "json",
        "--retries",
        "0",
    ];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Unavailable, "{outcome:?}");
    assert_eq!(outcome.json()["command_id"], "c-1");
    assert!(
        outcome.stderr.contains("`gatewayctl watch c-1` finds it again"),
        "{outcome:?}"
    );
    router.stop().await;
}

#[tokio::test]
async fn a_refused_field_is_named() {
    let details =
        ErrorDetails::with_bad_request_violation("charge_point_id", "is 49 characters long, at most 48");
    let message = "the request is invalid: charge_point_id is 49 characters long, at most 48";
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    let router = FakeRouter::start(Script {
        send: [Err(status)].into(),
        ..Script::default()
    })
    .await;
    let outcome = run(&[router.address], &["send", "CP-1", "Reset"], "").await;
    assert_eq!(outcome.status, ExitStatus::InvalidArgument);
    assert!(
        outcome
            .stderr
            .ends_with("the request is invalid\n  charge_point_id: is 49 characters long, at most 48\n"),
        "{outcome:?}"
    );
    router.stop().await;
}
