//! `dlq`: what is asked, what is printed, what is refused before anything is asked.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use wire::gateway::command::v1::{
    Attempt, AttemptOutcome, Command, CommandState, DeadLetter, DeadLetterFilter, DeadLetterReason,
    GetDeadLetterResponse, ListDeadLettersResponse, PurgeDeadLettersResponse, RedeliveryClass,
    ReplayDeadLetterResponse, ReplayDeadLettersResponse, ReplayOutcome,
};

use super::support::DeadLetters;
use super::*;

const SPAN: Duration = Duration::from_secs(7_200);

async fn router(dead_letters: DeadLetters) -> FakeRouter {
    FakeRouter::start(Script {
        dead_letters,
        ..Script::default()
    })
    .await
}

fn letter(id: &str) -> DeadLetter {
    let attempt = |number| Attempt {
        number,
        at: Some((now() + Duration::from_secs(u64::from(number))).into()),
        pod_id: "edge-1".to_owned(),
        incarnation: 7,
        connection_version: u64::from(number) + 40,
        outcome: AttemptOutcome::NoAnswer.into(),
    };
    DeadLetter {
        command: Some(Command {
            command_id: id.to_owned(),
            redelivery_class: RedeliveryClass::Unsafe.into(),
            attempts: 2,
            ended_at: Some(now().into()),
            payload_json: "{\"type\": \"Soft\"}".to_owned(),
            ..command(CommandState::Failed, 9)
        }),
        reason: DeadLetterReason::NoAnswer.into(),
        attempts: vec![attempt(1), attempt(2)],
        replayed_as: String::new(),
    }
}

fn letters(ids: &[&str], next: &str) -> Result<ListDeadLettersResponse, Status> {
    Ok(ListDeadLettersResponse {
        dead_letters: ids.iter().map(|id| letter(id)).collect(),
        next_page_token: next.to_owned(),
    })
}

fn got(letter: DeadLetter) -> Result<GetDeadLetterResponse, Status> {
    Ok(GetDeadLetterResponse {
        dead_letter: Some(letter),
    })
}

fn purged(ids: &[&str], next: &str) -> Result<PurgeDeadLettersResponse, Status> {
    Ok(PurgeDeadLettersResponse {
        command_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        next_page_token: next.to_owned(),
    })
}

fn outcome(id: &str, problem: &str) -> ReplayOutcome {
    ReplayOutcome {
        dead_letter_id: id.to_owned(),
        command_id: if problem.is_empty() {
            format!("new-{id}")
        } else {
            String::new()
        },
        deduplicated: false,
        problem: problem.to_owned(),
    }
}

fn replays(outcomes: Vec<ReplayOutcome>, next: &str) -> Result<ReplayDeadLettersResponse, Status> {
    Ok(ReplayDeadLettersResponse {
        outcomes,
        next_page_token: next.to_owned(),
    })
}

#[tokio::test]
async fn list_follows_its_pages_with_every_filter() {
    let router = router(DeadLetters {
        list: [letters(&["d-1", "d-2"], "a"), letters(&["d-3"], "")].into(),
        ..DeadLetters::default()
    })
    .await;
    let line = "dlq list --charger CP-1 --action Reset --reason no_answer,expired --since 2h \
                --until 2030-03-17T17:46:40Z --all --output json";
    let line: Vec<&str> = line.split_whitespace().collect();
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    let listed = outcome.json();
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 3);
    assert_eq!(listed["dead_letters"][2]["command"]["command_id"], "d-3");
    assert_eq!(listed["more"], false);
    let asked = router.script().dead_letters.listed.clone();
    let expected = DeadLetterFilter {
        charge_point_id: "CP-1".to_owned(),
        action: "Reset".to_owned(),
        reasons: vec![
            DeadLetterReason::NoAnswer.into(),
            DeadLetterReason::Expired.into(),
        ],
        ended_after: Some((now() - SPAN).into()),
        ended_before: Some(now().into()),
    };
    assert!(
        asked.iter().all(|page| page.filter.as_ref() == Some(&expected)),
        "{asked:?}"
    );
    assert_eq!(
        (asked[0].page_token.as_str(), asked[1].page_token.as_str()),
        ("", "a")
    );
    router.stop().await;
}

#[tokio::test]
async fn show_prints_every_attempt_and_the_request() {
    let router = router(DeadLetters {
        get: [got(letter("d-1")), got(letter("d-1"))].into(),
        ..DeadLetters::default()
    })
    .await;
    let table = run(&[router.address], &["dlq", "show", "d-1"], "").await;
    assert_eq!(table.status, ExitStatus::Ok, "{table:?}");
    for text in [
        "CONNECTION",
        "no_answer",
        "edge-1",
        "41",
        "42",
        "{\"type\":\"Soft\"}",
    ] {
        assert!(
            table.stdout.contains(text),
            "{text} is missing in {}",
            table.stdout
        );
    }
    let json = run(&[router.address], &["dlq", "show", "d-1", "--output", "json"], "").await;
    assert_eq!(json.json()["attempts"][1]["connection_version"], 42);
    assert_eq!(json.json()["command"]["payload"]["type"], "Soft");
    router.stop().await;
}

