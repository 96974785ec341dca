//! Tests of the loader: layers, types from text, all problems at once, secrets, the dump.

mod variables;

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Example {
    pod_id: String,
    weights: BTreeMap<String, u8>,
    redis: Redis,
    tls: Option<Tls>,
    log: LogConfig,
    telemetry: TelemetryConfig,
    admin: AdminConfig,
    shutdown: ShutdownConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Redis {
    nodes: Vec<String>,
    slots: u16,
    lease_ms: u64,
    ratio: f64,
    strict: bool,
    password: Secret,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl Default for Example {
    fn default() -> Self {
        Self {
            pod_id: "pod".into(),
            weights: BTreeMap::new(),
            redis: Redis {
                nodes: vec!["localhost:6379".into()],
                slots: 64,
                lease_ms: 10_000,
                ratio: 0.5,
                strict: true,
                password: Secret::new("default-password"),
            },
            tls: None,
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            admin: AdminConfig::default(),
            shutdown: ShutdownConfig::default(),
        }
    }
}

impl ServiceConfig for Example {
    fn validate(&self, problems: &mut Problems) {
        problems.range("redis.slots", self.redis.slots, 1..=256);
        problems.not_empty_list("redis.nodes", &self.redis.nodes);
        problems.not_empty("pod_id", &self.pod_id);
    }

    fn chassis(&self) -> ChassisConfig {
        let Self {
            log,
            telemetry,
            admin,
            shutdown,
            ..
        } = self.clone();
        ChassisConfig {
            log,
            telemetry,
            admin,
            shutdown,
        }
    }
}

fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// A folder with a file of that content, and its path.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn from_env(env: &[(&str, &str)]) -> Result<Example, ConfigErrors> {
    load_from(&Sources {
        env: pairs(env),
        ..Sources::default()
    })
}

/// Loads with a file and replaces its path by a name that is the same on each machine.
fn problems_of(text: &str, env: &[(&str, &str)], set: &[&str]) -> String {
    let (_folder, path) = file(text);
    let set = set.iter().map(ToString::to_string).collect();
    let sources = Sources {
        file: Some(path.clone()),
        env: pairs(env),
        set,
    };
    let errors = load_from::<Example>(&sources).unwrap_err().to_string();
    errors.replace(&path.display().to_string(), "example.toml")
}

#[test]
fn without_sources_the_defaults_hold_secrets_included() {
    assert_eq!(
        load_from::<Example>(&Sources::default()).unwrap(),
        Example::default()
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_folder, path) = file("pod_id = 'file'\n[redis]\nslots = 1\nlease_ms = 1\n");
    let sources = Sources {
        file: Some(path),
        env: pairs(&[("HOLDFAST_REDIS__SLOTS", "2"), ("HOLDFAST_REDIS__LEASE_MS", "2")]),
        set: vec!["redis.slots=3".into()],
    };
    let config = load_from::<Example>(&sources).unwrap();
    assert_eq!(
        (config.pod_id.as_str(), config.redis.slots, config.redis.lease_ms),
        ("file", 3, 2)
    );
    assert_eq!(config.redis.ratio, 0.5, "what no layer names keeps its default");
}

#[test]
fn a_number_in_the_file_becomes_text_where_text_is_wanted() {
    let (_folder, path) = file("pod_id = 7\n[redis]\npassword = 123\n");
    let config = load_from::<Example>(&Sources {
        file: Some(path),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(
        (config.pod_id.as_str(), config.redis.password.reveal()),
        ("7", "123")
    );
}

#[test]
fn empty_text_unsets_an_option_and_empties_a_list() {
    let (_folder, path) = file("[telemetry]\notlp_endpoint = 'http://collector:4317'\n");
    let env = pairs(&[("HOLDFAST_TELEMETRY__OTLP_ENDPOINT", "")]);
    let config = load_from::<Example>(&Sources {
        file: Some(path),
        env,
        set: vec![],
    })
    .unwrap();
    assert_eq!(config.telemetry.otlp_endpoint, None);
    let errors = from_env(&[("HOLDFAST_REDIS__NODES", "")]).unwrap_err();
    assert!(
        errors
            .to_string()
            .starts_with("redis.nodes: must have at least one element"),
        "{errors}"
    );
}

#[test]
fn three_wrong_keys_make_three_lines() {
    let set = ["redis.slots=many", "redis.strict=perhaps", "redis.lease_ms=-1"];
    assert_eq!(problems_of("", &[], &set).lines().count(), 3);
}

#[test]
fn every_problem_is_reported_at_once_with_its_source() {
    let text = "pod_id = ''\nlog = 5\n[redis]\nslots = 1000\nratio = 'half'\nnodes = 1\nslot = 3\n\
                [telemetry]\nsample_ratio = 2\n[tls]\ncert_file = 'c'\n[weights]\nfar = 300\nnear = 1\n";
    let env = [
        ("HOLDFAST_REDIS__LEASE_MS", "10s"),
        ("HOLDFAST_REDIS__PASSWORD_FILE", "/nowhere/password"),
        ("HOLDFAST_ADMIN__LISTEN", "localhost"),
        ("HOLDFAST_POD_ID__DEEPER", "x"),
        ("HOLDFAST_UNHEARD__OF", "x"),
    ];
    insta::assert_snapshot!(problems_of(
        text,
        &env,
        &["log.format=xml", "nonsense", "admin.liste=1"]
    ));
}

#[test]
fn a_bad_value_within_a_map_takes_none_of_its_neighbours_along() {
    let errors = from_env(&[("HOLDFAST_WEIGHTS__A", "x"), ("HOLDFAST_WEIGHTS__B", "y")]).unwrap_err();
    let keys: Vec<_> = errors
        .problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(keys, ["weights.a", "weights.b"]);
}

#[test]
fn an_address_that_is_none_is_refused_in_words_that_help() {
    let errors = problems_of("", &[], &["admin.listen=localhost:9100"]);
    assert!(
        errors.starts_with("admin.listen: must be a numeric address and a port, such as 127.0.0.1:8080"),
        "{errors}"
    );
    assert!(errors.contains("not `localhost:9100`"), "{errors}");
}

#[test]
fn a_missing_or_broken_file_is_a_problem_and_not_silence() {
    let missing = Sources {
        file: Some("/nowhere/example.toml".into()),
        ..Sources::default()
    };
    let errors = load_from::<Example>(&missing).unwrap_err().to_string();
    assert!(
        errors.starts_with("file /nowhere/example.toml cannot be read: "),
        "{errors}"
    );
    let both = problems_of("pod_id = ", &[("HOLDFAST_REDIS__SLOTS", "0")], &[]);
    assert!(both.starts_with("file example.toml is not TOML: "), "{both}");
    assert!(
        both.contains("redis.slots: must be from 1 to 256, not 0"),
        "{both}"
    );
}

#[test]
fn a_secret_is_read_from_the_file_its_key_names() {
    let (_folder, path) = file("0123\n");
    let path = path.display().to_string();
    let config = from_env(&[("HOLDFAST_REDIS__PASSWORD_FILE", &path)]).unwrap();
    assert_eq!(config.redis.password.reveal(), "0123");
    let both = [
        ("HOLDFAST_REDIS__PASSWORD_FILE", path.as_str()),
        ("HOLDFAST_REDIS__PASSWORD", "x"),
    ];
    let errors = from_env(&both).unwrap_err().to_string();
    assert!(
        errors.starts_with("redis.password_file: is given beside `password`"),
        "{errors}"
    );
    assert!(
        errors.ends_with("(environment variable HOLDFAST_REDIS__PASSWORD_FILE)"),
        "{errors}"
    );
}

#[test]
fn an_optional_section_is_read_as_a_whole() {
    let set = vec!["tls.cert_file=c".into(), "tls.key_file=k".into()];
    let config = load_from::<Example>(&Sources {
        set,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(
        config.tls,
        Some(Tls {
            cert_file: "c".into(),
            key_file: "k".into()
        })
    );
    assert_eq!(
        problems_of("", &[], &["tls.cert_file=c"]),
        "tls.key_file: is missing"
    );
}

#[test]
fn the_dump_redacts_secrets_and_reads_back() {
    let set = vec![
        "redis.password=hush".into(),
        "redis.slots=7".into(),
        "weights.near=2".into(),
    ];
    let config = load_from::<Example>(&Sources {
        set,
        ..Sources::default()
    })
    .unwrap();
    let dumped = dump(&config);
    assert!(!dumped.contains("hush"));
    insta::assert_snapshot!(dumped);
    let (_folder, path) = file(&dumped);
    let mut again = load_from::<Example>(&Sources {
        file: Some(path),
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(again.redis.password.reveal(), REDACTED);
    again.redis.password = Secret::new("hush");
    assert_eq!(again, config);
}

#[test]
fn problems_never_show_a_secret() {
    let errors = problems_of("[redis]\npassword = ['hush']\n", &[], &["redis.slots=x"]);
    assert!(!errors.contains("hush"), "{errors}");
    assert!(
        errors.contains("redis.password: must be text, not a list"),
        "{errors}"
    );
}

#[test]
fn the_flags_are_parsed_and_the_file_they_name_is_loaded() {
    use clap::FromArgMatches;
    let (_folder, path) = file("[redis]\nslots = 5\n");
    let command = CommonArgs::augment_args(clap::Command::new("example"));
    command.clone().debug_assert();
    let path = path.display().to_string();
    let line = [
        "example",
        "--config",
        &path,
        "--set",
        "pod_id=a=b",
        "--set",
        "redis.lease_ms=1",
        "--dump-config",
    ];
    let args = CommonArgs::from_arg_matches(&command.get_matches_from(line)).unwrap();
    assert!(args.dump_config && !args.exit_on_stdin_close);
    let config = load::<Example>(&args).unwrap();
    assert_eq!(
        (config.pod_id.as_str(), config.redis.slots, config.redis.lease_ms),
        ("a=b", 5, 1)
    );
}
