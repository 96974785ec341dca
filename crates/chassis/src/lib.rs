//! What every service has: config, telemetry, metrics, the admin port, health, shutdown, retries and clocks.
//!
//! A service implements [`Service`] and its `main.rs` calls [`run_service`]; the order in which a process
//! comes up and goes down is written once, in `runner.rs`. Leaves out all that is about chargers, Redis or
//! Kafka: this crate depends on no other crate of the workspace.

pub mod admin;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod failpoint;
pub mod health;
pub mod history;
pub mod metrics;
pub mod problems;
pub mod runner;
pub mod shutdown;
pub mod supervise;
pub mod tasks;
pub mod telemetry;

pub use backoff::{Backoff, retry_until};
pub use clock::{ManualClock, MonoClock};
pub use config::{
    AdminConfig, ChassisConfig, CommonArgs, ConfigErrors, LogConfig, LogFormat, Secret, ServiceConfig,
    ShutdownConfig, TelemetryConfig,
};
pub use health::{Condition, Readiness};
pub use problems::Problems;
pub use runner::{Addresses, Context, Service, run_service, run_service_with};
pub use supervise::{Period, every};
pub use tasks::Tasks;