#[tokio::test]
async fn what_is_no_dead_letter_has_the_routers_reason() {
    let router = router(DeadLetters {
        get: [
            Err(Status::not_found("command d-1 is not known")),
            Err(Status::failed_precondition("command d-2 is no dead letter")),
        ]
        .into(),
        ..DeadLetters::default()
    })
    .await;
    let missing = run(&[router.address], &["dlq", "show", "d-1"], "").await;
    assert_eq!(missing.status, ExitStatus::NotFound, "{missing:?}");
    let open = run(&[router.address], &["dlq", "show", "d-2"], "").await;
    assert_eq!(open.status, ExitStatus::Conflict, "{open:?}");
    assert!(open.stderr.contains("is no dead letter"), "{open:?}");
    router.stop().await;
}

#[tokio::test]
async fn one_is_replayed_with_what_the_line_says() {
    let reply = ReplayDeadLetterResponse {
        command_id: "c-2".to_owned(),
        state: CommandState::Pending.into(),
        deduplicated: false,
    };
    let router = router(DeadLetters {
        replay: [Ok(reply)].into(),
        ..DeadLetters::default()
    })
    .await;
    let line = [
        "dlq",
        "replay",
        "d-1",
        "--allow-unsafe",
        "--deadline",
        "2h",
        "--output",
        "json",
    ];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert_eq!(outcome.json()["command_id"], "c-2");
    assert_eq!(outcome.json()["state"], "pending");
    let asked = router.script().dead_letters.replayed[0].clone();
    assert_eq!((asked.command_id.as_str(), asked.allow_unsafe), ("d-1", true));
    assert_eq!(asked.deadline, Some((now() + SPAN).into()));
    router.stop().await;
}

#[tokio::test]
async fn a_replay_that_is_refused_as_unsafe_is_told_the_flag() {
    let message = "command d-1 is unsafe to repeat, and the request does not allow that";
    let details = ErrorDetails::with_precondition_failure_violation("SAFE_TO_REPEAT", "command:d-1", message);
    let status = Status::with_error_details(Code::FailedPrecondition, message, details);
    let router = router(DeadLetters {
        replay: [Err(status)].into(),
        ..DeadLetters::default()
    })
    .await;
    let outcome = run(&[router.address], &["dlq", "replay", "d-1"], "").await;
    assert_eq!(outcome.status, ExitStatus::Conflict, "{outcome:?}");
    assert!(outcome.stderr.contains("--allow-unsafe"), "{outcome:?}");
    router.stop().await;
}

#[tokio::test]
async fn the_rehearsal_of_one_replay_sends_nothing() {
    let replayed = DeadLetter {
        replayed_as: "c-9".to_owned(),
        ..letter("d-1")
    };
    let router = router(DeadLetters {
        get: [got(letter("d-1")), got(letter("d-1")), got(replayed)].into(),
        ..DeadLetters::default()
    })
    .await;
    let line = ["dlq", "replay", "d-1", "--dry-run", "--output", "json"];
    let refused = run(&[router.address], &line, "").await;
    assert!(
        refused.json()["problem"]
            .as_str()
            .unwrap()
            .contains("--allow-unsafe"),
        "{refused:?}"
    );
    let line = [&line[..], &["--allow-unsafe"]].concat();
    let allowed = run(&[router.address], &line, "").await;
    assert!(allowed.json()["problem"].is_null(), "{allowed:?}");
    let again = run(&[router.address], &line, "").await;
    assert_eq!(again.json()["command_id"], "c-9");
    assert!(router.script().dead_letters.replayed.is_empty());
    router.stop().await;
}

#[tokio::test]
async fn many_are_touched_only_when_the_line_says_so() {
    let router = router(DeadLetters::default()).await;
    for verb in ["replay", "purge"] {
        let bare = run(&[router.address], &["dlq", verb, "--charger", "CP-1"], "").await;
        assert_eq!(bare.status, ExitStatus::Usage, "{bare:?}");
        assert!(
            bare.stderr.contains("--dry-run") && bare.stderr.contains("--yes"),
            "{bare:?}"
        );
        let unchosen = run(&[router.address], &["dlq", verb, "--yes"], "").await;
        assert_eq!(unchosen.status, ExitStatus::Usage, "{unchosen:?}");
        let line = ["dlq", verb, "--all", "--yes", "--since", "1h"];
        let contradiction = run(&[router.address], &line, "").await;
        assert_eq!(contradiction.status, ExitStatus::Usage, "{contradiction:?}");
        let line = ["dlq", verb, "--yes", "--since", "1h", "--until", "2h"];
        let backwards = run(&[router.address], &line, "").await;
        assert_eq!(backwards.status, ExitStatus::Usage, "{backwards:?}");
        assert!(backwards.stderr.contains("--since"), "{backwards:?}");
    }
    assert!(router.script().dead_letters.purged.is_empty());
    assert!(router.script().dead_letters.replayed_many.is_empty());
    router.stop().await;
}

