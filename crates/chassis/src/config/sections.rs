//! The sections every service has: `log`, `telemetry`, `admin`, `shutdown`.
//!
//! A service's config embeds them under these very names. Leaves out the sections of single services.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::problems::Problems;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text if stderr is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log`: what is logged and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// A level, or directives such as `info,router=debug`.
    pub level: String,
    /// The shape of a line.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Auto,
        }
    }
}

/// `telemetry`: where spans and the history go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// The OTLP gRPC endpoint, such as `http://localhost:4317`; unset means no spans are exported.
    pub otlp_endpoint: Option<String>,
    /// The part of new traces that is kept, 0 to 1. A caller's own decision is followed.
    pub sample_ratio: f64,
    /// How long an export, and the flush at the end, may take.
    pub export_timeout_ms: u64,
    /// Where the process appends what it does as JSON lines, for a checker; unset means nowhere. For tests of faults:
    /// every line is a system call. The file's stem names the process.
    pub history_file: Option<PathBuf>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            sample_ratio: 0.1,
            export_timeout_ms: 3_000,
            history_file: None,
        }
    }
}

/// `admin`: the port with `/metrics`, `/livez` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections served at a time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a client may take to send its request's head.
    pub header_timeout_ms: u64,
    /// How long a whole connection may last.
    pub connection_timeout_ms: u64,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_connections: 32,
            header_timeout_ms: 2_000,
            connection_timeout_ms: 10_000,
        }
    }
}

/// `shutdown`: how a service ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownConfig {
    /// How long the drain may take before what is left is cut off. Below Kubernetes' grace period of 30 s.
    pub drain_ms: u64,
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { drain_ms: 25_000 }
    }
}

impl ShutdownConfig {
    /// `drain_ms` as a duration.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

/// The four sections together, as a service hands them to the runner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChassisConfig {
    /// `log`.
    pub log: LogConfig,
    /// `telemetry`.
    pub telemetry: TelemetryConfig,
    /// `admin`.
    pub admin: AdminConfig,
    /// `shutdown`.
    pub shutdown: ShutdownConfig,
}

impl ChassisConfig {
    /// Checks the four sections; the loader calls it, services need not.
    pub fn validate(&self, problems: &mut Problems) {
        if let Err(error) = self.log.level.parse::<tracing_subscriber::filter::Targets>() {
            problems.add(
                "log.level",
                format!("is not a level or a list of directives: {error}"),
            );
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint {
            problems.is_url("telemetry.otlp_endpoint", endpoint, &["http", "https"]);
        }
        problems.range("telemetry.sample_ratio", self.telemetry.sample_ratio, 0.0..=1.0);
        problems.range(
            "telemetry.export_timeout_ms",
            self.telemetry.export_timeout_ms,
            1..=60_000,
        );
        problems.range("admin.max_connections", self.admin.max_connections, 1..=10_000);
        problems.range(
            "admin.header_timeout_ms",
            self.admin.header_timeout_ms,
            1..=60_000,
        );
        problems.range(
            "admin.connection_timeout_ms",
            self.admin.connection_timeout_ms,
            1..=600_000,
        );
        problems.range("shutdown.drain_ms", self.shutdown.drain_ms, 0..=3_600_000);
    }
}
