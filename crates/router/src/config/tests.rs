//! The defaults, what must hold between the settings, and how they are reported.

use chassis::config::{self, Sources};

use super::*;

fn load(settings: &[&str]) -> Result<RouterConfig, config::ConfigErrors> {
    let set = settings.iter().map(ToString::to_string).collect();
    config::load_from(&Sources {
        set,
        ..Sources::default()
    })
}

#[test]
fn the_defaults_are_valid_and_equal_those_of_the_domain() {
    let config = load(&[]).unwrap();
    assert_eq!(config, RouterConfig::default());
    assert_eq!(config.delivery.settings(), DeliverySettings::default());
}

#[test]
fn every_problem_is_reported_at_once() {
    let errors = load(&[
        "delivery.attempts=0",
        "delivery.deadline_default_ms=99999999999",
        "topics.shard_partitions=3",
        "redis.slots=0",
    ])
    .unwrap_err();
    let keys: Vec<_> = errors.problems.iter().map(|p| p.key.as_str()).collect();
    let expected = [
        "delivery.attempts",
        "delivery.deadline_default_ms",
        "redis.slots",
        "topics.shard_partitions",
    ];
    assert_eq!(keys, expected, "{errors}");
}

#[test]
fn a_record_may_not_outlive_the_claim_that_it_is_for() {
    let errors = load(&["delivery.dispatch_lease_ms=4000", "kafka.message_timeout_ms=4000"]).unwrap_err();
    assert_eq!(errors.problems[0].key, "kafka.message_timeout_ms");
}

#[test]
fn lingers_are_bounded_and_a_record_may_not_wait_for_others_until_it_has_timed_out() {
    let errors = load(&[
        "kafka.message_timeout_ms=100",
        "delivery.low_priority_produce_linger_ms=100",
    ])
    .unwrap_err();
    assert_eq!(errors.problems[0].key, "kafka.message_timeout_ms");
    let errors = load(&["delivery.low_priority_linger_ms=1001"]).unwrap_err();
    assert_eq!(errors.problems[0].key, "delivery.low_priority_linger_ms");
    assert!(
        load(&[
            "delivery.low_priority_linger_ms=0",
            "delivery.low_priority_produce_linger_ms=0"
        ])
        .is_ok()
    );
}

#[test]
fn an_action_can_be_given_another_class() {
    let config = load(&["delivery.redelivery.Reset=safe"]).unwrap();
    assert_eq!(config.delivery.class("Reset"), RedeliveryClass::Safe);
    assert_eq!(config.delivery.class("ReserveNow"), RedeliveryClass::Unsafe);
}
