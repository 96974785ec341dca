//! The harness of the whole-system tests: real services, a real Redis, a real or the embedded broker, all as
//! processes of their own, and the hands that act on them: a gRPC client, a scripted charger, a record reader.
//!
//! Processes are started by xtask's supervisor alone, so nothing outlives a test, however it ends. Left out: the
//! tests themselves, one topic a file in `tests/`.
//!
//! A test panics where it fails, so these helpers do too: what a helper could only report, nobody could mend.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: a failure is a panic"
)]
#![allow(
    clippy::missing_panics_doc,
    reason = "every helper panics when what it waits for does not happen"
)]

pub mod api;
mod broker;
pub mod charger;
pub mod companion;
mod cuts;
pub mod faults;
pub mod foreign;
pub mod handshake;
pub mod probe;
pub mod records;
pub mod redis_kinds;
pub mod spec;
pub mod system;
pub mod tools;
pub mod wait;
pub mod world;

pub use api::{Api, command};
pub use charger::{Call, Charger, Reply};
pub use companion::Companion;
pub use records::Records;
pub use spec::{BrokerNeed, SystemSpec};
pub use system::System;
pub use wait::{DEADLINE, eventually};
pub use world::World;
