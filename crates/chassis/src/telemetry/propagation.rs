//! The W3C trace context across process borders: `traceparent` and `tracestate` as plain pairs of text.
//!
//! gRPC metadata has its own two functions; Kafka headers go through a map, since only `bus` knows rdkafka.
//! Without an OTLP endpoint there is no context: nothing is injected, and extracting changes nothing.

use std::collections::HashMap;

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::metadata::{KeyRef, MetadataKey, MetadataMap, MetadataValue};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Headers as text.
pub type Carrier = HashMap<String, String>;

/// Puts the context of `span` into `carrier`.
pub fn inject(span: &Span, carrier: &mut Carrier) {
    inject_context(&span.context(), carrier);
}

/// Makes the sender's context, if `carrier` has one, the parent of `span`, which has not been entered yet.
pub fn set_parent(span: &Span, carrier: &Carrier) {
    adopt(span, extract_context(carrier));
}

/// Puts the context of `span` into the metadata of a gRPC request.
pub fn inject_metadata(span: &Span, metadata: &mut MetadataMap) {
    inject_context(&span.context(), &mut MetadataCarrier(metadata));
}

/// Makes the caller's context, if the metadata has one, the parent of `span`, which has not been entered yet.
pub fn set_parent_from_metadata(span: &Span, metadata: &MetadataMap) {
    adopt(span, extract_context(&ReadMetadata(metadata)));
}

/// Writes a context.
fn inject_context(context: &Context, carrier: &mut impl Injector) {
    TraceContextPropagator::new().inject_context(context, carrier);
}

/// Reads a context; an empty one if there is none.
fn extract_context(carrier: &impl Extractor) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), carrier)
}

/// Sets the parent if it is one. It fails only where no layer records spans, and then there is no trace.
fn adopt(span: &Span, context: Context) {
    if context.span().span_context().is_valid() {
        let _ = span.set_parent(context);
    }
}

/// gRPC metadata to write to.
struct MetadataCarrier<'m>(&'m mut MetadataMap);

impl Injector for MetadataCarrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (
            MetadataKey::from_bytes(key.as_bytes()),
            MetadataValue::try_from(value),
        ) {
            self.0.insert(key, value);
        }
    }
}

/// gRPC metadata to read from.
struct ReadMetadata<'m>(&'m MetadataMap);

impl Extractor for ReadMetadata<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        let text = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Runs `f` where spans are recorded and exported nowhere.
    fn traced<T>(f: impl FnOnce() -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), f)
    }

    #[test]
    fn a_trace_goes_on_through_kafka_headers_and_grpc_metadata() {
        let (headers, metadata) = traced(|| {
            let consumed = tracing::info_span!("consume");
            set_parent(
                &consumed,
                &Carrier::from([("traceparent".into(), TRACEPARENT.into())]),
            );
            let mut metadata = MetadataMap::new();
            inject_metadata(&consumed, &mut metadata);

            let served = tracing::info_span!("serve");
            set_parent_from_metadata(&served, &metadata);
            let mut headers = Carrier::new();
            inject(&served, &mut headers);
            (headers, metadata)
        });
        let trace_id = &TRACEPARENT[3..35];
        let (sent, called) = (
            &headers["traceparent"],
            metadata.get("traceparent").unwrap().to_str().unwrap(),
        );
        assert_eq!(&sent[3..35], trace_id);
        assert_eq!(&called[3..35], trace_id);
        assert_ne!(sent, called, "each hop is a span of its own");
    }

    #[test]
    fn a_broken_or_missing_context_changes_nothing() {
        traced(|| {
            let span = tracing::info_span!("consume");
            set_parent(
                &span,
                &Carrier::from([("traceparent".into(), "00-nonsense".into())]),
            );
            set_parent_from_metadata(&span, &MetadataMap::new());
            let mut carrier = Carrier::new();
            inject(&span, &mut carrier);
            assert!(carrier["traceparent"].starts_with("00-"));
        });
        let mut untraced = Carrier::new();
        inject(&Span::none(), &mut untraced);
        assert!(untraced.is_empty());
    }
}
