//! Frames from outside: a table of bad messages for each version, and properties of arbitrary ones.

use ocpp::{Frame, FrameError, Limits, Problem, Reaction, Version, parse};
use proptest::prelude::*;
use serde_json::value::RawValue;

fn error(text: &str, version: Version) -> FrameError {
    match parse(text, version, &Limits::default()) {
        Err(error) => error,
        Ok(frame) => panic!("{text} was taken as {frame:?}"),
    }
}

/// A bad message, its problem, and the answers owed by 1.6, 2.0.1 and 2.1: id and code, "5" for CALLRESULTERROR.
type Row = (&'static str, Problem, [Option<(&'static str, &'static str)>; 3]);

const NOBODY: [Option<(&str, &str)>; 3] = [None, None, None];
const UNREADABLE: [Option<(&str, &str)>; 3] = [
    None,
    Some(("-1", "RpcFrameworkError")),
    Some(("-1", "RpcFrameworkError")),
];

const fn framework(id: &'static str) -> [Option<(&'static str, &'static str)>; 3] {
    [
        Some((id, "FormationViolation")),
        Some((id, "RpcFrameworkError")),
        Some((id, "RpcFrameworkError")),
    ]
}

const BAD: &[Row] = &[
    ("", Problem::NotAnArray, UNREADABLE),
    ("hello", Problem::NotAnArray, UNREADABLE),
    ("{}", Problem::NotAnArray, UNREADABLE),
    ("[]", Problem::NotAnArray, UNREADABLE),
    (r#"["2","a","Heartbeat",{}]"#, Problem::UnreadableType, UNREADABLE),
    (r#"[7,"a","Heartbeat",{}]"#, Problem::UnknownType, NOBODY),
    (r#"[-1,"a"]"#, Problem::UnknownType, NOBODY),
    ("[2]", Problem::UnreadableId, UNREADABLE),
    (r#"[2,17,"Heartbeat",{}]"#, Problem::UnreadableId, UNREADABLE),
    (r#"[2,"","Heartbeat",{}]"#, Problem::UnreadableId, UNREADABLE),
    (
        r#"[2,"0123456789012345678901234567890123456","Heartbeat",{}]"#,
        Problem::UnreadableId,
        UNREADABLE,
    ),
    (r#"[2,"a"]"#, Problem::WrongLength, framework("a")),
    (r#"[2,"a","Heartbeat"]"#, Problem::WrongLength, framework("a")),
    (
        r#"[2,"a","Heartbeat",{},{}]"#,
        Problem::WrongLength,
        framework("a"),
    ),
    (r#"[2,"a",9,{}]"#, Problem::UnreadableName, framework("a")),
    (r#"[2,"a","",{}]"#, Problem::UnreadableName, framework("a")),
    (r#"[2,"a","Heartbeat",{"#, Problem::NotAnArray, framework("a")),
    (
        r#"[2,"a","Heartbeat",{}] trailing"#,
        Problem::NotAnArray,
        framework("a"),
    ),
    (
        r#"[2,"a","Heartbeat",[]]"#,
        Problem::PayloadNotAnObject,
        [
            Some(("a", "FormationViolation")),
            Some(("a", "FormatViolation")),
            Some(("a", "FormatViolation")),
        ],
    ),
    (
        r#"[3,"a",[]]"#,
        Problem::PayloadNotAnObject,
        [None, None, Some(("a", "5FormatViolation"))],
    ),
    (
        r#"[3,"a"]"#,
        Problem::WrongLength,
        [None, None, Some(("a", "5RpcFrameworkError"))],
    ),
    (r#"[3,{},{}]"#, Problem::UnreadableId, NOBODY),
    (r#"[4,"a"]"#, Problem::WrongLength, NOBODY),
    (r#"[4,"a",1]"#, Problem::UnreadableName, NOBODY),
];

#[test]
fn bad_messages_are_answered_as_each_version_demands() {
    for (text, problem, owed) in BAD {
        for (version, owed) in Version::ALL.into_iter().zip(owed) {
            let error = error(text, version);
            assert_eq!(error.problem, *problem, "{version} {text}");
            let reaction = match &error.reaction {
                Reaction::Ignore => None,
                Reaction::CallError { id, code } => Some((id.clone(), code.as_str(version).to_owned())),
                Reaction::CallResultError { id, code } => {
                    Some((id.clone(), format!("5{}", code.as_str(version))))
                }
            };
            let owed = owed.map(|(id, code)| (id.to_owned(), code.to_owned()));
            assert_eq!(reaction, owed, "{version} {text}");
        }
    }
}

#[test]
fn the_owed_answer_is_itself_a_good_message() {
    for (text, ..) in BAD {
        for version in Version::ALL {
            if let Some(answer) = error(text, version).answer(version) {
                assert!(parse(&answer, version, &Limits::default()).is_ok(), "{answer}");
            }
        }
    }
}

#[test]
fn message_types_of_2_1_are_unknown_before_it() {
    for text in [
        r#"[5,"a","GenericError","",{}]"#,
        r#"[6,"a","NotifyPeriodicEventStream",{}]"#,
    ] {
        assert_eq!(error(text, Version::V16).problem, Problem::UnknownType);
        assert_eq!(error(text, Version::V201).reaction, Reaction::Ignore);
        assert!(parse(text, Version::V21, &Limits::default()).is_ok());
    }
}

#[test]
fn a_null_payload_is_the_empty_object_in_1_6_only() {
    let text = r#"[2,"a","Heartbeat",null]"#;
    let Ok(Frame::Call { payload, .. }) = parse(text, Version::V16, &Limits::default()) else {
        panic!("refused")
    };
    assert_eq!(payload.get(), "{}");
    assert_eq!(error(text, Version::V201).problem, Problem::PayloadNotAnObject);
}

#[test]
fn a_sloppy_callerror_is_understood() {
    let Ok(Frame::CallError {
        id,
        code,
        description,
        details,
    }) = parse(r#"[4,"a","GenericError"]"#, Version::V16, &Limits::default())
    else {
        panic!("refused")
    };
    assert_eq!(
        (id.as_ref(), code.as_ref(), description.as_ref()),
        ("a", "GenericError", "")
    );
    assert!(details.is_none());
}

#[test]
fn limits_hold_and_brackets_in_strings_do_not_count() {
    let limits = Limits {
        max_bytes: 200,
        max_depth: 4,
    };
    let within = r#"[2,"a","DataTransfer",{"a":[{}],"b":"[[[[[[\"[["}]"#;
    assert!(parse(within, Version::V16, &limits).is_ok());
    let deep = r#"[2,"a","DataTransfer",{"a":[{"b":{}}]}]"#;
    assert_eq!(
        parse(deep, Version::V16, &limits).unwrap_err().problem,
        Problem::TooDeep
    );
    let large = format!(r#"[2,"a","DataTransfer",{{"data":"{}"}}]"#, "x".repeat(200));
    assert_eq!(
        parse(&large, Version::V16, &limits).unwrap_err().problem,
        Problem::TooLarge
    );
}

#[test]
fn a_tower_of_brackets_neither_overflows_the_stack_nor_is_taken() {
    let tower = format!(
        r#"[2,"a","DataTransfer",{}1{}]"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(error(&tower, Version::V201).problem, Problem::TooDeep);
    assert_eq!(
        error(&"[".repeat(100_000), Version::V201).problem,
        Problem::NotAnArray
    );
}

/// Any of the writers with the frame it should be read back as.
#[derive(Debug, Clone)]
enum Written {
    Call {
        id: String,
        action: String,
        payload: String,
    },
    CallResult {
        id: String,
        payload: String,
    },
    CallError {
        id: String,
        code: String,
        description: String,
        details: String,
    },
    CallResultError {
        id: String,
        code: String,
        description: String,
        details: String,
    },
    Send {
        id: String,
        action: String,
        payload: String,
    },
}

impl Written {
    fn encode(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Call { id, action, payload } => ocpp::encode_call(&mut text, id, action, payload),
            Self::CallResult { id, payload } => ocpp::encode_result(&mut text, id, payload),
            Self::CallError {
                id,
                code,
                description,
                details,
            } => {
                ocpp::encode_error(&mut text, id, code, description, details);
            }
            Self::CallResultError {
                id,
                code,
                description,
                details,
            } => {
                ocpp::encode_result_error(&mut text, id, code, description, details);
            }
            Self::Send { id, action, payload } => ocpp::encode_send(&mut text, id, action, payload),
        }
        text
    }

    /// The message's type and strings, as [`fields`] has them of a frame.
    fn fields(&self) -> Vec<&str> {
        match self {
            Self::Call { id, action, payload } => vec!["call", id, action, payload],
            Self::CallResult { id, payload } => vec!["result", id, payload],
            Self::CallError {
                id,
                code,
                description,
                details,
            } => vec!["error", id, code, description, details],
            Self::CallResultError {
                id,
                code,
                description,
                details,
            } => {
                vec!["result error", id, code, description, details]
            }
            Self::Send { id, action, payload } => vec!["send", id, action, payload],
        }
    }
}

/// A frame's type and strings.
fn fields<'f>(frame: &'f Frame<'_>) -> Vec<&'f str> {
    match frame {
        Frame::Call { id, action, payload } => vec!["call", id, action, payload.get()],
        Frame::CallResult { id, payload } => vec!["result", id, payload.get()],
        Frame::CallError {
            id,
            code,
            description,
            details,
        } => {
            vec!["error", id, code, description, details.map_or("", RawValue::get)]
        }
        Frame::CallResultError {
            id,
            code,
            description,
            details,
        } => {
            vec![
                "result error",
                id,
                code,
                description,
                details.map_or("", RawValue::get),
            ]
        }
        Frame::Send { id, action, payload } => vec!["send", id, action, payload.get()],
    }
}

fn object() -> impl Strategy<Value = String> {
    prop::collection::btree_map(any::<String>(), any::<(String, i32)>(), 0..4)
        .prop_map(|map| serde_json::json!(map).to_string())
}

fn written() -> impl Strategy<Value = Written> {
    let id = || prop::collection::vec(any::<char>(), 1..=36).prop_map(String::from_iter);
    let name = || prop::collection::vec(any::<char>(), 1..=50).prop_map(String::from_iter);
    let refusal = || {
        (
            id(),
            name(),
            prop::collection::vec(any::<char>(), 0..=255),
            object(),
        )
    };
    prop_oneof![
        (id(), name(), object()).prop_map(|(id, action, payload)| Written::Call { id, action, payload }),
        (id(), object()).prop_map(|(id, payload)| Written::CallResult { id, payload }),
        refusal().prop_map(|(id, code, description, details)| Written::CallError {
            id,
            code,
            description: String::from_iter(description),
            details
        }),
        refusal().prop_map(|(id, code, description, details)| Written::CallResultError {
            id,
            code,
            description: String::from_iter(description),
            details
        }),
        (id(), name(), object()).prop_map(|(id, action, payload)| Written::Send { id, action, payload }),
    ]
}

/// Text that comes close to a message, to reach the later checks.
fn nearly_a_message() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "[", "]", "{", "}", ",", ":", "2", "3", "4", "5", "6", "\"a\"", "\"\\u00", "\"", "null", "-", "\\",
        " ",
    ]);
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn parse_never_panics_and_its_answers_are_good_messages(
        text in prop_oneof![any::<String>(), nearly_a_message()],
        max_depth in 0_usize..4,
    ) {
        for version in Version::ALL {
            for limits in [Limits::default(), Limits { max_bytes: 20, max_depth }] {
                if let Err(error) = parse(&text, version, &limits)
                    && let Some(answer) = error.answer(version)
                {
                    prop_assert!(parse(&answer, version, &Limits::default()).is_ok());
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(written in written()) {
        let text = written.encode();
        let frame = parse(&text, Version::V21, &Limits::default());
        prop_assert_eq!(frame.as_ref().map(fields), Ok(written.fields()), "{}", text);
    }

    #[test]
    fn a_message_cut_short_is_never_taken(written in written(), cut in 1_usize..40) {
        let text = written.encode();
        let end = text.char_indices().rev().nth(cut).map_or(0, |(at, _)| at);
        prop_assert!(parse(&text[..end], Version::V21, &Limits::default()).is_err());
    }

    #[test]
    fn both_buffers_get_the_same_bytes(written in written()) {
        let Written::Call { id, action, payload } = &written else { return Ok(()) };
        let mut bytes = Vec::new();
        ocpp::encode_call(&mut bytes, id, action, payload);
        prop_assert_eq!(bytes, written.encode().into_bytes());
    }
}
