//! The broker of a system: Apache Kafka or the embedded one, of its own or shared.
//!
//! Left out: how either is started (`xtask::parts`).

use std::net::SocketAddr;

use xtask::net::free_address;
use xtask::parts::broker::BrokerKind;
use xtask::parts::kafka::{self, SideDoor};
use xtask::parts::kafka_fetch::KafkaProgram;
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

/// Starts the broker that a test needs, or names the one that it may share; behind a forwarder where its port changes,
/// or beside one where a test cuts one of the ways to it.
pub(crate) async fn start_broker(
    supervisor: &mut Supervisor,
    tools: &Tools,
    need: BrokerNeed,
) -> (SocketAddr, Option<Forwarder>) {
    if let (BrokerNeed::Any, Some(shared)) = (need, tools.shared_kafka) {
        return (shared, None);
    }
    if let (BrokerNeed::CutFromFirstRouter, BrokerKind::Apache(program)) = (need, &tools.broker) {
        return start_with_side_door(supervisor, tools, program).await;
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

/// An Apache Kafka, and a forwarder that leads to its side door.
async fn start_with_side_door(
    supervisor: &mut Supervisor,
    tools: &Tools,
    program: &KafkaProgram,
) -> (SocketAddr, Option<Forwarder>) {
    let listens = free_address().expect("a free port");
    let forwarder = Forwarder::start(listens).await;
    let tells = forwarder.address();
    let kafka = kafka::start_with(supervisor, program, "kafka", Some(SideDoor { listens, tells }))
        .await
        .expect("Kafka starts");
    create_topics(&tools.binaries, kafka)
        .await
        .expect("the topics can be created");
    (kafka, Some(forwarder))
}
