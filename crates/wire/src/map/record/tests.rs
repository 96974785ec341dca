//! Records survive the way from the router to the edge, and results say how a command ended.

use domain::command::{AttemptOutcome, Deadline, FailureReason, Progress, Request, Status};
use domain::ids::Slot;
use proptest::prelude::*;

use super::*;

/// A command that ended as failed after its second write.
pub(crate) fn ended_command() -> Command {
    let route = Route {
        pod: PodId::parse("edge-0").unwrap(),
        incarnation: Incarnation(5),
        version: Version(77),
    };
    Command {
        request: Request {
            id: CommandId::new(1_700_000_000_000, [3; 10], Slot(9)),
            charge_point: ChargePointId::parse("CP-1").unwrap(),
            action: "Reset".to_owned(),
            payload: r#"{"type":"Soft"}"#.to_owned(),
            priority: Priority::Urgent,
            class: RedeliveryClass::Unsafe,
            max_attempts: 3,
            answer_timeout_us: 10_000_000,
            deadline: Deadline::After(300_000_000),
            idempotency: None,
            replay_of: None,
        },
        created: Micros(1_000_000),
        deadline: Micros(301_000_000),
        score: 1,
        epoch: "e".to_owned(),
        progress: Progress {
            status: Status::Failed,
            attempts: 2,
            dispatch: DispatchNumber(44),
            route: Some(route),
            reason: Some(FailureReason::OutcomeUnknown),
            ended: Micros(9_000_000),
            result_sequence: 6,
            revision: 8,
            ..Progress::accepted()
        },
    }
}

/// Its attempts.
pub(crate) fn attempts() -> Vec<Attempt> {
    let attempt = |number, outcome| Attempt {
        number,
        at: Micros(2_000_000 * u64::from(number)),
        route: Route {
            pod: PodId::parse("edge-0").unwrap(),
            incarnation: Incarnation(5),
            version: Version(75 + u64::from(number)),
        },
        outcome,
    };
    vec![
        attempt(1, AttemptOutcome::Displaced),
        attempt(2, AttemptOutcome::Unknown),
    ]
}

#[test]
fn a_claim_arrives_at_the_edge_as_it_left() {
    let command = ended_command();
    let (route, lane, record) = claimed(&command).unwrap();
    assert_eq!((route.version, lane), (Version(77), Lane::Urgent));
    let (pod, message) = read_shard_record(&record.encode_to_vec()).unwrap();
    assert_eq!(pod, route.pod);
    let ShardMessage::Input(edge::Input::Record {
        incarnation,
        command: read,
    }) = message
    else {
        panic!("{message:?}");
    };
    assert_eq!(
        (incarnation, read.id, read.attempt),
        (Incarnation(5), command.request.id, 3)
    );
    assert_eq!(
        (read.dispatch, read.version, read.deadline),
        (DispatchNumber(44), Version(77), command.deadline)
    );
    assert_eq!(
        (read.priority, read.class),
        (Priority::Urgent, RedeliveryClass::Unsafe)
    );
    assert_eq!(
        (read.payload, read.answer_timeout_us),
        (command.request.payload, 10_000_000)
    );
}

#[test]
fn a_command_without_a_route_makes_no_record() {
    let mut command = ended_command();
    command.progress.route = None;
    assert_eq!(claimed(&command), None);
}

#[test]
fn notes_and_canaries_arrive_as_they_left() {
    let charge_point = ChargePointId::parse("CP-1").unwrap();
    let pod = PodId::parse("edge-0").unwrap();
    let kind = NoteKind::Kick {
        version: Version(3),
        newer: Version(4),
    };
    let kick = Note {
        pod: pod.clone(),
        incarnation: Incarnation(5),
        kind,
        next_send: Micros(0),
    };
    let (to, message) = read_shard_record(&note(&charge_point, &kick).encode_to_vec()).unwrap();
    let expected = edge::Input::Kick {
        incarnation: Incarnation(5),
        charge_point,
        version: Version(3),
    };
    assert_eq!((to, message), (pod.clone(), ShardMessage::Input(expected)));
    let (_, message) = read_shard_record(&canary(&pod, LinkNumber(7), 9).encode_to_vec()).unwrap();
    assert_eq!(
        message,
        ShardMessage::Canary {
            link: LinkNumber(7),
            number: 9
        }
    );
}

#[test]
fn a_dead_letter_tells_how_the_command_ended_and_where_it_last_went() {
    let mut command = ended_command();
    let replayed = CommandId::new(7, [7; 10], Slot(9));
    command.request.replay_of = Some(replayed);
    let letter = dead_letter(&command, &attempts());
    let told: Vec<_> = letter
        .attempts
        .iter()
        .map(|a| (a.number, a.at_us, a.version, a.outcome.as_str()))
        .collect();
    assert_eq!(
        told,
        [(1, 2_000_000, 76, "DISPLACED"), (2, 4_000_000, 77, "UNKNOWN")]
    );
    assert_eq!(letter.replay_of, replayed.to_string());
    let result = letter.result.unwrap();
    assert_eq!(
        (result.state.as_str(), result.reason.as_str()),
        ("FAILED", "OUTCOME_UNKNOWN")
    );
    assert_eq!((result.sequence, result.attempts), (6, 2));
    assert_eq!((letter.last_pod_id.as_str(), letter.last_version), ("edge-0", 77));
    assert_eq!(letter.payload_json, r#"{"type":"Soft"}"#);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_fail_otherwise_than_by_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_shard_record(&bytes);
    }

    #[test]
    fn a_damaged_record_is_refused_or_read_but_never_panics(at in 0..100_usize, byte: u8) {
        let mut bytes = claimed(&ended_command()).unwrap().2.encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read_shard_record(&bytes);
    }
}
