//! The places at which a crash test ends or stops a router; see `chassis::failpoint`.

pub use chassis::failpoint::hit;

/// After a claim came back from the store, before anything is done about it.
pub const AFTER_CLAIM: &str = "router.after_claim";
/// After a record was handed to the producer.
pub const AFTER_PRODUCE: &str = "router.after_produce";
/// After the broker's report on a record came in, before anybody acts on it.
pub const BEFORE_DELIVERY_REPORT: &str = "router.before_delivery_report";
