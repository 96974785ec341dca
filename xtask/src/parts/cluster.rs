//! A Redis Cluster of three masters, for the tests that need slots spread over nodes; with a replica each for those
//! that kill a master for good.

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

/// Starts three masters, joins them and waits until each says that the cluster is whole.
pub async fn start(supervisor: &mut Supervisor, program: &RedisProgram) -> Result<Vec<SocketAddr>> {
    start_with(supervisor, program, 0).await
}

/// The same with a replica for each master; no node takes a write that only it has. The first three children
/// (`redis-cluster-1` to `-3`) are the masters.
pub async fn start_replicated(
    supervisor: &mut Supervisor,
    program: &RedisProgram,
) -> Result<Vec<SocketAddr>> {
    start_with(supervisor, program, 1).await
}

async fn start_with(
    supervisor: &mut Supervisor,
    program: &RedisProgram,
    replicas: usize,
) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    let nodes = NODES * (1 + replicas);
    for index in 1..=nodes {
        let name = format!("redis-cluster-{index}");
        let data = supervisor.scratch().subfolder(&name)?;
        let (address, bus) = (net::free_address()?, net::free_address()?);
        let mut extra = cluster_arguments(bus.port());
        if replicas > 0 {
            extra.extend(
                ["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"].map(str::to_owned),
            );
        }
        supervisor
            .start_ready(child_spec(program, &name, address, &data, &extra))
            .await?;
        addresses.push(address);
    }
    let create = program.cli_command().args(["--cluster", "create"]);
    let create = create.args(addresses.iter().map(SocketAddr::to_string)).args([
        "--cluster-replicas",
        &replicas.to_string(),
        "--cluster-yes",
    ]);
    create.output().await.context("creating the cluster")?;
    let agreed = timeout(AGREEMENT, all_whole(program, &addresses, replicas));
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

async fn all_whole(program: &RedisProgram, addresses: &[SocketAddr], replicas: usize) {
    let known = format!("cluster_known_nodes:{}", addresses.len());
    for address in addresses {
        until_says(program, *address, &["cluster", "info"], |text| {
            text.contains("cluster_state:ok") && text.contains(&known)
        })
        .await;
    }
    // The first ones are the masters; a write is taken when its replica listens.
    for address in addresses.iter().take(NODES).filter(|_| replicas > 0) {
        until_says(program, *address, &["info", "replication"], |text| {
            text.contains("state=online")
        })
        .await;
    }
}

/// Waits until the nodes that live hold a killed master for failed, and a replica of it leads.
pub async fn until_failed_over(program: &RedisProgram, killed: SocketAddr, asked: SocketAddr) {
    let killed = killed.to_string();
    until_says(program, asked, &["cluster", "nodes"], |text| {
        let has = |line: &&str, flag: &str| {
            let flags = line.split_whitespace().nth(2).unwrap_or_default();
            flags.split(',').any(|one| one == flag)
        };
        let failed = |line: &&str| has(line, "fail") || has(line, "fail?");
        let leading = text.lines().filter(|line| has(line, "master") && !failed(line));
        leading.count() == NODES && text.lines().any(|line| line.contains(&killed) && failed(&line))
    })
    .await;
}

/// Asks a server until its answer is as wanted.
pub(super) async fn until_says(
    program: &RedisProgram,
    of: SocketAddr,
    question: &[&str],
    wanted: impl Fn(&str) -> bool,
) {
    let (host, port) = (of.ip().to_string(), of.port().to_string());
    loop {
        let ask = program
            .cli_command()
            .args(["-h", &host, "-p", &port])
            .args(question);
        if ask.output().await.is_ok_and(|text| wanted(&text)) {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
