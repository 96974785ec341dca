//! Automation of the repository, called as `cargo xtask`: starting the stack and its parts, tests, checks.
//!
//! A library besides its binary, so that its own tests can drive the supervisor. Left out: anything the
//! product needs at run time.

pub mod bench;
pub mod chaos;
pub mod ci;
pub mod demo;
pub mod guard;
pub mod interrupt;
pub mod net;
pub mod parts;
pub mod progress;
mod resp;
pub mod sim;
pub mod stack;
pub mod supervise;
pub mod test;
pub mod tidy;
pub mod workspace;
