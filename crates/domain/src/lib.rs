//! The pure core of Holdfast: identities, commands, the delivery state machine, the model of one store
//! slot, the machines of router and edge, the shard map and every Kafka name.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time, randomness and ids come in as
//! arguments. What applies the decisions made here lives in `store` (Lua), `router` and `edge`.

pub mod action;
pub mod command;
pub mod delivery;
pub mod dispatch;
pub mod edge;
pub mod ids;
pub mod mutant;
pub mod placement;
pub mod settings;
pub mod slot;
pub mod topics;
