//! The grammar: what is accepted, what is refused.

use std::time::{Duration, SystemTime};

use clap::{CommandFactory, Parser};

use super::values::{Address, Moment, Span};
use super::{Class, Cli, ConnVerb, Priority, State, Verb};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("gatewayctl").chain(line.split_whitespace()))
}

#[test]
fn the_grammar_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn send_takes_everything_the_api_has() {
    let cli = parse(
        "send CP-1 Reset {} --priority urgent --deadline 1m30s --idempotency-key k-1 --class unsafe --wait \
         --router a:1 --router b:2 --timeout 500ms --retries 2 --output json",
    )
    .unwrap();
    let Verb::Send(args) = cli.verb else {
        panic!("parsed as another verb")
    };
    assert_eq!(
        (args.charge_point.as_str(), args.action.as_str()),
        ("CP-1", "Reset")
    );
    assert_eq!(args.payload.as_deref(), Some("{}"));
    assert_eq!(args.priority, Priority::Urgent);
    assert_eq!(args.until.deadline, Some(Span(Duration::from_secs(90))));
    assert_eq!(args.idempotency_key.as_deref(), Some("k-1"));
    assert_eq!(args.class, Some(Class::Unsafe));
    assert!(args.wait);
    assert_eq!(cli.connection.routers.len(), 2);
    assert_eq!(cli.connection.retries, Some(2));
}

#[test]
fn a_single_dash_is_the_payload_from_standard_input() {
    let Verb::Send(args) = parse("send CP-1 Reset -").unwrap().verb else {
        panic!("parsed as another verb")
    };
    assert_eq!(args.payload.as_deref(), Some("-"));
}

#[test]
fn states_may_be_repeated_or_separated_by_commas() {
    let Verb::List(args) = parse("list --state pending,sent --state failed").unwrap().verb else {
        panic!("parsed as another verb")
    };
    assert_eq!(args.states, [State::Pending, State::Sent, State::Failed]);
}

#[test]
fn connection_flags_work_behind_a_nested_verb() {
    let cli = parse("conn list --pod edge-1 --limit 5 --router a:1").unwrap();
    assert!(matches!(cli.verb, Verb::Conn(ConnVerb::List { .. })));
    assert_eq!(cli.connection.routers.len(), 1);
}

#[test]
fn contradictions_and_unknown_words_are_refused() {
    for line in [
        "",
        "send CP-1",
        "send CP-1 Reset --deadline 1s --deadline-at 2030-01-01T00:00:00Z",
        "send CP-1 Reset --deadline-at tomorrow",
        "send CP-1 Reset --idempotency-key=",
        "send CP-1 Reset --priority highest",
        "send CP-1 Reset --class maybe",
        "list --state done",
        "list --limit 0",
        "list --limit 5 --all",
        "list --output yaml",
        "list --charger=",
        "conn list --pod=",
        "get",
        "conn",
        "completion tcsh",
        "get x --router nowhere",
        "get x --timeout 0s",
        "dlq replay",
        "dlq purge --yes",
        "dlq purge x --charger CP-1",
        "dlq purge x --all",
        "dlq purge --all --dry-run --yes",
        "dlq purge --all --since 1h",
        "dlq purge --all --limit 0",
        "dlq list --reason bored",
        "dlq list --since yesterday",
        "dlq show",
        "dlq list --charger=",
        "dlq purge --charger= --yes",
        "dlq replay --action= --yes",
    ] {
        assert!(parse(line).is_err(), "`{line}` was accepted");
    }
}

#[test]
fn a_bulk_that_chooses_nothing_is_told_every_way_to_choose() {
    for line in [
        "dlq replay",
        "dlq purge",
        "dlq purge --yes",
        "dlq replay --dry-run --limit 5",
    ] {
        let error = parse(line).unwrap_err().to_string();
        for way in [
            "COMMAND_ID",
            "--charger",
            "--action",
            "--reason",
            "--since",
            "--until",
            "--all",
        ] {
            assert!(error.contains(way), "`{line}` does not name {way}: {error}");
        }
    }
    for line in [
        "dlq purge x",
        "dlq purge --all --yes",
        "dlq replay --charger CP-1 --reason expired --since 2h --dry-run",
    ] {
        assert!(parse(line).is_ok(), "`{line}` was refused");
    }
}

#[test]
fn spans_are_sums_of_units() {
    for (text, ms) in [
        ("500ms", 500),
        ("30s", 30_000),
        ("1m30s", 90_000),
        ("2h", 7_200_000),
        ("1d1ms", 86_400_001),
    ] {
        assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
    }
    for text in [
        "",
        "5",
        "s",
        "0s",
        "-1s",
        "1.5s",
        "1 s",
        "3x",
        "99999999999999999999s",
        "400d",
    ] {
        assert!(text.parse::<Span>().is_err(), "`{text}` was accepted");
    }
}

#[test]
fn a_span_of_nothing_and_an_endless_one_are_told_apart_from_nonsense() {
    let refusal = |text: &str| text.parse::<Span>().unwrap_err();
    assert!(refusal("0s").contains("longer than 0"));
    assert!(refusal("400d").contains("longer than a year"));
    assert!(refusal("soon").contains("not a duration"));
    for (text, reason) in [("0s", "longer than 0"), ("-5s", "not a duration")] {
        let error = parse(&format!("send CP-1 Reset --deadline {text}")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("--deadline") && error.contains(reason), "{error}");
    }
}

#[test]
fn moments_are_times_or_how_long_ago() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    for (text, time) in [
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
        ("2h", "2030-03-17T15:46:40Z"),
        ("1h30m", "2030-03-17T16:16:40Z"),
    ] {
        let moment: Moment = text.parse().unwrap();
        assert_eq!(moment.timestamp(now).to_string(), time, "{text}");
    }
    let day: Moment = "2030-01-31".parse().unwrap();
    assert_eq!(day.timestamp(now).to_string(), "2030-01-31T00:00:00Z");
    assert!("yesterday".parse::<Moment>().is_err());
}

#[test]
fn a_printed_span_reads_as_itself() {
    let span: Span = "1h2m3s4ms".parse().unwrap();
    assert_eq!(span.to_string().parse(), Ok(span));
}

#[test]
fn addresses_are_host_and_port() {
    for text in [
        "router-1:7000",
        "127.0.0.1:1",
        "[::1]:7000",
        "http://router-1:7000",
        "http://router-1:7000/",
    ] {
        assert!(text.parse::<Address>().is_ok(), "`{text}` was refused");
    }
    assert_eq!(
        "http://router-1:7000/".parse::<Address>().unwrap().to_string(),
        "router-1:7000"
    );
    for text in [
        "",
        "router-1",
        ":7000",
        "router-1:0",
        "router-1:70000",
        "https://r:1",
        "a/b:1",
        "::1:7000",
        "u@h:1",
    ] {
        assert!(text.parse::<Address>().is_err(), "`{text}` was accepted");
    }
}
