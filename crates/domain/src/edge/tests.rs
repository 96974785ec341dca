//! The edge machine: the rules one by one. Random interleavings are in `properties`.

mod bench;
mod connections;
mod grants;
mod properties;
mod recovery;
mod writes;

use bench::{Bench, MS, SECOND, answer, charger, command};
