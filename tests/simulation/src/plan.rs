//! What a seed stands for: the size of the world, its settings, the calls of its clients, and its faults.
//! Everything that a shrinker may leave out is a list here. Leaves out the drawing (`plan/draw.rs`).

mod draw;
mod fault;

use domain::command::{Priority, RedeliveryClass};
use domain::settings::DeliverySettings;

pub use fault::{Fault, FaultPlan, Point};

/// One second in microseconds.
pub(crate) const SECOND: u64 = 1_000_000;
/// One millisecond in microseconds.
pub(crate) const MS: u64 = 1_000;

/// What the store keeps when its server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Everything: each reply waits for the disk.
    Fsync,
    /// What a replica had confirmed: the rest is gone after a failover.
    Replicated,
    /// What is older than the last flush.
    Relaxed,
}

/// A whole run before it began.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it all comes from.
    pub seed: u64,
    /// Which of the seed's many fates: what is drawn while it runs. 0 but for shrunk plans.
    pub fate: u64,
    /// Routers.
    pub routers: usize,
    /// Edges.
    pub edges: usize,
    /// Chargers.
    pub chargers: usize,
    /// Slots of the store.
    pub slots: u16,
    /// What the store keeps.
    pub durability: Durability,
    /// The delivery settings.
    pub settings: DeliverySettings,
    /// How long messages take at most, always.
    pub slow_us: u64,
    /// How often Kafka has a record twice, always, in a thousand.
    pub duplicate: u64,
    /// How often a request about a lease is late at the store, and how often it is there twice, in a thousand.
    pub late_leases: u64,
    /// The store heeds over which link such a request came. Always, but where a test shows that it matters.
    pub heeds_links: bool,
    /// How long an edge keeps what it says of commands of low priority, for more of its kind.
    pub linger_us: u64,
    /// How far the wall clock of each process is off, in seconds; routers first.
    pub skew_s: Vec<i64>,
    /// What clients ask for.
    pub calls: Vec<CallPlan>,
    /// What goes wrong.
    pub faults: Vec<FaultPlan>,
    /// When everything is mended.
    pub heal_at: u64,
}

/// One call of a client, with its repetitions.
#[derive(Debug, Clone, Copy)]
pub struct CallPlan {
    /// When.
    pub at: u64,
    /// For whom.
    pub charger: usize,
    /// 0 to 3.
    pub priority: Priority,
    /// Safe or unsafe.
    pub class: RedeliveryClass,
    /// The idempotency key, if it has one: calls may share it.
    pub key: Option<u32>,
    /// What the key covers besides: calls of one key and different contents conflict.
    pub content: u8,
    /// Until when, counted from acceptance.
    pub deadline_us: u64,
    /// The deadline is said as a moment.
    pub at_a_moment: bool,
    /// Most writes.
    pub max_attempts: u32,
    /// How long the charger may take.
    pub answer_timeout_us: u64,
    /// How long after the reply the client takes it back.
    pub cancel_after: Option<u64>,
}
