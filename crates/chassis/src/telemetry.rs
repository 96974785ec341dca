//! Logs to stderr, spans to an OTLP endpoint if one is set.
//!
//! The context of traces across gRPC and Kafka is in `telemetry/propagation.rs`. The exporter's own complaints
//! are counted and not logged: an unreachable collector would otherwise fill the log with ERROR lines, and
//! ERROR means that a human must look. Leaves out log files and their rotation; a supervisor keeps stderr.

pub mod propagation;

use std::{
    io::{self, IsTerminal},
    panic,
    time::Duration,
};

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, LogFormat, TelemetryConfig},
    metrics::names,
};

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The levels cannot be parsed; `validate` has refused them before.
    #[error("log.level is not a level or a list of directives")]
    Level(#[source] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be built.
    #[error("cannot build the exporter of spans to {endpoint}")]
    Exporter {
        /// The configured endpoint.
        endpoint: String,
        /// The cause.
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// Holds the exporter, which is flushed by [`TelemetryGuard::shutdown`].
#[derive(Debug, Default)]
pub struct TelemetryGuard {
    provider: Option<(SdkTracerProvider, Duration)>,
}

/// Sets up logs and spans for the process, within a tokio runtime. In a process that has them already, such as
/// one with several services in a test, the first call holds and later ones change nothing.
pub fn init(
    service: &'static str,
    log: &LogConfig,
    telemetry: &TelemetryConfig,
) -> Result<TelemetryGuard, TelemetryError> {
    let levels: Targets = log.level.parse().map_err(TelemetryError::Level)?;
    let provider = telemetry
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| provider(service, endpoint, telemetry));
    let provider = provider.transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let tracer = provider.tracer(service);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(span_levels(&levels))
    });
    let logs = log_layer(log.format).with_filter(log_levels(&log.level, levels));
    let installed = tracing_subscriber::registry()
        .with(logs)
        .with(spans)
        .with(CountComplaints)
        .try_init();
    if installed.is_err() {
        return Ok(TelemetryGuard::default());
    }
    global::set_text_map_propagator(TraceContextPropagator::new());
    log_panics();
    let timeout = Duration::from_millis(telemetry.export_timeout_ms);
    Ok(TelemetryGuard {
        provider: provider.map(|provider| (provider, timeout)),
    })
}

impl TelemetryGuard {
    /// Exports what is left, within the export's timeout. Spans that the collector does not take are lost.
    pub async fn shutdown(self) {
        let Some((provider, timeout)) = self.provider else {
            return;
        };
        // It blocks its thread. Its outcome was counted by `CountComplaints`, and there is nobody to tell.
        let _ = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(timeout)).await;
    }
}

/// The layer that writes lines to stderr.
fn log_layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    if text {
        fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .boxed()
    } else {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(io::stderr)
            .boxed()
    }
}

/// What is logged: the configured levels, without the exporter unless they name it.
fn log_levels(configured: &str, levels: Targets) -> Targets {
    match configured.contains("opentelemetry") {
        true => levels,
        false => levels.with_target("opentelemetry", LevelFilter::OFF),
    }
}

/// What becomes a span: as logged, without the libraries the exporter itself sends with, which would make
/// spans about the sending of spans.
fn span_levels(levels: &Targets) -> Targets {
    let libraries = ["h2", "hyper", "hyper_util", "opentelemetry", "tonic", "tower"];
    levels
        .clone()
        .with_targets(libraries.map(|library| (library, LevelFilter::OFF)))
}

/// The provider that samples, batches and exports spans.
fn provider(
    service: &'static str,
    endpoint: &str,
    config: &TelemetryConfig,
) -> Result<SdkTracerProvider, TelemetryError> {
    let timeout = Duration::from_millis(config.export_timeout_ms);
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(timeout)
        .build()
        .map_err(|source| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
    let resource = Resource::builder().with_service_name(service).build();
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter);
    Ok(builder.with_sampler(sampler).with_resource(resource).build())
}

/// Makes panics log lines, so that they arrive where the other lines do and in the same format.
fn log_panics() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("without a message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        tracing::error!(location, thread, "panic: {message}");
    }));
}

/// Counts the warnings and errors of the exporter.
struct CountComplaints;

impl<S: Subscriber> Layer<S> for CountComplaints {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() <= Level::WARN && metadata.target().starts_with("opentelemetry") {
            metrics::counter!(names::TELEMETRY_COMPLAINTS).increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_the_exporter_are_not_logged_unless_asked_for() {
        let levels = |text: &str| log_levels(text, text.parse().unwrap());
        for target in ["opentelemetry", "opentelemetry_sdk", "opentelemetry-otlp"] {
            assert!(!levels("info").would_enable(target, &Level::ERROR), "{target}");
        }
        assert!(levels("info").would_enable("router::api", &Level::INFO));
        assert!(levels("info,opentelemetry=error").would_enable("opentelemetry_sdk", &Level::ERROR));
    }

    #[test]
    fn the_sending_of_spans_makes_no_spans() {
        let levels = span_levels(&"trace".parse().unwrap());
        assert!(!levels.would_enable("h2::client", &Level::TRACE));
        assert!(levels.would_enable("edge::session", &Level::TRACE));
    }
}
