//! Names and label values of what the edge measures, and the handles of what is counted for every message.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
};

/// Open charger connections.
pub const ACTIVE_CONNECTIONS: &str = "gateway_active_connections";
/// Upgrades that became connections.
pub const CONNECTIONS: &str = "gateway_connections_total";
/// Connections that failed or were refused or closed for a fault, by [`REASON`].
pub const CONNECTION_ERRORS: &str = "gateway_connection_errors_total";
/// From a charger's message to its answer, durable events included.
pub const MESSAGE_DURATION: &str = "gateway_message_process_duration_seconds";
/// Messages from chargers.
pub const MESSAGES_IN: &str = "gateway_edge_messages_received_total";
/// Messages that are no OCPP-J.
pub const MESSAGES_BAD: &str = "gateway_edge_messages_malformed_total";
/// CALLs written to chargers.
pub const CALLS_OUT: &str = "gateway_edge_calls_written_total";
/// CALLs that were not answered in time.
pub const CALLS_TIMED_OUT: &str = "gateway_edge_calls_timed_out_total";
/// CALLs that were given back at the last look before their write.
pub const CALLS_GIVEN_BACK: &str = "gateway_edge_calls_given_back_total";
/// Events that were lost or not accepted on their way to Kafka, by [`REASON`].
pub const UPSTREAM_FAILURES: &str = "gateway_edge_upstream_failures_total";
/// Events without a delivery report.
pub const UPSTREAM_IN_FLIGHT: &str = "gateway_edge_upstream_in_flight";
/// Records that cannot be read.
pub const POISON_RECORDS: &str = "gateway_edge_poison_records_total";
/// Records for another pod or without meaning here.
pub const FOREIGN_RECORDS: &str = "gateway_edge_foreign_records_total";
/// The age of the most stale lane's last canary.
pub const CANARY_AGE: &str = "gateway_edge_canary_age_seconds";
/// Links to routers that were opened.
pub const LINKS: &str = "gateway_edge_links_total";
/// Links that ended, by [`REASON`].
pub const LINK_ENDS: &str = "gateway_edge_link_ends_total";
/// Items waiting for the router.
pub const LINK_QUEUE: &str = "gateway_edge_link_queue_items";
/// 1 while the lease is held.
pub const LEASE_HELD: &str = "gateway_edge_lease_held";
/// Lives taken.
pub const INCARNATIONS: &str = "gateway_edge_incarnations_total";
/// Commands remembered.
pub const REMEMBERED: &str = "gateway_edge_remembered_commands";

/// The label that says why.
pub const REASON: &str = "reason";

/// Values of [`REASON`] for [`CONNECTION_ERRORS`].
pub mod reasons {
    /// The handshake took too long.
    pub const HANDSHAKE_TIMEOUT: &str = "handshake_timeout";
    /// The request was no valid upgrade.
    pub const BAD_REQUEST: &str = "bad_request";
    /// The request's head was too large.
    pub const HEAD_TOO_LARGE: &str = "head_too_large";
    /// The URL names no acceptable identity.
    pub const BAD_IDENTITY: &str = "bad_identity";
    /// No OCPP version in common.
    pub const NO_SUBPROTOCOL: &str = "no_subprotocol";
    /// The edge was not ready.
    pub const NOT_READY: &str = "not_ready";
    /// The connection cap was reached.
    pub const TOO_MANY: &str = "too_many_connections";
    /// A message was too large.
    pub const TOO_LARGE: &str = "message_too_large";
    /// A binary message.
    pub const BINARY: &str = "binary_message";
    /// The WebSocket protocol was violated.
    pub const PROTOCOL: &str = "websocket_protocol";
    /// The socket broke.
    pub const IO: &str = "io";
    /// Nothing came for too long.
    pub const IDLE: &str = "idle";
    /// The charger did not take a message in time.
    pub const SLOW: &str = "slow_consumer";
    /// A message that is no OCPP-J. The connection goes on, so this is in lines only; [`super::MESSAGES_BAD`] counts.
    pub const MALFORMED: &str = "malformed_message";
    /// Another connection of the same identity: the older one is closed, so this is in lines only.
    pub const DUPLICATE: &str = "duplicate_identity";
    /// All that a connection fails or is refused for.
    pub const ALL: [&str; 13] = [
        HANDSHAKE_TIMEOUT,
        BAD_REQUEST,
        HEAD_TOO_LARGE,
        BAD_IDENTITY,
        NO_SUBPROTOCOL,
        NOT_READY,
        TOO_MANY,
        TOO_LARGE,
        BINARY,
        PROTOCOL,
        IO,
        IDLE,
        SLOW,
    ];
}

