//! Every interleaving of the small case, over the same pure functions that production runs: `domain::slot` as the
//! store, `domain::edge` twice, `domain::dispatch` and what a router adds to it, one charger, one or two commands.
//!
//! What is bounded: faults (each kind at most once, and so many together), when they begin, attempts, and the clock,
//! which moves in whole ticks. Messages are not: within a tick everything that is under way or due happens, in every
//! order, and a message stays under way for longer only where a fault delays it. Equal states are found by a hash of
//! 64 bits. Left out: Kafka's canaries, placement, renewals of a registration that lapses, the failure of single calls
//! to the store, and a process that stops between its last look and the write (a declared bound of the protocol).

mod action;
mod cases;
mod describe;
mod judge;
mod model;
mod part;
mod report;
mod scale;
mod state;
mod world;

pub use action::Action;
pub use cases::{Case, CommandSpec, Fault, presets, tiny};
pub use judge::Invariant;
pub use report::{Limits, Outcome, Report, explore};
pub use state::{COMMANDS_MAX, State};

#[cfg(test)]
mod tests;
