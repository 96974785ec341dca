//! The checker under test: for each invariant a history that puts it to the test and passes, and mutations of it that
//! must be flagged with that invariant and no other; unreadable input; and that the order of files means nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod acceptance;
mod answers;
mod connections;
mod input;
mod order;
mod poison;
mod reached;
mod recovery;
mod refusals;
mod stored;
mod story;
mod sweeping;
mod topics;
mod writing;
