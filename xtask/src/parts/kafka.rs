//! One Apache Kafka broker in KRaft mode on free ports, as small as it runs.
//!
//! Left out: topics. The router makes them on purpose (`router create-topics`), as in production.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::kafka_fetch::KafkaProgram;
use crate::net;
use crate::supervise::{ChildSpec, Ready, Supervisor};

/// A second way into a broker: who comes by it is told to come back by it.
#[derive(Debug, Clone, Copy)]
pub struct SideDoor {
    /// Where the broker listens.
    pub listens: SocketAddr,
    /// What it tells its clients: something there leads to where it listens.
    pub tells: SocketAddr,
}

/// Starts a broker with its data in the scratch folder, waits until it accepts clients; returns its address.
pub async fn start(supervisor: &mut Supervisor, program: &KafkaProgram, name: &str) -> Result<SocketAddr> {
    start_with(supervisor, program, name, None).await
}

/// The same for a broker that may have a second way in.
pub async fn start_with(
    supervisor: &mut Supervisor,
    program: &KafkaProgram,
    name: &str,
    side_door: Option<SideDoor>,
) -> Result<SocketAddr> {
    let folder = supervisor.scratch().subfolder(name)?;
    let (broker, controller) = (net::free_address()?, net::free_address()?);
    let properties = folder.join("server.properties");
    std::fs::write(
        &properties,
        server_properties(broker, controller, side_door, &folder.join("data")),
    )?;
    let cluster = cluster_id();
    let format = program.storage_tool().args(["format", "--standalone", "-t"]);
    let format = format.arg(cluster).arg("-c").arg(&properties);
    format.output().await.context("formatting Kafka's data folder")?;
    let mut spec = ChildSpec::new(name, program.broker().arg(&properties));
    spec.ready = Ready::Tcp(broker);
    // A broker of its own quorum has nobody to hand over to; what it has is on disk.
    spec.stop_within = Duration::from_secs(8);
    supervisor.start_ready(spec).await?;
    Ok(broker)
}

/// The broker's configuration.
fn server_properties(
    broker: SocketAddr,
    controller: SocketAddr,
    side_door: Option<SideDoor>,
    data: &Path,
) -> String {
    let data = data.display();
    let side = |address: Option<SocketAddr>| address.map_or_else(String::new, |at| format!(",SIDE://{at}"));
    let (listens, tells) = (
        side(side_door.map(|d| d.listens)),
        side(side_door.map(|d| d.tells)),
    );
    let lines = [
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.bootstrap.servers={controller}"),
        format!("listeners=PLAINTEXT://{broker},CONTROLLER://{controller}{listens}"),
        format!("advertised.listeners=PLAINTEXT://{broker},CONTROLLER://{controller}{tells}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SIDE:PLAINTEXT".to_owned(),
        format!("log.dirs={data}"),
        "offsets.topic.replication.factor=1".to_owned(),
        "offsets.topic.num.partitions=1".to_owned(),
        "transaction.state.log.replication.factor=1".to_owned(),
        "transaction.state.log.min.isr=1".to_owned(),
        "share.coordinator.state.topic.replication.factor=1".to_owned(),
        "share.coordinator.state.topic.min.isr=1".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        // A killed broker may come back only when its last session has ended, by default after 9 s.
        "broker.session.timeout.ms=1500".to_owned(),
        "broker.heartbeat.interval.ms=300".to_owned(),
        "auto.create.topics.enable=false".to_owned(),
    ];
    lines.join("\n") + "\n"
}

/// A fresh cluster id in Kafka's form: sixteen random bytes in URL-safe base64 without padding.
///
/// The first byte is cleared: an id that began with a dash would be read as an option.
fn cluster_id() -> String {
    let mut bytes = *uuid::Uuid::new_v4().as_bytes();
    bytes[0] = 0;
    base64_url(&bytes)
}

fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            let six = (group >> (18 - 6 * index)) & 63;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_url_safe_and_unpadded() {
        assert_eq!(base64_url(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64_url(b"fooba"), "Zm9vYmE");
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(cluster_id().len(), 22);
        assert!((0..100).all(|_| cluster_id().starts_with('A')));
    }

    #[test]
    fn topics_are_never_made_by_accident() {
        let (broker, controller) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let properties = server_properties(broker, controller, None, Path::new("/data"));
        assert!(properties.contains("auto.create.topics.enable=false\n"));
        assert!(properties.contains("listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\n"));
    }
}
