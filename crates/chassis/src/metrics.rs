//! The Prometheus recorder, the metrics every service has, and the text of a scrape.
//!
//! Metrics of the process itself are read from `/proc` at each scrape (`metrics/process.rs`). Leaves out the
//! listener (`admin.rs`) and the metrics of single services, which describe their own.

pub mod process;

use std::sync::{Mutex, OnceLock, PoisonError};

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The names of the metrics every service has.
pub mod names {
    /// Failed calls of supervised loops, by `loop`.
    pub const LOOP_FAILURES: &str = "gateway_loop_failures_total";
    /// Durations of the calls of supervised loops, by `loop`.
    pub const LOOP_DURATION: &str = "gateway_loop_duration_seconds";
    /// Spans that could not be exported, counted by the exporter's own complaints.
    pub const TELEMETRY_COMPLAINTS: &str = "gateway_telemetry_complaints_total";
    /// Always 1, with `service`, `version` and `commit`.
    pub const BUILD_INFO: &str = "gateway_build_info";
    /// 1 while the service is ready.
    pub const READY: &str = "gateway_ready";
}

/// Bounds of all histograms, in seconds: from a loopback round trip to a command's deadline.
pub const SECONDS: [f64; 22] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
];

/// Why there is no recorder.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder: {0}")]
pub struct MetricsError(#[from] metrics_exporter_prometheus::BuildError);

/// The process's metrics. Clones are handles of the same recorder.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// Installs the process's recorder, at the first call; later calls return the same one, so that several
/// services run in one process in tests.
pub fn install() -> Result<Metrics, MetricsError> {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = INSTALLED.get() {
        return Ok(metrics.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&SECONDS)?
        .install_recorder()?;
    describe();
    Ok(INSTALLED.get_or_init(|| Metrics { handle }).clone())
}

impl Metrics {
    /// The text of a scrape.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        process::render(&mut text);
        text
    }

    /// Moves recorded samples into their histograms. Without scrapes they would pile up, so a loop calls it.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Says which build of which service this is.
    pub fn build_info(&self, service: &'static str, version: &'static str) {
        let commit = option_env!("HOLDFAST_COMMIT").unwrap_or("unknown");
        gauge!(names::BUILD_INFO, "service" => service, "version" => version, "commit" => commit).set(1.0);
    }
}

/// Describes the metrics every service has.
fn describe() {
    describe_counter!(names::LOOP_FAILURES, "Failed calls of supervised loops");
    describe_histogram!(
        names::LOOP_DURATION,
        Unit::Seconds,
        "Durations of the calls of supervised loops"
    );
    describe_counter!(
        names::TELEMETRY_COMPLAINTS,
        "Warnings and errors of the exporter of spans"
    );
    describe_gauge!(names::BUILD_INFO, "The build: always 1");
    describe_gauge!(names::READY, "1 while the service is ready");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_buckets_in_seconds_the_build_and_the_process() {
        let metrics = install().unwrap();
        metrics.build_info("tested", "1.2.3");
        metrics::histogram!(names::LOOP_DURATION, "loop" => "scraped").record(0.003);
        let text = metrics.render();
        assert!(
            text.contains("gateway_build_info{service=\"tested\",version=\"1.2.3\""),
            "{text}"
        );
        assert!(
            text.contains("gateway_loop_duration_seconds_bucket{loop=\"scraped\",le=\"0.005\"} 1"),
            "{text}"
        );
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }

    #[test]
    fn several_services_in_a_process_share_one_recorder() {
        let (one, other) = (install().unwrap(), install().unwrap());
        metrics::counter!("gateway_shared_total").increment(1);
        assert!(one.render().contains("gateway_shared_total 1"));
        assert!(other.render().contains("gateway_shared_total 1"));
    }
}
