//! The brokers of a run: one Apache Kafka or three, with a listener of its own for every client, so that each link to a
//! broker can be cut alone. What a listener advertises is the link's address: a client can reach a broker by no other way.
//!
//! Where Java is missing, the embedded broker serves; its clients cannot be told another address, so that their links
//! to it cannot fail, and it holds nothing over a restart.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::proxy::Link;
use crate::net;
use crate::parts::broker::BrokerKind;
use crate::parts::kafka_fetch::KafkaProgram;
use crate::stack::binaries::Binaries;
use crate::stack::settings;
use crate::supervise::{ChildSpec, Guarded, Ready, Supervisor};

/// What a run knows of its brokers.
#[derive(Debug, Default)]
pub(super) struct Brokers {
    /// What they are called.
    pub(super) names: Vec<String>,
    /// How each is started again.
    pub(super) specs: Vec<ChildSpec>,
    /// Past all links: for tools.
    pub(super) direct: Vec<SocketAddr>,
    /// What each client is told.
    pub(super) bootstrap: BTreeMap<String, String>,
    /// The links, by client.
    pub(super) links: Vec<Link>,
}

/// One broker's addresses.
struct Place {
    direct: SocketAddr,
    controller: SocketAddr,
    /// By client: where the broker listens, and where the link does.
    clients: Vec<(String, SocketAddr, SocketAddr)>,
}

/// Starts the brokers and their links; returns once they accept clients.
pub(super) async fn start(
    supervisor: &mut Supervisor,
    kind: &BrokerKind,
    count: u16,
    clients: &[String],
    binaries: &Binaries,
) -> Result<Brokers> {
    match kind {
        BrokerKind::Apache(program) => start_apache(supervisor, program, count, clients).await,
        BrokerKind::Embedded => start_embedded(supervisor, kind, clients, binaries).await,
    }
}

/// The bootstrap addresses of several brokers.
pub(super) fn join(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(",")
}

async fn start_apache(
    supervisor: &mut Supervisor,
    program: &KafkaProgram,
    count: u16,
    clients: &[String],
) -> Result<Brokers> {
    let places: Vec<Place> = (0..count).map(|_| Place::new(clients)).collect::<Result<_>>()?;
    let mut brokers = Brokers::default();
    for client in clients {
        let mut link = Link::new(format!("{client}/kafka"));
        let mut bootstrap = Vec::new();
        for (_, listens, leads) in places
            .iter()
            .flat_map(|place| &place.clients)
            .filter(|(name, ..)| name == client)
        {
            link.lead(*leads, *listens).await?;
            bootstrap.push(*leads);
        }
        brokers.links.push(link);
        brokers.bootstrap.insert(client.clone(), join(&bootstrap));
    }
    let cluster = cluster_id();
    for (place, id) in places.iter().zip(1..) {
        let name = format!("kafka-{id}");
        let spec = format(supervisor, program, &name, &cluster, &properties(id, &places)).await?;
        brokers.specs.push(spec.clone().ready(Ready::Tcp(place.direct)));
        brokers.direct.push(place.direct);
        supervisor
            .start(brokers.specs[brokers.specs.len() - 1].clone())
            .await?;
        brokers.names.push(name);
    }
    for name in &brokers.names {
        supervisor.wait_ready(name).await?;
    }
    Ok(brokers)
}

/// Formats a broker's data folder; returns how the broker is started.
async fn format(
    supervisor: &Supervisor,
    program: &KafkaProgram,
    name: &str,
    cluster: &str,
    properties: &dyn Fn(&Path) -> String,
) -> Result<ChildSpec> {
    let folder = supervisor.scratch().subfolder(name)?;
    let file = folder.join("server.properties");
    let text = properties(&folder.join("data"));
    std::fs::write(&file, &text)?;
    let mut format = program
        .storage_tool()
        .args(["format", "-t", cluster, "-c"])
        .arg(&file);
    if !text.contains("controller.quorum.voters") {
        format = format.arg("--standalone");
    }
    format.output().await.context("formatting Kafka's data folder")?;
    let mut spec = ChildSpec::new(name, program.broker().arg(&file));
    spec.stop_within = Duration::from_secs(8);
    Ok(spec)
}

impl Place {
    fn new(clients: &[String]) -> Result<Self> {
        let place = |client: &String| Ok((client.clone(), net::free_address()?, net::free_address()?));
        Ok(Self {
            direct: net::free_address()?,
            controller: net::free_address()?,
            clients: clients.iter().map(place).collect::<Result<_>>()?,
        })
    }
}

