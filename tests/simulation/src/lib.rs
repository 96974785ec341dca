//! A seeded, replayable simulation of the delivery protocol over the pure functions.
//!
//! The store is `domain::slot`, the edges are `domain::edge`, dispatches are `domain::dispatch`; around them a
//! thin router, Kafka, Redis, the links, chargers and clients, all of whose faults are drawn from one seed. A
//! judge of its own keeps books and names the invariant that was broken. Left out: sockets, threads, encodings,
//! and everything that the chaos runs show on real processes.

pub mod campaign;
mod dice;
mod judge;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod plan;
pub mod report;
mod run;
mod schedule;
pub mod shrink;
mod stats;
mod trace;
mod world;

pub use judge::Violation;
pub use run::{Outcome, run};
pub use stats::Stats;
pub use trace::Lines;
