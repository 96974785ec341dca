//! The consumer's callbacks, and the closed set of kinds that its errors are counted by.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Routes logs; errors come out of `recv` as well, so here they are only traced.
pub(super) struct LaneContext;

impl ClientContext for LaneContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        crate::native::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "consumer event");
    }
}

impl ConsumerContext for LaneContext {}

/// The label value of an error.
pub(super) fn error_kind(error: &KafkaError) -> &'static str {
    use RDKafkaErrorCode as Code;
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return "fatal";
    }
    match error.rdkafka_error_code() {
        Some(Code::BrokerTransportFailure | Code::Resolve | Code::BrokerDestroy | Code::NetworkException) => {
            "transport"
        }
        Some(Code::AllBrokersDown) => "all_brokers_down",
        Some(Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue) => "timed_out",
        Some(Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition) => "unknown_topic",
        Some(Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset) => "offset",
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SSL,
        ) => "security",
        Some(Code::Fatal) => "fatal",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::CONSUMER_ERROR_KINDS;

    #[test]
    fn every_kind_belongs_to_the_closed_set() {
        for code in [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::UnknownPartition,
            RDKafkaErrorCode::OffsetOutOfRange,
            RDKafkaErrorCode::GroupAuthorizationFailed,
            RDKafkaErrorCode::Fatal,
            RDKafkaErrorCode::InvalidMessage,
        ] {
            let kind = error_kind(&KafkaError::MessageConsumption(code));
            assert!(CONSUMER_ERROR_KINDS.contains(&kind), "{kind}");
        }
        let fatal = KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::BrokerTransportFailure);
        assert_eq!(error_kind(&fatal), "fatal");
    }
}
