//! A trace that comes with a record, and one that begins with what a charger says.

use std::sync::{Arc, Mutex};

use bus::{Headers, Record};
use domain::command::RedeliveryClass;
use ocpp::Version::V16;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::span::{Attributes, Id};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::HEARTBEAT;
use crate::config::EdgeConfig;
use crate::testing::Bench;
use crate::trace;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// A span's name and that of its parent.
type Named = (&'static str, Option<&'static str>);

/// The spans of this thread.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Named>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        self.0
            .lock()
            .unwrap()
            .push((span.name(), span.parent().map(|parent| parent.name())));
    }
}

/// Records spans, which are exported nowhere.
fn traced() -> (Spans, DefaultGuard) {
    let spans = Spans::default();
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let subscriber = tracing_subscriber::registry().with(layer).with(spans.clone());
    (spans, tracing::subscriber::set_default(subscriber))
}

fn record(headers: Headers) -> Record {
    Record {
        topic: Arc::from("commands-down-shard-1"),
        partition: 3,
        offset: 7,
        key: None,
        payload: bytes::Bytes::new(),
        headers,
        timestamp_ms: None,
    }
}

fn with_context() -> Record {
    record(Headers::new().with("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01")))
}

/// The trace that headers carry on.
fn trace_of(headers: &Headers) -> Option<String> {
    Some(headers.get_str("traceparent")?.split('-').nth(1)?.to_owned())
}

#[test]
fn a_record_goes_on_in_the_trace_of_the_router_that_sent_it_and_one_without_context_makes_no_span() {
    let (spans, _guard) = traced();
    let span = trace::taken(&with_context());
    assert_eq!(
        span.in_scope(|| trace_of(&trace::headers())).as_deref(),
        Some(TRACE_ID)
    );
    let noted = spans.0.lock().unwrap().len();
    let span = trace::taken(&record(Headers::new().with("other", "x")));
    assert!(span.is_disabled() && span.in_scope(trace::headers).is_empty());
    assert_eq!(spans.0.lock().unwrap().len(), noted);
}

#[tokio::test]
async fn a_command_is_written_in_the_span_of_its_record_also_when_it_had_to_wait_for_its_turn() {
    let (spans, _guard) = traced();
    let bench = Bench::new();
    let mut charger = bench.connect("CP-1", V16, 100).await;
    let first = bench.command("CP-1", 1, 100, RedeliveryClass::Safe);
    charger.hear_text().await;
    trace::taken(&with_context()).in_scope(|| bench.command("CP-1", 2, 100, RedeliveryClass::Safe));
    charger.say(&format!(r#"[3,"{first}",{{}}]"#)).await;
    charger.hear_text().await;
    let spans = spans.0.lock().unwrap();
    assert_eq!(
        spans[..],
        [("take_record", None), ("write_call", Some("take_record"))]
    );
}

#[tokio::test]
async fn an_event_carries_the_trace_of_what_the_charger_said_where_spans_are_exported_and_else_nothing() {
    for exported in [true, false] {
        let (_spans, _guard) = traced();
        let mut config = EdgeConfig::default();
        config.telemetry.otlp_endpoint = exported.then(|| "http://127.0.0.1:4317".into());
        let bench = Bench::with(&config, Some(true));
        let mut charger = bench.connect("CP-1", V16, 100).await;
        charger.ask(HEARTBEAT).await;
        let headers = bench.sink.headers.lock().unwrap();
        assert_eq!(headers.last().and_then(trace_of).is_some(), exported);
    }
}
