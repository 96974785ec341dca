//! What all librdkafka clients here share: where their logs go, and the way to a blocking call.

use rdkafka::config::RDKafkaLogLevel;

use crate::error::BusError;

/// librdkafka's log lines as tracing events. Its errors are mostly lost connections, which heal or show in the
/// callers' own readiness; so none is louder than a warning.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Runs a blocking librdkafka call, which carries its own timeout, off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    call: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or(Err(BusError::Worker { operation }))
}
