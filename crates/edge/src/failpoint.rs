//! The places at which a crash test ends or stops an edge; see `chassis::failpoint`.

pub use chassis::failpoint::hit;

/// After a command's record was consumed, before its shard gets it.
pub const AFTER_CONSUME: &str = "edge.after_consume";
/// After the last look, before a CALL is written.
pub const BEFORE_WRITE: &str = "edge.before_write";
/// After a CALL was written, before anybody is told.
pub const AFTER_WRITE: &str = "edge.after_write";
/// After a charger's answer came in, before anybody is told.
pub const BEFORE_ACK: &str = "edge.before_ack";
/// After a charger connected, before its registration is sent.
pub const BEFORE_REGISTER: &str = "edge.before_register";
