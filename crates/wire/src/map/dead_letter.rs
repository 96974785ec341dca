//! Dead letters of the API: reasons both ways, letters and their attempts from the domain.

use domain::command as domain_command;
use domain::slot as domain_slot;

use super::command::{Payload, command};
use super::{WireError, timestamp};
use crate::gateway::command::v1::{Attempt, AttemptOutcome, DeadLetter, DeadLetterReason};

/// A dead letter as the API shows it, with its payload.
#[must_use]
pub fn dead_letter(letter: &domain_slot::DeadLetter) -> DeadLetter {
    DeadLetter {
        command: Some(command(&letter.command, Payload::Shown)),
        reason: letter
            .reason()
            .map_or(DeadLetterReason::Unspecified, reason)
            .into(),
        attempts: letter.attempts.iter().map(attempt).collect(),
        replayed_as: letter.replayed_as.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// The reason of the domain as an enum.
#[must_use]
pub fn reason(reason: domain_slot::DeadLetterReason) -> DeadLetterReason {
    match reason {
        domain_slot::DeadLetterReason::NoAnswer => DeadLetterReason::NoAnswer,
        domain_slot::DeadLetterReason::OutcomeUnknown => DeadLetterReason::OutcomeUnknown,
        domain_slot::DeadLetterReason::Expired => DeadLetterReason::Expired,
    }
}

/// The reason of an enum's number; none for unspecified.
pub fn read_reason(value: i32) -> Result<Option<domain_slot::DeadLetterReason>, WireError> {
    let unknown = WireError::Unknown {
        field: "reasons",
        value: value.into(),
    };
    Ok(match DeadLetterReason::try_from(value).map_err(|_| unknown)? {
        DeadLetterReason::Unspecified => None,
        DeadLetterReason::NoAnswer => Some(domain_slot::DeadLetterReason::NoAnswer),
        DeadLetterReason::OutcomeUnknown => Some(domain_slot::DeadLetterReason::OutcomeUnknown),
        DeadLetterReason::Expired => Some(domain_slot::DeadLetterReason::Expired),
    })
}

fn attempt(attempt: &domain_command::Attempt) -> Attempt {
    Attempt {
        number: attempt.number,
        at: timestamp(attempt.at),
        pod_id: attempt.route.pod.to_string(),
        incarnation: attempt.route.incarnation.0,
        connection_version: attempt.route.version.0,
        outcome: outcome(attempt.outcome).into(),
    }
}

fn outcome(outcome: domain_command::AttemptOutcome) -> AttemptOutcome {
    match outcome {
        domain_command::AttemptOutcome::NoAnswer => AttemptOutcome::NoAnswer,
        domain_command::AttemptOutcome::NotWritten => AttemptOutcome::NotWritten,
        domain_command::AttemptOutcome::Displaced => AttemptOutcome::Displaced,
        domain_command::AttemptOutcome::Unknown => AttemptOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{CommandId, Slot};

    use super::*;
    use crate::map::record::tests::{attempts, ended_command};

    #[test]
    fn reasons_survive_the_way_there_and_back() {
        for r in domain_slot::DeadLetterReason::ALL {
            assert_eq!(read_reason(reason(r).into()), Ok(Some(r)));
        }
        assert_eq!(read_reason(0), Ok(None));
        for wrong in [4, -1] {
            assert!(read_reason(wrong).is_err());
        }
    }

    #[test]
    fn a_letter_shows_its_command_with_payload_its_attempts_and_its_replay() {
        let replay = CommandId::new(1, [9; 10], Slot(9));
        let shown = dead_letter(&domain_slot::DeadLetter {
            command: ended_command(),
            attempts: attempts(),
            replayed_as: Some(replay),
        });
        assert_eq!(shown.reason(), DeadLetterReason::OutcomeUnknown);
        assert_eq!(shown.replayed_as, replay.to_string());
        assert_eq!(
            shown.command.unwrap().payload_json,
            ended_command().request.payload
        );
        let told: Vec<_> = shown.attempts.iter().map(|a| (a.number, a.outcome())).collect();
        assert_eq!(
            told,
            [(1, AttemptOutcome::Displaced), (2, AttemptOutcome::Unknown)]
        );
        let first = &shown.attempts[0];
        assert_eq!(
            (first.pod_id.as_str(), first.incarnation, first.connection_version),
            ("edge-0", 5, 76)
        );
        assert_eq!(first.at, timestamp(attempts()[0].at));
    }
}
