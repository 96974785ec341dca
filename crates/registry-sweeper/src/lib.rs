//! Audits the registry and the timers in Redis once, and repairs what is derived wrongly.
//!
//! Every repair is one script that compares before it sets, so any number of sweepers and routers may run at
//! once. Leaves out every transition of a command: a sweeper never ends, retries or claims one.

mod account;
pub mod config;
pub mod report;
pub mod sweep;

pub use config::SweeperConfig;
pub use report::{Outcome, Report};
pub use sweep::sweep;
