//! The checker under test: for each invariant a history that puts it to the test and passes, and mutations of it that
//! must be flagged with that invariant and no other; unreadable input; and that the order of files means nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acceptance;
mod answers;
mod connections;
mod input;
mod order;
mod recovery;
mod story;
mod topics;
mod writing;
