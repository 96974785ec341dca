//! `watch`: lost streams and the end.

use super::*;

#[tokio::test]
async fn watch_resumes_after_a_lost_stream_and_shows_each_revision_once() {
    let script = Script {
        watch: [
            vec![
                Ok(command(CommandState::Pending, 1)),
                Ok(command(CommandState::Sent, 2)),
                Err(unavailable()),
            ],
            vec![Ok(command(CommandState::Sent, 2))],
            vec![Ok(command(CommandState::Sent, 2)), Ok(result())],
        ]
        .into(),
        ..Script::default()
    };
    let router = FakeRouter::start(script).await;
    let outcome = run(&[router.address], &["watch", "c-1", "--output", "json"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    let revisions: Vec<u64> = outcome
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["revision"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(revisions, [1, 2, 4]);
    assert_eq!(outcome.stderr.matches("asking again").count(), 2, "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn watch_gives_up_when_streams_break_without_progress() {
    let watch = vec![Ok(command(CommandState::Pending, 1)), Err(unavailable())];
    let router = FakeRouter::start(Script {
        watch: vec![watch; 4].into(),
        ..Script::default()
    })
    .await;
    let outcome = run(&[router.address], &["watch", "c-1", "--retries", "1"], "").await;
    assert_eq!(outcome.status, ExitStatus::Unavailable, "{outcome:?}");
    assert!(outcome.stdout.contains("pending"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("`gatewayctl watch c-1` finds it again"),
        "{outcome:?}"
    );
    router.stop().await;
}

#[tokio::test]
async fn watch_goes_on_at_another_router_when_its_own_is_gone() {
    let first = FakeRouter::start(Script {
        watch: [vec![Ok(command(CommandState::Pending, 1))]].into(),
        ..Script::default()
    })
    .await;
    let second = FakeRouter::start(Script {
        watch: [vec![Ok(command(CommandState::Sent, 2)), Ok(result())]].into(),
        ..Script::default()
    })
    .await;
    let routers = [first.address, nobody().await, second.address];
    let outcome = run(&routers, &["watch", "c-1"], "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert!(outcome.stdout.contains("CALLRESULT"), "{outcome:?}");
    first.stop().await;
    second.stop().await;
}
