//! The router's metrics: names, labels and descriptions. The store's and the bus's are described by those.

use std::time::Duration;

use domain::command::{Command, Status};
use domain::dispatch::Why;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Commands accepted, by `priority`.
pub const ACCEPTED: &str = "gateway_commands_accepted_total";
/// Dispatches that Kafka confirmed, by `lane`.
pub const SENT: &str = "gateway_commands_sent_total";
/// Commands that a charger answered.
pub const ACKNOWLEDGED: &str = "gateway_commands_acknowledged_total";
/// Commands that failed, by `reason`.
pub const FAILED: &str = "gateway_commands_failed_total";
/// Commands whose deadline passed.
pub const EXPIRED: &str = "gateway_commands_expired_total";
/// Commands that a caller took back.
pub const CANCELLED: &str = "gateway_commands_cancelled_total";
/// Claims of commands that had been written before.
pub const RETRIED: &str = "gateway_commands_retried_total";
/// From acceptance to the end, by `state`.
pub const LATENCY: &str = "gateway_command_latency_seconds";
/// Dispatches given back to the queue, by `reason`.
pub const PARKED: &str = "gateway_commands_parked_total";
/// Answers to API calls, by `method` and `code`.
pub const API_CALLS: &str = "gateway_api_calls_total";
/// Edges that are linked to this router.
pub const LINKS: &str = "gateway_router_links";
/// Items that edges sent, by `outcome`.
pub const LINK_ITEMS: &str = "gateway_router_link_items_total";
/// Streams of WatchCommand.
pub const WATCHES: &str = "gateway_router_watches";
/// Canaries produced.
pub const CANARIES: &str = "gateway_router_canaries_total";
/// Events that one script call applied together.
pub const BATCH: &str = "gateway_router_slot_batch_events";
/// Outbox entries that left for Kafka, by `kind`.
pub const OUTBOX: &str = "gateway_outbox_entries_total";
/// Outbox entries that Kafka will never take; they were dropped with an error.
pub const OUTBOX_POISON: &str = "gateway_outbox_poison_total";
/// Kicks and cancels produced, or dropped because their pod lives no more, by `outcome`.
pub const NOTES: &str = "gateway_notes_total";
/// Dispatches between claim and delivery report.
pub const DISPATCH_QUEUE: &str = "gateway_router_dispatches_in_flight";

/// How full the fullest queue of a kind is, 0 to 1, by `queue`.
pub const QUEUE_FULLNESS: &str = "gateway_router_queue_fullness_ratio";
/// Drains of a slot's outbox, by `outcome`.
pub const DRAINS: &str = "gateway_outbox_drains_total";

/// 1 while Kafka is left to the other routers, or 0.
pub const BREAKER_OPEN: &str = "gateway_router_kafka_breaker_open";
/// How often the breaker toward Kafka opened.
pub const BREAKER_OPENINGS: &str = "gateway_router_kafka_breaker_openings_total";

/// Subscriptions to the store's changes: 1, or 0 while there is none.
pub const SUBSCRIPTIONS: &str = "gateway_router_change_subscriptions";
/// Published changes that did not arrive; their watchers read again.
pub const CHANGES_LOST: &str = "gateway_router_changes_lost_total";

/// Dead letters sent again as new commands.
pub const REPLAYED: &str = "gateway_dead_letters_replayed_total";
/// Dead letters removed by a caller.
pub const PURGED: &str = "gateway_dead_letters_purged_total";

/// Describes every metric to the recorder.
pub fn describe() {
    describe_counter!(ACCEPTED, "Commands accepted, by priority");
    describe_counter!(SENT, "Dispatches that Kafka confirmed, by lane");
    describe_counter!(ACKNOWLEDGED, "Commands that a charger answered");
    describe_counter!(FAILED, "Commands that failed, by reason");
    describe_counter!(EXPIRED, "Commands whose deadline passed");
    describe_counter!(CANCELLED, "Commands that a caller took back");
    describe_counter!(RETRIED, "Claims of commands that had been written before");
    describe_histogram!(LATENCY, Unit::Seconds, "From acceptance to the end, by state");
    describe_counter!(PARKED, "Dispatches given back to the queue, by reason");
    describe_counter!(API_CALLS, "Answers to API calls, by method and code");
    describe_gauge!(LINKS, "Edges linked to this router");
    describe_counter!(LINK_ITEMS, "Items that edges sent, by outcome");
    describe_gauge!(WATCHES, "Open WatchCommand streams");
    describe_counter!(CANARIES, "Canaries produced");
    describe_histogram!(BATCH, "Events that one script call applied together");
    describe_counter!(OUTBOX, "Outbox entries that left for Kafka, by kind");
    describe_counter!(OUTBOX_POISON, "Outbox entries that Kafka will never take");
    describe_counter!(NOTES, "Kicks and cancels, by outcome");
    describe_gauge!(DISPATCH_QUEUE, "Dispatches between claim and delivery report");
    describe_gauge!(
        QUEUE_FULLNESS,
        "How full the fullest queue of a kind is, 0 to 1, by queue"
    );
    describe_gauge!(BREAKER_OPEN, "1 while Kafka is left to the other routers");
    describe_counter!(BREAKER_OPENINGS, "Openings of the breaker toward Kafka");
    describe_gauge!(SUBSCRIPTIONS, "Subscriptions to the store's changes");
    describe_counter!(CHANGES_LOST, "Published changes that did not arrive");
    describe_counter!(REPLAYED, "Dead letters sent again as new commands");
    describe_counter!(PURGED, "Dead letters removed by a caller");
    describe_counter!(DRAINS, "Drains of a slot's outbox, by outcome");
}

/// Counts a command's end, when its outbox entry has left.
pub fn ended(command: &Command) {
    let state = match command.progress.status {
        Status::Acknowledged => {
            counter!(ACKNOWLEDGED).increment(1);
            "acknowledged"
        }
        Status::Failed => {
            let reason = command
                .progress
                .reason
                .map_or("NONE", domain::command::FailureReason::name);
            counter!(FAILED, "reason" => reason).increment(1);
            "failed"
        }
        Status::Expired => {
            counter!(EXPIRED).increment(1);
            "expired"
        }
        Status::Cancelled => {
            counter!(CANCELLED).increment(1);
            "cancelled"
        }
        Status::Pending | Status::Sent | Status::Delivered => return,
    };
    let took = Duration::from_micros(command.progress.ended.0.saturating_sub(command.created.0));
    histogram!(LATENCY, "state" => state).record(took.as_secs_f64());
}

/// The label of a reason for giving a dispatch back.
#[must_use]
pub fn why(why: Why) -> &'static str {
    match why {
        Why::NoLease => "no_lease",
        Why::OtherIncarnation => "other_incarnation",
        Why::Suspect => "suspect",
        Why::TooOld => "too_old",
        Why::ProduceFailed => "produce_failed",
    }
}

/// Counts itself in a gauge for as long as it lives.
#[derive(Debug)]
pub struct InGauge(&'static str);

impl InGauge {
    /// Enters the gauge.
    #[must_use]
    pub fn enter(name: &'static str) -> Self {
        gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for InGauge {
    fn drop(&mut self) {
        gauge!(self.0).decrement(1.0);
    }
}
