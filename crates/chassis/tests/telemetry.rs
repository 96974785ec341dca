//! Telemetry as a process sets it up. A file, and so a process, of its own: subscriber and panic hook are global.
//!
//! The collector is a socket that only listens: what matters here is that spans leave for the configured
//! endpoint, and that a collector which never answers holds nothing up.

use chassis::{LogConfig, TelemetryConfig, metrics, telemetry};
use tokio::{io::AsyncReadExt, net::TcpListener};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_leave_for_the_endpoint_and_a_silent_collector_is_only_counted() {
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{}", collector.local_addr().unwrap())),
        sample_ratio: 1.0,
        export_timeout_ms: 200,
        history_file: None,
    };
    let metrics = metrics::install().unwrap();
    let first = telemetry::init("tested", &LogConfig::default(), &config).unwrap();
    let second = telemetry::init("tested", &LogConfig::default(), &config).unwrap();
    tracing::info_span!("exported").in_scope(|| {});

    let silent = tokio::spawn(async move {
        let (mut stream, _) = collector.accept().await.unwrap();
        let mut preface = [0; 14];
        stream.read_exact(&mut preface).await.unwrap();
        (preface, stream)
    });
    second.shutdown().await;
    first.shutdown().await;
    let (preface, _open) = silent.await.unwrap();
    assert_eq!(
        &preface, b"PRI * HTTP/2.0",
        "the exporter speaks gRPC to the endpoint"
    );
    let scrape = metrics.render();
    let complaints = scrape
        .lines()
        .find_map(|line| line.strip_prefix("gateway_telemetry_complaints_total "));
    assert!(complaints.is_some_and(|count| count != "0"), "{scrape}");
}
