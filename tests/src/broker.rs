//! The broker of a system: Apache Kafka or the embedded one, of its own or shared.
//!
//! Left out: how either is started (`xtask::parts`).

use std::net::SocketAddr;

use xtask::parts::broker::BrokerKind;
use xtask::parts::kafka;
use xtask::stack::running::create_topics;
use xtask::stack::settings;
use xtask::supervise::Supervisor;

use crate::faults::Forwarder;
use crate::spec::BrokerNeed;
use crate::tools::Tools;

/// The address in the embedded broker's ready file.
pub(crate) fn bootstrap(ready: &serde_json::Value) -> SocketAddr {
    ready["bootstrap"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("the ready file names the bootstrap")
}

/// Starts the broker that a test needs, or names the one that it may share; behind a forwarder where its port changes.
pub(crate) async fn start_broker(
    supervisor: &mut Supervisor,
    tools: &Tools,
    need: BrokerNeed,
) -> (SocketAddr, Option<Forwarder>) {
    if let (BrokerNeed::Any, Some(shared)) = (need, tools.shared_kafka) {
        return (shared, None);
    }
    let embedded = tools.binaries.path(settings::EMBEDDED_BROKER);
    match (&tools.broker, need) {
        (BrokerKind::Apache(program), BrokerNeed::Any | BrokerNeed::Own) => {
            let kafka = kafka::start(supervisor, program, "kafka")
                .await
                .expect("Kafka starts");
            create_topics(&tools.binaries, kafka)
                .await
                .expect("the topics can be created");
            (kafka, None)
        }
        _ => {
            let kafka = BrokerKind::Embedded
                .start(supervisor, "kafka", &embedded, &tools.topics)
                .await;
            let kafka = kafka.expect("the embedded broker starts");
            // Its port changes with every start; behind a forwarder its clients need not know.
            let forwarder = Forwarder::start(kafka).await;
            (forwarder.address(), Some(forwarder))
        }
    }
}
