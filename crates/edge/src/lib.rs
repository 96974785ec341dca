//! The edge: holds the OCPP-J connections of the chargers.
//!
//! A charger's connection is a task; what a command may do is decided by `domain::edge`, one machine a shard; the
//! link to a router carries registrations, intents and answers; the consumer brings commands; the upstream takes
//! what chargers say to Kafka. The edge never touches Redis and never decides a retry.

pub mod app;
pub mod canary;
pub mod clock;
pub mod complaints;
pub mod config;
pub mod connection;
pub mod consumer;
pub mod error;
pub mod failpoint;
pub mod handshake;
pub mod hub;
pub mod link;
pub mod listener;
pub mod metrics;
pub mod shard;
#[cfg(test)]
mod testing;
pub mod timers;
mod trace;
pub mod upstream;

pub use app::App;
pub use config::EdgeConfig;
pub use error::EdgeError;
