//! The trace of a command across processes: from the headers of its record to its write, and from what a charger says
//! to the headers of its event.
//!
//! Without an exporter of spans nothing here does anything, and nothing is asked of a span for each message. Leaves out
//! the answer's way over the link, which the router takes up under the command's id.

use bus::{Headers, Record};
use chassis::telemetry::propagation::{Carrier, inject, set_parent};
use tracing::{Span, info_span};

/// The W3C headers.
const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// A record that is taken, as part of the trace of the router that sent it; none where there is no trace.
pub(crate) fn taken(record: &Record) -> Span {
    let carried = |name: &&str| {
        let value = record.headers.get_str(name)?;
        Some(((*name).to_owned(), value.to_owned()))
    };
    let carrier: Carrier = HEADERS.iter().filter_map(carried).collect();
    if carrier.is_empty() {
        return Span::none();
    }
    let (topic, partition, offset) = (&*record.topic, record.partition, record.offset);
    let span = info_span!("take_record", topic, partition, offset);
    set_parent(&span, &carrier);
    span
}

/// The headers that carry the present span's context on; none without one.
pub(crate) fn headers() -> Headers {
    let (span, mut headers) = (Span::current(), Headers::new());
    if !span.is_disabled() {
        let mut carrier = Carrier::new();
        inject(&span, &mut carrier);
        for (name, value) in carrier {
            headers.push(name, value.into_bytes());
        }
    }
    headers
}
