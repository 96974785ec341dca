//! Tests of the owner of tasks: what a panic, an error, an early end and a late end lead to.

use std::{future::pending, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{TaskFailure, Tasks};

const LONG: Duration = Duration::from_secs(30);

fn tasks() -> Tasks {
    Tasks::new(CancellationToken::new())
}

/// Waits until a failure has cancelled the token.
async fn ended_by_itself(tasks: &Tasks) {
    tokio::time::timeout(LONG, tasks.token().cancelled())
        .await
        .expect("no task brought the service down");
}

#[tokio::test]
async fn a_panicked_task_surfaces_and_ends_the_service() {
    let tasks = tasks();
    tasks.spawn("renewals", async {
        if true {
            panic!("index {} is out of range", 7);
        }
    });
    ended_by_itself(&tasks).await;
    let failure = tasks.join(LONG).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "task renewals panicked: index 7 is out of range"
    );
}

#[tokio::test]
async fn a_panicked_thread_surfaces_and_ends_the_service() {
    let tasks = tasks();
    tasks.spawn_thread("edge-0", || -> () { panic!("torn") }).unwrap();
    ended_by_itself(&tasks).await;
    let failure = TaskFailure::Panicked {
        task: "edge-0".into(),
        message: "torn".into(),
    };
    assert_eq!(tasks.join(LONG).await, Err(failure));
}

#[tokio::test]
async fn an_error_surfaces_with_its_sources() {
    let tasks = tasks();
    tasks.spawn("acks", async {
        Err(anyhow::anyhow!("broken pipe").context("cannot send"))
    });
    ended_by_itself(&tasks).await;
    let failure = tasks.join(LONG).await.unwrap_err();
    assert_eq!(failure.to_string(), "task acks failed: cannot send: broken pipe");
}

#[tokio::test]
async fn a_finished_task_is_no_failure_unless_it_is_essential() {
    let calm = tasks();
    calm.spawn("warm-up", async {});
    assert_eq!(calm.join(LONG).await, Ok(()));
    assert!(!calm.token().is_cancelled());

    let essential = tasks();
    essential.spawn_essential("consumer", async {});
    ended_by_itself(&essential).await;
    assert_eq!(
        essential.join(LONG).await,
        Err(TaskFailure::EndedEarly {
            task: "consumer".into()
        })
    );
}

#[tokio::test]
async fn tasks_that_follow_the_token_are_awaited() {
    let tasks = tasks();
    let token = tasks.token().clone();
    tasks.spawn_essential("loop", async move { token.cancelled().await });
    let token = tasks.token().clone();
    tasks
        .spawn_thread("thread", move || {
            while !token.is_cancelled() {
                std::thread::yield_now();
            }
        })
        .unwrap();
    tasks.token().cancel();
    assert_eq!(tasks.join(LONG).await, Ok(()));
}

#[tokio::test]
async fn late_tasks_are_cut_off_and_named() {
    let tasks = tasks();
    tasks.spawn("stuck", pending::<()>());
    tasks.token().cancel();
    let failure = TaskFailure::Late {
        tasks: "stuck".into(),
    };
    assert_eq!(tasks.join(Duration::from_millis(1)).await, Err(failure));
}