/// A broker's configuration, but for its data folder.
fn properties(id: usize, places: &[Place]) -> impl Fn(&Path) -> String {
    let replicas = places.len();
    let in_sync = if replicas > 2 { 2 } else { 1 };
    let mut lines = vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={id}"),
        quorum(places),
        "controller.listener.names=CONTROLLER".to_owned(),
        "inter.broker.listener.name=DIRECT".to_owned(),
        format!("offsets.topic.replication.factor={replicas}"),
        "offsets.topic.num.partitions=1".to_owned(),
        format!("transaction.state.log.replication.factor={replicas}"),
        format!("transaction.state.log.min.isr={in_sync}"),
        format!("share.coordinator.state.topic.replication.factor={replicas}"),
        format!("share.coordinator.state.topic.min.isr={in_sync}"),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        // A killed broker may come back only when its last session has ended, by default after 9 s.
        "broker.session.timeout.ms=1500".to_owned(),
        "broker.heartbeat.interval.ms=300".to_owned(),
        "auto.create.topics.enable=false".to_owned(),
    ];
    lines.extend(listeners(&places[id - 1]));
    let text = lines.join("\n");
    move |data| format!("{text}\nlog.dirs={}\n", data.display())
}

/// Where a broker listens, and what it tells its clients.
fn listeners(own: &Place) -> [String; 3] {
    let mut listens = vec![
        format!("DIRECT://{}", own.direct),
        format!("CONTROLLER://{}", own.controller),
    ];
    let mut advertises = listens.clone();
    let mut protocols = "DIRECT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (client, place, link) in &own.clients {
        let name = listener(client);
        listens.push(format!("{name}://{place}"));
        advertises.push(format!("{name}://{link}"));
        protocols.push_str(&format!(",{name}:PLAINTEXT"));
    }
    [
        format!("listeners={}", listens.join(",")),
        format!("advertised.listeners={}", advertises.join(",")),
        format!("listener.security.protocol.map={protocols}"),
    ]
}

/// Who decides: a broker alone finds itself, three of them vote.
fn quorum(places: &[Place]) -> String {
    if let [alone] = places {
        return format!("controller.quorum.bootstrap.servers={}", alone.controller);
    }
    let voters = places
        .iter()
        .zip(1..)
        .map(|(place, id)| format!("{id}@{}", place.controller));
    format!(
        "controller.quorum.voters={}",
        voters.collect::<Vec<_>>().join(",")
    )
}

/// The name of a client's listener: letters and digits only.
fn listener(client: &str) -> String {
    client
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_uppercase())
        .collect()
}

/// A fresh cluster id. A leading letter keeps it from being read as an option.
fn cluster_id() -> String {
    let hex = uuid::Uuid::new_v4().simple().to_string();
    format!("A{}", &hex[..21])
}

async fn start_embedded(
    supervisor: &mut Supervisor,
    kind: &BrokerKind,
    clients: &[String],
    binaries: &Binaries,
) -> Result<Brokers> {
    let (program, topics) = (binaries.path(settings::EMBEDDED_BROKER), binaries.topics().await?);
    let address = kind.start(supervisor, "kafka-1", &program, &topics).await?;
    let bootstrap = |client: &String| (client.clone(), address.to_string());
    Ok(Brokers {
        direct: vec![address],
        bootstrap: clients.iter().map(bootstrap).collect(),
        ..Brokers::default()
    })
}

/// Has the router make the topics.
pub(super) async fn create_topics(binaries: &Binaries, brokers: &Brokers) -> Result<()> {
    let (kafka, replication) = (join(&brokers.direct), brokers.direct.len());
    Guarded::new(binaries.path(settings::ROUTER))
        .args(settings::CREATE_TOPICS)
        .args(["--set", &format!("kafka.bootstrap_servers={kafka}")])
        .args(["--set", &format!("topics.replication={replication}")])
        .output()
        .await
        .context("creating the topics")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_listener_that_advertises_its_link() {
        let clients = ["edge-1".to_owned(), "router-2".to_owned()];
        let places = [Place::new(&clients).unwrap()];
        let text = properties(1, &places)(Path::new("/data"));
        let (_, listens, leads) = &places[0].clients[1];
        assert!(text.contains(&format!("ROUTER2://{listens}")));
        let advertised = text.lines().find(|line| line.starts_with("advertised")).unwrap();
        assert!(advertised.contains(&format!("ROUTER2://{leads}")));
        assert!(!advertised.contains(&listens.to_string()));
        assert!(text.ends_with("log.dirs=/data\n") && text.contains("EDGE1:PLAINTEXT"));
    }

    #[test]
    fn three_brokers_vote_and_replicate() {
        let places: Vec<Place> = (0..3).map(|_| Place::new(&[]).unwrap()).collect();
        let text = properties(2, &places)(Path::new("/data"));
        assert!(text.contains(&format!("controller.quorum.voters=1@{}", places[0].controller)));
        assert!(text.contains("node.id=2\n") && text.contains("offsets.topic.replication.factor=3\n"));
        assert_eq!(cluster_id().len(), 22);
    }
}
