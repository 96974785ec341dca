//! The versions of what a run consists of, for its description and for the evidence page.

use std::process::Command;

use serde_json::{Value, json};

use crate::parts::broker::BrokerKind;
use crate::parts::kafka_fetch::KAFKA_VERSION;

/// Ours, Redis', Kafka's and the compiler's.
pub(super) fn of_parts(broker: &BrokerKind) -> Value {
    let kafka = match broker {
        BrokerKind::Apache(_) => format!("Apache Kafka {KAFKA_VERSION}"),
        BrokerKind::Embedded => "embedded (librdkafka's mock cluster)".to_owned(),
    };
    json!({
        "holdfast": env!("CARGO_PKG_VERSION"),
        "commit": said("git", &["rev-parse", "--short=12", "HEAD"]),
        "redis": redis(),
        "kafka": kafka,
        "rustc": said("rustc", &["--version"]),
    })
}

fn redis() -> Option<String> {
    let text = ["redis-server", "valkey-server"]
        .iter()
        .find_map(|name| said(name, &["--version"]))?;
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    Some(version.to_owned())
}

/// The first line of what a program says; none if it cannot be asked.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}
