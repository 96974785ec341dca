//! Tests of what the environment says: types from text, names of keys.

use super::*;

#[test]
fn a_variable_with_a_missing_underscore_is_told_its_name() {
    let errors = from_env(&[
        ("HOLDFAST_REDIS_SLOTS", "7"),
        ("HOLDFAST_REDIS__LEASE__MS", "7"),
        ("HOLDFAST_POD__ID", "x"),
    ])
    .unwrap_err()
    .to_string();
    assert_eq!(
        errors.lines().collect::<Vec<_>>(),
        [
            "pod.id: is not a known key; HOLDFAST_POD_ID is: two underscores lead into a section \
             (environment variable HOLDFAST_POD__ID)",
            "redis.lease.ms: is not a known key; HOLDFAST_REDIS__LEASE_MS is: two underscores lead into a section \
             (environment variable HOLDFAST_REDIS__LEASE__MS)",
            "redis_slots: is not a known key; HOLDFAST_REDIS__SLOTS is: two underscores lead into a section \
             (environment variable HOLDFAST_REDIS_SLOTS)",
        ]
    );
    from_env(&[("HOLDFAST_WEIGHTS__REDIS_SLOTS", "7")]).unwrap();
}

#[test]
fn unknown_keys_are_refused_but_variables_of_kubernetes_services_are_not_keys() {
    let errors = from_env(&[("HOLDFAST_REDIS__SLOT", "1")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.starts_with("redis.slot: is not a known key; known here: nodes, slots,"),
        "{errors}"
    );
    assert!(
        errors.ends_with("(environment variable HOLDFAST_REDIS__SLOT)"),
        "{errors}"
    );
    from_env(&[
        ("HOLDFAST_ROUTER_SERVICE_HOST", "10.0.0.1"),
        ("HOLDFAST_ROUTER_PORT", "tcp://10.0.0.1:80"),
    ])
    .unwrap();
    from_env(&[("HOLDFAST_CONFIG", "/read/by/load")]).unwrap();
}

#[test]
fn text_from_the_environment_takes_the_type_the_field_wants() {
    let config = from_env(&[
        ("HOLDFAST_POD_ID", "007"),
        ("HOLDFAST_REDIS__PASSWORD", "1234567890123456789012345"),
        ("HOLDFAST_REDIS__NODES", "a:1, b:2"),
        ("HOLDFAST_REDIS__SLOTS", "16"),
        ("HOLDFAST_REDIS__RATIO", "1"),
        ("HOLDFAST_REDIS__STRICT", "false"),
        ("HOLDFAST_LOG__FORMAT", "json"),
        ("HOLDFAST_ADMIN__LISTEN", "0.0.0.0:9100"),
        ("HOLDFAST_TELEMETRY__OTLP_ENDPOINT", "http://collector:4317"),
        ("HOLDFAST_WEIGHTS__NEAR", "7"),
        ("UNRELATED", "x"),
    ])
    .unwrap();
    assert_eq!(config.pod_id, "007");
    assert_eq!(config.redis.password.reveal(), "1234567890123456789012345");
    assert_eq!(config.redis.nodes, ["a:1", "b:2"]);
    assert_eq!(
        (config.redis.slots, config.redis.ratio, config.redis.strict),
        (16, 1.0, false)
    );
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.admin.listen.port(), 9100);
    assert_eq!(
        config.telemetry.otlp_endpoint.as_deref(),
        Some("http://collector:4317")
    );
    assert_eq!(config.weights["near"], 7);
}
