//! Which layer wins, and what is said about wrong values.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempDir};

use super::{Environment, Settings, resolve};
use crate::cli::{ConnectionArgs, Output};
use crate::failure::Failure;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Environment {
        variables,
        now: SystemTime::UNIX_EPOCH,
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn with_config(path: impl Into<PathBuf>) -> ConnectionArgs {
    ConnectionArgs {
        config: Some(path.into()),
        ..ConnectionArgs::default()
    }
}

fn routers(settings: &Settings) -> Vec<String> {
    settings.routers.iter().map(ToString::to_string).collect()
}

fn problems(flags: &ConnectionArgs, environment: &Environment) -> Vec<String> {
    match resolve(flags, environment) {
        Err(Failure::Settings { problems }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn defaults_need_nothing() {
    let settings = resolve(&ConnectionArgs::default(), &environment(&[])).unwrap();
    assert_eq!(routers(&settings), ["127.0.0.1:7000"]);
    assert_eq!(
        (settings.timeout, settings.retries, settings.output),
        (Duration::from_secs(10), 5, Output::Table)
    );
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let file = file("router = [\"file:1\", \"file:2\"]\ntimeout = \"3s\"\nretries = 7\noutput = \"json\"\n");
    let mut flags = with_config(file.path());
    let settings = resolve(&flags, &environment(&[])).unwrap();
    assert_eq!(routers(&settings), ["file:1", "file:2"]);
    assert_eq!(
        (settings.timeout, settings.retries, settings.output),
        (Duration::from_secs(3), 7, Output::Json)
    );

    let variables = environment(&[("GATEWAYCTL_ROUTER", "env:1, env:2"), ("GATEWAYCTL_RETRIES", "8")]);
    let settings = resolve(&flags, &variables).unwrap();
    assert_eq!(routers(&settings), ["env:1", "env:2"]);
    assert_eq!((settings.timeout, settings.retries), (Duration::from_secs(3), 8));

    flags.routers = vec!["flag:1".parse().unwrap()];
    flags.retries = Some(0);
    flags.output = Some(Output::Table);
    let settings = resolve(&flags, &variables).unwrap();
    assert_eq!(routers(&settings), ["flag:1"]);
    assert_eq!((settings.retries, settings.output), (0, Output::Table));
}

#[test]
fn the_usual_file_is_found_below_xdg_config_home_or_home() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(".config/holdfast");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("gatewayctl.toml"), "router = \"usual:1\"\n").unwrap();
    let home = folder.path().to_str().unwrap();
    let config = format!("{home}/.config");
    for variables in [
        environment(&[("HOME", home)]),
        environment(&[("XDG_CONFIG_HOME", &config)]),
    ] {
        assert_eq!(
            routers(&resolve(&ConnectionArgs::default(), &variables).unwrap()),
            ["usual:1"]
        );
    }
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let outcome = resolve(&with_config("/nonexistent/gatewayctl.toml"), &environment(&[]));
    assert!(matches!(outcome, Err(Failure::ReadConfig { .. })), "{outcome:?}");
}

#[test]
fn every_problem_is_reported_with_its_key_and_its_source() {
    let file = file("router = \"nowhere\"\nretries = -1\ncolour = \"red\"\noutput = 3\n");
    let problems = problems(
        &with_config(file.path()),
        &environment(&[("GATEWAYCTL_TIMEOUT", "soon")]),
    );
    for part in [
        "router: `nowhere`",
        "timeout: `soon`",
        "(environment)",
        "retries:",
        "colour: is not a known key; known here: router, timeout, retries, output",
        "output:",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(part)),
            "{part} missing in {problems:?}"
        );
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains(file.path().to_str().unwrap())),
        "{problems:?}"
    );
}

#[test]
fn a_file_that_is_not_toml_is_named() {
    let file = file("router = [\n");
    let problems = problems(&with_config(file.path()), &environment(&[]));
    assert!(
        problems[0].contains(file.path().to_str().unwrap()),
        "{problems:?}"
    );
    // The place is shown below it, each of its lines as one.
    assert!(problems.len() > 1, "{problems:?}");
    assert!(problems.iter().all(|line| !line.contains('\n')), "{problems:?}");
}

#[test]
fn a_wrong_value_that_a_flag_replaces_does_no_harm() {
    let flags = ConnectionArgs {
        routers: vec!["flag:1".parse().unwrap()],
        ..ConnectionArgs::default()
    };
    let settings = resolve(&flags, &environment(&[("GATEWAYCTL_ROUTER", "nowhere")])).unwrap();
    assert_eq!(routers(&settings), ["flag:1"]);
}
