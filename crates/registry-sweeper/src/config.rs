//! The sweeper's configuration.

use std::path::PathBuf;

use chassis::Problems;
use chassis::config::{ChassisConfig, LogConfig, ServiceConfig};
use serde::{Deserialize, Serialize};
use store::StoreConfig;

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SweeperConfig {
    /// Where Redis is; the same as the routers'.
    pub redis: StoreConfig,
    /// What is looked at, and how closely.
    pub audit: AuditConfig,
    /// How it logs.
    pub log: LogConfig,
    /// Where it says what it did.
    pub telemetry: HistoryConfig,
}

/// Where a pass is written down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryConfig {
    /// Where every repair is appended as a JSON line, for a checker; unset means nowhere. The file's stem names the
    /// process.
    pub history_file: Option<PathBuf>,
}

/// How a pass is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditConfig {
    /// A timer that should have been handled so long ago is reported: no router handles timers.
    pub overdue_ms: u64,
    /// A pod whose lease lapsed so long ago is dead: its registrations are ended.
    pub dead_pod_ms: u64,
    /// The record of a dead pod is forgotten after so long.
    pub forget_pod_ms: u64,
    /// How long an ended command is kept that was found without its time to live; the routers' retention.
    pub retention_ms: u64,
    /// Chargers, connections and timers read in one call.
    pub page: usize,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            overdue_ms: 30_000,
            dead_pod_ms: 60_000,
            forget_pod_ms: 86_400_000,
            retention_ms: 3_600_000,
            page: 100,
        }
    }
}

impl ServiceConfig for SweeperConfig {
    fn validate(&self, problems: &mut Problems) {
        for (key, problem) in self.redis.problems() {
            problems.add(format!("redis.{key}"), problem);
        }
        problems.range("audit.page", self.audit.page, 1..=1_000);
        problems.range("audit.dead_pod_ms", self.audit.dead_pod_ms, 10_000..=u64::MAX);
    }

    fn chassis(&self) -> ChassisConfig {
        ChassisConfig {
            log: self.log.clone(),
            ..ChassisConfig::default()
        }
    }
}
