//! A Redis Cluster of three masters, for the tests that need slots spread over nodes.
//!
//! Left out: replicas and failover; tests that need them start their own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};

use super::redis::{RedisProgram, child_spec};
use crate::net;
use crate::supervise::Supervisor;

/// How many masters there are: the least that `redis-cli --cluster create` accepts.
const NODES: usize = 3;

/// How long the nodes may take to agree that every slot is served.
const AGREEMENT: Duration = Duration::from_secs(60);

/// Starts the nodes, joins them and waits until each says that the cluster is whole.
pub async fn start(supervisor: &mut Supervisor, program: &RedisProgram) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for index in 1..=NODES {
        let name = format!("redis-cluster-{index}");
        let data = supervisor.scratch().subfolder(&name)?;
        let (address, bus) = (net::free_address()?, net::free_address()?);
        let extra = cluster_arguments(bus.port());
        supervisor
            .start_ready(child_spec(program, &name, address, &data, &extra))
            .await?;
        addresses.push(address);
    }
    let create = program.cli_command().args(["--cluster", "create"]);
    let create = create
        .args(addresses.iter().map(SocketAddr::to_string))
        .arg("--cluster-yes");
    create.output().await.context("creating the cluster")?;
    let agreed = timeout(AGREEMENT, all_whole(program, &addresses));
    agreed
        .await
        .context("the cluster's nodes did not agree in time")?;
    Ok(addresses)
}

/// What makes a server a node; one dead node must not stop the slots of the others.
fn cluster_arguments(bus_port: u16) -> Vec<String> {
    let bus_port = bus_port.to_string();
    let pairs = [
        ("--cluster-enabled", "yes"),
        ("--cluster-config-file", "nodes.conf"),
        ("--cluster-node-timeout", "2000"),
        ("--cluster-require-full-coverage", "no"),
        ("--cluster-port", bus_port.as_str()),
    ];
    pairs
        .iter()
        .flat_map(|(key, value)| [(*key).to_owned(), (*value).to_owned()])
        .collect()
}

async fn all_whole(program: &RedisProgram, addresses: &[SocketAddr]) {
    for address in addresses {
        while !is_whole(program, *address).await {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn is_whole(program: &RedisProgram, address: SocketAddr) -> bool {
    let port = address.port().to_string();
    let info = program
        .cli_command()
        .args(["-h", &address.ip().to_string(), "-p", &port, "cluster", "info"]);
    let known = format!("cluster_known_nodes:{NODES}");
    info.output()
        .await
        .is_ok_and(|text| text.contains("cluster_state:ok") && text.contains(&known))
}
