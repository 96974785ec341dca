//! What a configuration accepts and what it never shows.

use super::*;

fn keys(config: &BusConfig) -> Vec<String> {
    config.problems().into_iter().map(|(key, _)| key).collect()
}

#[test]
fn defaults_have_no_problems() {
    assert_eq!(BusConfig::default().problems(), Vec::new());
}

#[test]
fn every_problem_is_reported_at_once() {
    let config = BusConfig {
        bootstrap_servers: "kafka".to_owned(),
        client_id: " ".to_owned(),
        message_timeout_ms: 0,
        fetch_wait_max_ms: 60_000,
        ..BusConfig::default()
    };
    assert_eq!(
        keys(&config),
        [
            "message_timeout_ms",
            "fetch_wait_max_ms",
            "bootstrap_servers",
            "client_id"
        ]
    );
}

#[test]
fn properties_that_the_design_rests_on_cannot_be_overridden() {
    let mut config = BusConfig::default();
    config
        .properties
        .insert("enable.idempotence".to_owned(), "false".to_owned());
    assert_eq!(keys(&config), ["properties.enable.idempotence"]);
}

#[test]
fn a_producer_confirms_what_the_broker_answered_and_all_replicas_have() {
    let native = BusConfig::default().producer(Duration::ZERO).unwrap();
    let settings = ["enable.idempotence", "acks", "max.in.flight"].map(|key| native.get(key));
    assert_eq!(settings, [Some("false"), Some("all"), Some("5")]);
}

#[test]
fn unknown_or_malformed_librdkafka_properties_are_reported() {
    for (key, value) in [("no.such.property", "1"), ("socket.timeout.ms", "soon")] {
        let mut config = BusConfig::default();
        config.properties.insert(key.to_owned(), value.to_owned());
        let problems = config.problems();
        assert_eq!(problems.len(), 1, "{key}");
        assert!(problems[0].1.contains(key), "{problems:?}");
    }
}

#[test]
fn message_timeout_must_stay_below_the_dispatch_lease() {
    let config = BusConfig::default();
    assert_eq!(config.problem_with_dispatch_lease(5_000), None);
    assert!(config.problem_with_dispatch_lease(4_000).is_some());
}

#[test]
fn sasl_needs_a_user_and_a_password() {
    let mut config = BusConfig::default();
    config.security.protocol = SecurityProtocol::SaslSsl;
    assert_eq!(keys(&config), ["security.username", "security.password_file"]);
    config.security.username = "edge".to_owned();
    config.security.password = Secret::new("hunter2");
    assert_eq!(keys(&config), Vec::<String>::new());
}

#[test]
fn password_file_wins_over_the_inline_password() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file\n").unwrap();
    let security = Security {
        protocol: SecurityProtocol::SaslPlaintext,
        username: "edge".to_owned(),
        password: Secret::new("inline"),
        password_file: Some(file.path().to_owned()),
        ..Security::default()
    };
    let config = BusConfig {
        security,
        ..BusConfig::default()
    };
    assert_eq!(
        config.producer(Duration::ZERO).unwrap().get("sasl.password"),
        Some("from-file")
    );
}

#[test]
fn secrets_are_not_printed() {
    let mut config = BusConfig::default();
    config.security.password = Secret::new("hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!serde_json::to_string(&config).unwrap().contains("hunter2"));
}

#[test]
fn unknown_fields_are_refused() {
    let error = serde_json::from_str::<BusConfig>(r#"{"bootstrap_server":"a:1"}"#).unwrap_err();
    assert!(error.to_string().contains("bootstrap_server"));
}
