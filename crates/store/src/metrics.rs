//! The store's metrics: names, labels and descriptions.

use std::time::Duration;

/// Histogram, seconds, label `script`: one script from sending to reply, barrier included.
pub const SCRIPT_DURATION: &str = "gateway_redis_script_duration_seconds";
/// Counter, labels `script` and `kind`: operations that failed.
pub const ERRORS: &str = "gateway_redis_errors_total";
/// Counter, label `script`: loads after Redis did not know a script.
pub const SCRIPT_LOADS: &str = "gateway_redis_script_loads_total";
/// Counter: changes of the store's epoch that this process saw.
pub const EPOCH_CHANGES: &str = "gateway_redis_epoch_changes_total";
/// Gauge, label `durability`: 1 for the setting in force.
pub const DURABILITY: &str = "gateway_redis_durability";

/// Describes every metric to the recorder.
pub fn describe() {
    metrics::describe_histogram!(
        SCRIPT_DURATION,
        metrics::Unit::Seconds,
        "Redis script, sending to reply"
    );
    metrics::describe_counter!(ERRORS, "Failed store operations by script and kind");
    metrics::describe_counter!(SCRIPT_LOADS, "Scripts loaded because Redis did not know them");
    metrics::describe_counter!(EPOCH_CHANGES, "Changes of the store's epoch");
    metrics::describe_gauge!(DURABILITY, "1 for the durability setting in force");
}

pub(crate) fn script_took(script: &'static str, took: Duration) {
    metrics::histogram!(SCRIPT_DURATION, "script" => script).record(took.as_secs_f64());
}

pub(crate) fn failed(script: &'static str, kind: &'static str) {
    metrics::counter!(ERRORS, "script" => script, "kind" => kind).increment(1);
}

pub(crate) fn loaded(script: &'static str) {
    metrics::counter!(SCRIPT_LOADS, "script" => script).increment(1);
}

pub(crate) fn epoch_changed() {
    metrics::counter!(EPOCH_CHANGES).increment(1);
}

pub(crate) fn durability(name: &'static str) {
    metrics::gauge!(DURABILITY, "durability" => name).set(1.0);
}
