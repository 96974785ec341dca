//! The foreign parts of a stack: Redis alone, under Sentinels or as a cluster, Apache Kafka or the embedded broker; found, fetched, started.
//!
//! Left out: our own services (`crate::stack`) and what is done with the parts.

pub mod broker;
pub mod cluster;
pub mod kafka;
pub mod kafka_fetch;
pub mod redis;
pub mod redis_install;
pub mod sentinel;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where fetched parts are kept between runs: `holdfast/` in the user's cache folder.
pub fn cache_folder() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
            PathBuf::from(home).join(".cache")
        }
    };
    let folder = base.join("holdfast");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
