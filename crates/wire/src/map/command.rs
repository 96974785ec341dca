//! The command API and the registry: enums both ways, commands and connections from the domain.

use domain::command::{self as domain_command, Mark, Status};
use domain::ids::{ChargePointId, Micros};
use domain::slot::Device;

use super::{WireError, timestamp};
use crate::gateway::command::v1::{
    Answer, CallError, Command, CommandState, FailureReason, Priority, RedeliveryClass, answer,
};
use crate::gateway::registry::v1::Connection;

/// Whether a command is shown with its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// With it.
    Shown,
    /// Without it.
    Hidden,
}

/// A command as the API shows it.
#[must_use]
pub fn command(c: &domain_command::Command, payload: Payload) -> Command {
    let (request, progress) = (&c.request, &c.progress);
    Command {
        command_id: request.id.to_string(),
        charge_point_id: request.charge_point.to_string(),
        action: request.action.clone(),
        priority: priority(request.priority).into(),
        redelivery_class: class(request.class).into(),
        state: state(progress.status).into(),
        failure_reason: progress.reason.map_or(FailureReason::Unspecified, reason).into(),
        answer: progress.answer.as_ref().map(answer),
        possibly_written: progress.may_have_reached_its_charger(),
        attempts: progress.attempts,
        last_pod_id: progress
            .route
            .as_ref()
            .map(|r| r.pod.to_string())
            .unwrap_or_default(),
        created_at: timestamp(c.created),
        deadline: timestamp(c.deadline),
        ended_at: timestamp(progress.ended),
        revision: progress.revision,
        payload_json: if payload == Payload::Shown {
            request.payload.clone()
        } else {
            String::new()
        },
        cancel_requested: progress.mark == Mark::Cancel && !progress.status.is_terminal(),
        replay_of: request.replay_of.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// A connection as the API shows it. One that lapsed is shown as not connected.
#[must_use]
pub fn connection(id: &ChargePointId, device: &Device, now: Micros) -> Connection {
    let connected = device.has_route(now);
    let pod = device.pod.as_ref().filter(|_| connected);
    Connection {
        charge_point_id: id.to_string(),
        pod_id: pod.map(ToString::to_string).unwrap_or_default(),
        incarnation: device.incarnation.0,
        version: device.version.0,
        connected,
        ocpp_version: device.ocpp_version.clone(),
        registered_at: timestamp(device.registered),
        expires_at: timestamp(device.expires).filter(|_| connected),
        open_commands: device.open,
    }
}

/// The state of a status.
#[must_use]
pub fn state(status: Status) -> CommandState {
    match status {
        Status::Pending => CommandState::Pending,
        Status::Sent => CommandState::Sent,
        Status::Delivered => CommandState::Delivered,
        Status::Acknowledged => CommandState::Acknowledged,
        Status::Failed => CommandState::Failed,
        Status::Expired => CommandState::Expired,
        Status::Cancelled => CommandState::Cancelled,
    }
}

/// The status of a state's number; none for unspecified.
pub fn status(value: i32) -> Result<Option<Status>, WireError> {
    let unknown = WireError::Unknown {
        field: "states",
        value: value.into(),
    };
    Ok(match CommandState::try_from(value).map_err(|_| unknown)? {
        CommandState::Unspecified => None,
        CommandState::Pending => Some(Status::Pending),
        CommandState::Sent => Some(Status::Sent),
        CommandState::Delivered => Some(Status::Delivered),
        CommandState::Acknowledged => Some(Status::Acknowledged),
        CommandState::Failed => Some(Status::Failed),
        CommandState::Expired => Some(Status::Expired),
        CommandState::Cancelled => Some(Status::Cancelled),
    })
}

/// The priority of the domain as an enum.
#[must_use]
pub fn priority(priority: domain_command::Priority) -> Priority {
    match priority {
        domain_command::Priority::Low => Priority::Low,
        domain_command::Priority::Normal => Priority::Normal,
        domain_command::Priority::High => Priority::High,
        domain_command::Priority::Urgent => Priority::Urgent,
    }
}

/// The priority of an enum's number; unspecified means normal.
pub fn read_priority(value: i32) -> Result<domain_command::Priority, WireError> {
    let unknown = WireError::Unknown {
        field: "priority",
        value: value.into(),
    };
    Ok(match Priority::try_from(value).map_err(|_| unknown)? {
        Priority::Low => domain_command::Priority::Low,
        Priority::Unspecified | Priority::Normal => domain_command::Priority::Normal,
        Priority::High => domain_command::Priority::High,
        Priority::Urgent => domain_command::Priority::Urgent,
    })
}

/// The redelivery class of the domain as an enum.
#[must_use]
pub fn class(class: domain_command::RedeliveryClass) -> RedeliveryClass {
    match class {
        domain_command::RedeliveryClass::Safe => RedeliveryClass::Safe,
        domain_command::RedeliveryClass::Unsafe => RedeliveryClass::Unsafe,
    }
}

/// The redelivery class of an enum's number; none where the action's default is wanted.
pub fn read_class(value: i32) -> Result<Option<domain_command::RedeliveryClass>, WireError> {
    let unknown = WireError::Unknown {
        field: "redelivery_class",
        value: value.into(),
    };
    Ok(match RedeliveryClass::try_from(value).map_err(|_| unknown)? {
        RedeliveryClass::Unspecified => None,
        RedeliveryClass::Safe => Some(domain_command::RedeliveryClass::Safe),
        RedeliveryClass::Unsafe => Some(domain_command::RedeliveryClass::Unsafe),
    })
}

fn reason(reason: domain_command::FailureReason) -> FailureReason {
    match reason {
        domain_command::FailureReason::NoAnswer => FailureReason::NoAnswer,
        domain_command::FailureReason::OutcomeUnknown => FailureReason::OutcomeUnknown,
    }
}

/// What the charger said, as the API shows it.
fn answer(answer: &domain_command::Answer) -> Answer {
    let kind = match answer {
        domain_command::Answer::Result(json) => answer::Kind::ResultJson(json.clone()),
        domain_command::Answer::Error(json) => answer::Kind::Error(call_error(json)),
    };
    Answer { kind: Some(kind) }
}

/// Takes the array of a CALLERROR apart. The edge builds it, so an ill-formed one is shown whole as the
/// description rather than lost.
fn call_error(json: &str) -> CallError {
    match serde_json::from_str::<(String, String, Box<serde_json::value::RawValue>)>(json) {
        Ok((code, description, details)) => CallError {
            code,
            description,
            details_json: details.get().to_owned(),
        },
        Err(_) => CallError {
            code: String::new(),
            description: json.to_owned(),
            details_json: "{}".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::record::tests::ended_command;

    #[test]
    fn enums_survive_the_way_there_and_back() {
        for s in Status::ALL {
            assert_eq!(status(state(s).into()), Ok(Some(s)));
        }
        for p in domain_command::Priority::ALL {
            assert_eq!(read_priority(priority(p).into()), Ok(p));
        }
        for c in domain_command::RedeliveryClass::ALL {
            assert_eq!(read_class(class(c).into()), Ok(Some(c)));
        }
    }

    #[test]
    fn unspecified_means_the_default_and_a_number_beyond_the_enum_is_refused() {
        assert_eq!(read_priority(0), Ok(domain_command::Priority::Normal));
        assert_eq!(read_class(0), Ok(None));
        assert_eq!(status(0), Ok(None));
        assert_eq!(
            read_priority(9),
            Err(WireError::Unknown {
                field: "priority",
                value: 9
            })
        );
        assert_eq!(
            read_class(-1),
            Err(WireError::Unknown {
                field: "redelivery_class",
                value: -1
            })
        );
        assert!(status(8).is_err());
    }

    #[test]
    fn a_call_error_is_shown_in_its_parts() {
        let mut c = ended_command();
        c.progress.answer = Some(domain_command::Answer::Error(
            r#"["NotSupported","no",{"a": 1}]"#.to_owned(),
        ));
        let shown = command(&c, Payload::Hidden);
        let expected = CallError {
            code: "NotSupported".into(),
            description: "no".into(),
            details_json: r#"{"a": 1}"#.into(),
        };
        assert_eq!(shown.answer.unwrap().kind, Some(answer::Kind::Error(expected)));
        assert_eq!(shown.payload_json, "");
        assert_eq!(command(&c, Payload::Shown).payload_json, c.request.payload);
    }

    #[test]
    fn a_cancel_is_shown_as_requested_only_while_the_outcome_is_open() {
        let mut c = ended_command();
        c.progress.mark = Mark::Cancel;
        assert!(!command(&c, Payload::Hidden).cancel_requested);
        c.progress.status = Status::Delivered;
        assert!(command(&c, Payload::Hidden).cancel_requested);
    }

    #[test]
    fn what_failed_may_have_been_written_and_an_answer_says_more_than_that() {
        use crate::map::record::result;
        let mut c = ended_command();
        for (status, written, shown) in [
            (Status::Failed, false, true),
            (Status::Expired, true, true),
            (Status::Expired, false, false),
            (Status::Cancelled, true, true),
            (Status::Cancelled, false, false),
            (Status::Acknowledged, false, false),
            (Status::Delivered, false, false),
        ] {
            (c.progress.status, c.progress.possibly_written) = (status, written);
            assert_eq!(command(&c, Payload::Hidden).possibly_written, shown, "{status:?}");
            assert_eq!(result(&c).possibly_written, shown, "{status:?}");
        }
    }

    #[test]
    fn a_lapsed_connection_is_shown_as_not_connected() {
        let id = ChargePointId::parse("CP-1").unwrap();
        let pod = domain::ids::PodId::parse("edge-0").ok();
        let device = Device {
            pod,
            connected: true,
            expires: Micros(100),
            ..Device::unseen()
        };
        assert_eq!(connection(&id, &device, Micros(99)).pod_id, "edge-0");
        let lapsed = connection(&id, &device, Micros(100));
        assert!(!lapsed.connected && lapsed.pod_id.is_empty() && lapsed.expires_at.is_none());
    }
}