/// Two pages, and one outcome in them that is a refusal.
fn two_pages() -> DeadLetters {
    let pages = [
        replays(vec![outcome("d-1", ""), outcome("d-2", "unsafe to repeat")], "a"),
        replays(vec![outcome("d-3", "")], ""),
    ];
    DeadLetters {
        replay_many: pages.into(),
        ..DeadLetters::default()
    }
}

#[tokio::test]
async fn a_bulk_replay_follows_its_pages_and_tells_what_was_refused() {
    let router = router(two_pages()).await;
    let line = ["dlq", "replay", "--action", "Reset", "--yes"];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Conflict, "{outcome:?}");
    assert!(outcome.stderr.contains("1 of 3 were not replayed"), "{outcome:?}");
    insta::assert_snapshot!(outcome.stdout);
    let asked = router.script().dead_letters.replayed_many.clone();
    let seen: Vec<_> = asked
        .iter()
        .map(|page| (page.dry_run, page.page_token.as_str()))
        .collect();
    assert_eq!(seen, [(false, ""), (false, "a")]);
    let before = asked[0].filter.as_ref().unwrap().ended_before;
    assert_eq!(before, Some(now().into()), "what ends meanwhile is left alone");
    router.stop().await;
}

#[tokio::test]
async fn the_rehearsal_of_a_bulk_replay_is_no_failure() {
    let router = router(two_pages()).await;
    let line = ["dlq", "replay", "--all", "--dry-run", "--output", "json"];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    let sums = outcome.json();
    assert_eq!(
        (&sums["dry_run"], &sums["replayed"], &sums["refused"]),
        (&true.into(), &2.into(), &1.into())
    );
    let asked = router.script().dead_letters.replayed_many.clone();
    assert!(asked.iter().all(|page| page.dry_run), "{asked:?}");
    router.stop().await;
}

#[tokio::test]
async fn one_is_purged_and_one_that_is_not_there_is_told() {
    let router = router(DeadLetters {
        purge: [
            purged(&["d-1"], ""),
            purged(&[], ""),
            Err(unavailable()),
            purged(&[], ""),
        ]
        .into(),
        ..DeadLetters::default()
    })
    .await;
    let done = run(
        &[router.address],
        &["dlq", "purge", "d-1", "--output", "json"],
        "",
    )
    .await;
    assert_eq!(done.status, ExitStatus::Ok, "{done:?}");
    assert_eq!(done.json()["command_ids"][0], "d-1");
    let missing = run(&[router.address], &["dlq", "purge", "d-2"], "").await;
    assert_eq!(missing.status, ExitStatus::NotFound, "{missing:?}");
    let repeated = run(&[router.address], &["dlq", "purge", "d-3"], "").await;
    assert_eq!(repeated.status, ExitStatus::Ok, "{repeated:?}");
    assert!(repeated.stderr.contains("earlier try"), "{repeated:?}");
    assert_eq!(router.script().dead_letters.purged[0].command_ids, ["d-1"]);
    router.stop().await;
}

#[tokio::test]
async fn a_bulk_purge_that_breaks_off_prints_what_is_gone() {
    let router = router(DeadLetters {
        purge: [purged(&["d-1", "d-2"], "a"), Err(unavailable())].into(),
        ..DeadLetters::default()
    })
    .await;
    let line = ["dlq", "purge", "--all", "--yes", "--retries", "0"];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Unavailable, "{outcome:?}");
    assert!(
        outcome.stdout.contains("d-2") && outcome.stdout.contains("2 removed"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("may or may not have been done"),
        "{outcome:?}"
    );
    router.stop().await;
}

#[tokio::test]
async fn the_limit_of_a_bulk_bounds_what_is_asked_for() {
    let router = router(DeadLetters {
        purge: [purged(&["d-1", "d-2"], "a")].into(),
        ..DeadLetters::default()
    })
    .await;
    let line = ["dlq", "purge", "--all", "--dry-run", "--limit", "2"];
    let outcome = run(&[router.address], &line, "").await;
    assert_eq!(outcome.status, ExitStatus::Ok, "{outcome:?}");
    assert!(outcome.stdout.contains("2 would be removed"), "{outcome:?}");
    let asked = router.script().dead_letters.purged.clone();
    assert_eq!((asked.len(), asked[0].limit, asked[0].dry_run), (1, 2, true));
    router.stop().await;
}
