//! Scenarios of one connection.

use super::*;
use crate::frame::{Limits, parse};

fn session(version: Version) -> Session {
    Session::new(version, BootGate::Lenient, BootState::Unknown)
}

fn feed<'a>(session: &mut Session, text: &'a str, now_ms: u64) -> Inbound<'a> {
    let frame = parse(text, session.version(), &Limits::default()).unwrap();
    session.receive(frame, now_ms)
}

#[test]
fn an_idle_session_fits_64_bytes() {
    assert!(size_of::<Session>() <= 64, "{} bytes", size_of::<Session>());
    assert!(size_of::<Option<Session>>() <= 64);
}

#[test]
fn an_answer_ends_the_outstanding_call_and_frees_its_place() {
    let mut session = session(Version::V16);
    session.begin_call("a", "Reset", 100, 30_000).unwrap();
    assert_eq!(
        session.begin_call("b", "Reset", 101, 30_000),
        Err(CallRefusal::Busy)
    );
    assert_eq!(session.deadline_ms(), Some(30_100));
    let Inbound::Answer {
        id,
        outcome: Outcome::Result(payload),
        waited_ms,
    } = feed(&mut session, r#"[3,"a",{"status":"Accepted"}]"#, 150)
    else {
        panic!("not an answer")
    };
    assert_eq!(
        (id.as_ref(), payload.get(), waited_ms),
        ("a", r#"{"status":"Accepted"}"#, 50)
    );
    assert_eq!(session.begin_call("b", "Reset", 151, 30_000), Ok(()));
}

#[test]
fn a_callerror_is_an_answer_too() {
    let mut session = session(Version::V201);
    session.begin_call("a", "Reset", 0, 1).unwrap();
    let Inbound::Answer {
        outcome: Outcome::Error { code, .. },
        ..
    } = feed(&mut session, r#"[4,"a","NotSupported","no",{}]"#, 0)
    else {
        panic!("not an answer")
    };
    assert_eq!(code, "NotSupported");
    assert_eq!(session.outstanding_id(), None);
}

#[test]
fn an_answer_after_the_timeout_is_late_and_still_handed_on() {
    let mut session = session(Version::V16);
    session.begin_call("a", "Reset", 0, 10).unwrap();
    assert_eq!(session.expire(9), None);
    assert_eq!(
        session.expire(10),
        Some(TimedOutCall {
            id: "a".into(),
            waited_ms: 10
        })
    );
    assert_eq!(session.expire(11), None);
    session.begin_call("b", "Reset", 11, 10).unwrap();
    assert!(matches!(
        feed(&mut session, r#"[3,"a",{}]"#, 12),
        Inbound::LateAnswer { id, outcome: Outcome::Result(_) } if id == "a"
    ));
    assert_eq!(session.outstanding_id(), Some("b"));
}

#[test]
fn an_answer_to_nothing_is_late_and_minus_one_is_ignored() {
    let mut session = session(Version::V201);
    assert!(matches!(
        feed(&mut session, r#"[3,"x",{}]"#, 0),
        Inbound::LateAnswer { .. }
    ));
    assert!(matches!(
        feed(&mut session, r#"[4,"-1","RpcFrameworkError","",{}]"#, 0),
        Inbound::Ignore
    ));
}

#[test]
fn a_repeated_call_is_worked_on_once_while_open_and_marked_when_answered() {
    let mut session = session(Version::V16);
    let text = r#"[2,"m","Heartbeat",{}]"#;
    assert!(matches!(
        feed(&mut session, text, 0),
        Inbound::Call { duplicate: false, .. }
    ));
    assert!(matches!(feed(&mut session, text, 1), Inbound::StillOpen { .. }));
    session.answered("m");
    assert_eq!(session.open_calls(), 0);
    assert!(matches!(
        feed(&mut session, text, 2),
        Inbound::Call { duplicate: true, .. }
    ));
}

#[test]
fn open_calls_are_bounded_and_a_refused_one_can_be_retried() {
    let mut session = session(Version::V16);
    let texts: Vec<_> = (0..17)
        .map(|n| format!(r#"[2,"{n}","Heartbeat",{{}}]"#))
        .collect();
    for text in &texts[..16] {
        assert!(matches!(feed(&mut session, text, 0), Inbound::Call { .. }));
    }
    assert!(matches!(
        feed(&mut session, &texts[16], 0),
        Inbound::Refuse { .. }
    ));
    session.answered("3");
    assert!(matches!(feed(&mut session, &texts[16], 0), Inbound::Call { .. }));
}

#[test]
fn an_unknown_action_is_not_implemented() {
    let mut session = session(Version::V201);
    assert!(matches!(
        feed(&mut session, r#"[2,"m","StartTransaction",{}]"#, 0),
        Inbound::Refuse {
            code: ErrorCode::NotImplemented,
            ..
        }
    ));
    assert_eq!(session.open_calls(), 0);
}

#[test]
fn a_strict_gate_refuses_until_the_boot_is_accepted() {
    let mut session = Session::new(Version::V16, BootGate::Strict, BootState::Unknown);
    let status = r#"[2,"s","StatusNotification",{}]"#;
    let refused = |inbound| {
        matches!(
            inbound,
            Inbound::Refuse {
                code: ErrorCode::SecurityError,
                ..
            }
        )
    };
    assert!(refused(feed(&mut session, status, 0)));
    assert!(matches!(
        feed(&mut session, r#"[2,"b","BootNotification",{}]"#, 0),
        Inbound::Call { .. }
    ));
    session.boot_answered(BootState::Pending);
    assert!(matches!(feed(&mut session, status, 0), Inbound::Call { .. }));
    assert!(refused(feed(&mut session, r#"[2,"t","StartTransaction",{}]"#, 0)));
    session.boot_answered(BootState::Accepted);
    assert!(matches!(
        feed(&mut session, r#"[2,"t","StartTransaction",{}]"#, 0),
        Inbound::Call { .. }
    ));
}

#[test]
fn a_strict_gate_lets_a_known_charger_go_on_without_a_new_boot() {
    let mut session = Session::new(Version::V16, BootGate::Strict, BootState::Accepted);
    assert!(matches!(
        feed(&mut session, r#"[2,"m","Heartbeat",{}]"#, 0),
        Inbound::Call { .. }
    ));
}

#[test]
fn commands_respect_the_boot_answer() {
    let mut session = session(Version::V16);
    assert_eq!(session.may_call("RemoteStartTransaction"), Ok(()));
    session.boot_answered(BootState::Pending);
    assert_eq!(
        session.may_call("RemoteStartTransaction"),
        Err(CallRefusal::BootPending)
    );
    assert_eq!(session.may_call("GetConfiguration"), Ok(()));
    session.boot_answered(BootState::Rejected);
    assert_eq!(
        session.may_call("GetConfiguration"),
        Err(CallRefusal::BootRejected)
    );
    assert_eq!(session.may_call("TriggerMessage"), Err(CallRefusal::BootRejected));
}

#[test]
fn crossing_calls_do_not_disturb_each_other() {
    let mut session = session(Version::V201);
    session.begin_call("same", "Reset", 0, 10).unwrap();
    assert!(matches!(
        feed(&mut session, r#"[2,"same","Heartbeat",{}]"#, 1),
        Inbound::Call { .. }
    ));
    assert!(matches!(
        feed(&mut session, r#"[3,"same",{}]"#, 2),
        Inbound::Answer { .. }
    ));
    assert_eq!(session.open_calls(), 1);
}

#[test]
fn only_known_sends_are_taken() {
    let mut session = session(Version::V21);
    assert!(matches!(
        feed(&mut session, r#"[6,"s","NotifyPeriodicEventStream",{}]"#, 0),
        Inbound::Send { .. }
    ));
    assert!(matches!(
        feed(&mut session, r#"[6,"s","Heartbeat",{}]"#, 0),
        Inbound::Ignore
    ));
}