/// Handles of what is counted often, taken once.
#[derive(Clone)]
pub struct Meters {
    /// [`ACTIVE_CONNECTIONS`].
    pub active: Gauge,
    /// [`CONNECTIONS`].
    pub connections: Counter,
    /// [`MESSAGE_DURATION`].
    pub duration: Histogram,
    /// [`MESSAGES_IN`].
    pub messages_in: Counter,
    /// [`MESSAGES_BAD`].
    pub messages_bad: Counter,
    /// [`CALLS_OUT`].
    pub calls_out: Counter,
    /// [`CALLS_TIMED_OUT`].
    pub calls_timed_out: Counter,
    /// [`CALLS_GIVEN_BACK`].
    pub calls_given_back: Counter,
}

impl Meters {
    /// Takes the handles; the recorder must be installed before.
    #[must_use]
    pub fn new() -> Self {
        Self {
            active: metrics::gauge!(ACTIVE_CONNECTIONS),
            connections: counter!(CONNECTIONS),
            duration: metrics::histogram!(MESSAGE_DURATION),
            messages_in: counter!(MESSAGES_IN),
            messages_bad: counter!(MESSAGES_BAD),
            calls_out: counter!(CALLS_OUT),
            calls_timed_out: counter!(CALLS_TIMED_OUT),
            calls_given_back: counter!(CALLS_GIVEN_BACK),
        }
    }
}

impl Default for Meters {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts a connection that failed; `reason` is one of [`reasons`].
pub fn connection_error(reason: &'static str) {
    counter!(CONNECTION_ERRORS, REASON => reason).increment(1);
}

/// Describes every metric of this crate, and shows each connection error at 0 from the start.
pub fn describe() {
    describe_gauge!(ACTIVE_CONNECTIONS, "Open charger connections");
    describe_counter!(CONNECTIONS, "Charger connections opened");
    describe_counter!(
        CONNECTION_ERRORS,
        "Charger connections refused or failed, by reason"
    );
    describe_histogram!(
        MESSAGE_DURATION,
        Unit::Seconds,
        "From a charger's message to its answer"
    );
    describe_counter!(MESSAGES_IN, "Messages from chargers");
    describe_counter!(MESSAGES_BAD, "Messages from chargers that are no OCPP-J");
    describe_counter!(CALLS_OUT, "CALLs written to chargers");
    describe_counter!(CALLS_TIMED_OUT, "CALLs that chargers did not answer in time");
    describe_counter!(
        CALLS_GIVEN_BACK,
        "CALLs given back at the last look before their write"
    );
    describe_counter!(UPSTREAM_FAILURES, "Events that did not reach Kafka, by reason");
    describe_gauge!(UPSTREAM_IN_FLIGHT, "Events without a delivery report");
    describe_counter!(POISON_RECORDS, "Records that cannot be read");
    describe_counter!(FOREIGN_RECORDS, "Records for other pods");
    describe_gauge!(
        CANARY_AGE,
        Unit::Seconds,
        "Age of the last canary of the most stale lane"
    );
    describe_counter!(LINKS, "Links to routers opened");
    describe_counter!(LINK_ENDS, "Links to routers ended, by reason");
    describe_gauge!(LINK_QUEUE, "Items waiting for the router");
    describe_gauge!(LEASE_HELD, "1 while the lease is held");
    describe_counter!(INCARNATIONS, "Lives taken");
    describe_gauge!(REMEMBERED, "Commands remembered");
    for reason in reasons::ALL {
        counter!(CONNECTION_ERRORS, REASON => reason).increment(0);
    }
}
