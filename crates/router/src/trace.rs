//! The trace of a command across processes: from the caller's gRPC metadata to the headers of the records that
//! the command becomes. Without an exporter of spans nothing here does anything.
//!
//! The store keeps no trace context: a command may wait for days, and every byte of it counts. What happens to
//! a command outside its SendCommand call belongs to a trace whose id is the command's id, on every router.

use std::sync::Arc;

use bus::Headers;
use chassis::TelemetryConfig;
use chassis::telemetry::propagation::{Carrier, inject, set_parent, set_parent_from_metadata};
use domain::ids::{CommandId, stable_hash};
use tonic::metadata::MetadataMap;
use tracing::{Span, info_span};

/// The name of the W3C header.
const TRACEPARENT: &str = "traceparent";

/// Makes the spans. Clones are handles.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The part of the commands whose own trace is kept; none if no spans are exported.
    kept: Option<f64>,
}

/// A call's span, for the dispatch of the command that the call accepted.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The command.
    pub id: CommandId,
    /// The call.
    pub span: Span,
}

impl Traces {
    /// Traces as configured.
    #[must_use]
    pub fn new(config: &TelemetryConfig) -> Arc<Self> {
        let kept = config.otlp_endpoint.as_ref().map(|_| config.sample_ratio);
        Arc::new(Self { kept })
    }

    /// The acceptance of a command: it goes on with the caller's trace, if the caller has one.
    #[must_use]
    pub fn accept(&self, id: CommandId, metadata: &MetadataMap) -> Span {
        let span = || info_span!("accept", command = %id);
        if self.kept.is_none() || !metadata.contains_key(TRACEPARENT) {
            return self.own(id, span);
        }
        let span = span();
        set_parent_from_metadata(&span, metadata);
        span
    }

    /// One dispatch of a command: it goes on with the call that accepted it where that call claimed it.
    #[must_use]
    pub fn dispatch(&self, id: CommandId, origin: Option<&Origin>) -> Span {
        match origin.filter(|o| o.id == id && !o.span.is_disabled()) {
            Some(origin) => info_span!(parent: &origin.span, "dispatch", command = %id),
            None => self.own(id, || info_span!("dispatch", command = %id)),
        }
    }

    /// The publication of a command's end.
    #[must_use]
    pub fn publish(&self, id: CommandId) -> Span {
        self.own(id, || info_span!("publish", command = %id))
    }

    /// A span in the command's own trace.
    fn own(&self, id: CommandId, span: impl FnOnce() -> Span) -> Span {
        let Some(kept) = self.kept else {
            return Span::none();
        };
        let span = span();
        set_parent(&span, &own_trace(id, kept));
        span
    }
}

/// The headers that carry a span's context; none without one.
#[must_use]
pub fn headers(span: &Span) -> Headers {
    let mut headers = Headers::new();
    if !span.is_disabled() {
        let mut carrier = Carrier::new();
        inject(span, &mut carrier);
        for (name, value) in carrier {
            headers.push(name, value.into_bytes());
        }
    }
    headers
}

/// The context of a command's own trace. Whether it is kept follows from the id, so that all routers agree.
fn own_trace(id: CommandId, kept: f64) -> Carrier {
    let trace = id.to_string().replace('-', "");
    let hash = stable_hash(trace.as_bytes());
    #[allow(
        clippy::cast_precision_loss,
        reason = "a part of one needs no more than 53 bits"
    )]
    let sampled = u8::from((hash as f64) < kept * u64::MAX as f64);
    let parent = format!("00-{trace}-{:016x}-{sampled:02x}", hash.max(1));
    Carrier::from([(TRACEPARENT.to_owned(), parent)])
}

#[cfg(test)]
mod tests {
    use domain::ids::Slot;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn id(n: u8) -> CommandId {
        CommandId::new(1_700_000_000_000 + u64::from(n), [n; 10], Slot(1))
    }

    #[test]
    fn a_commands_own_trace_is_named_after_it_and_kept_as_configured() {
        let parent = |n, kept| own_trace(id(n), kept)[TRACEPARENT].clone();
        assert_eq!(parent(1, 0.5), parent(1, 0.5));
        assert_eq!(
            parent(1, 1.0).split('-').nth(1),
            Some(&*id(1).to_string().replace('-', ""))
        );
        let kept = |ratio| (0..=255).filter(|n| parent(*n, ratio).ends_with("-01")).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 256));
        assert!((64..192).contains(&kept(0.5)), "{}", kept(0.5));
    }

    /// Runs `f` where spans are recorded and exported nowhere.
    fn traced<T>(f: impl FnOnce(&Traces) -> T) -> T {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let traces = Traces { kept: Some(1.0) };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || f(&traces))
    }

    fn trace_of(span: &Span) -> String {
        let headers = headers(span);
        let parent = headers.get_str(TRACEPARENT).unwrap().to_owned();
        parent.split('-').nth(1).unwrap().to_owned()
    }

    #[test]
    fn the_callers_trace_goes_on_in_the_dispatch_that_its_call_claimed_and_in_no_other() {
        const CALLER: &str = "0af7651916cd43dd8448eb211c80319c";
        traced(|traces| {
            let mut metadata = MetadataMap::new();
            let parent = format!("00-{CALLER}-b7ad6b7169203331-01");
            metadata.insert(TRACEPARENT, parent.parse().unwrap());
            let origin = Origin {
                id: id(1),
                span: traces.accept(id(1), &metadata),
            };
            assert_eq!(trace_of(&origin.span), CALLER);
            assert_eq!(trace_of(&traces.dispatch(id(1), Some(&origin))), CALLER);
            let own = |n| id(n).to_string().replace('-', "");
            // An earlier command that the same call claimed, a retry, the end: each in the command's own trace.
            assert_eq!(trace_of(&traces.dispatch(id(2), Some(&origin))), own(2));
            assert_eq!(trace_of(&traces.dispatch(id(1), None)), own(1));
            assert_eq!(trace_of(&traces.publish(id(1))), own(1));
            assert_eq!(trace_of(&traces.accept(id(3), &MetadataMap::new())), own(3));
        });
    }

    #[test]
    fn without_an_exporter_there_are_no_spans_and_no_headers() {
        let traces = Traces::new(&TelemetryConfig::default());
        assert!(traces.publish(id(1)).is_disabled() && traces.dispatch(id(1), None).is_disabled());
        assert!(headers(&traces.accept(id(1), &MetadataMap::new())).is_empty());
    }
}
