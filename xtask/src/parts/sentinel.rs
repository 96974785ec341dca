//! A primary with two replicas, watched by three Sentinels that promote a replica when the primary is gone.
//!
//! Every server takes writes only while a replica listens, which durability `replicated` asks for.
//! Left out: who kills what.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;

use super::cluster::until_says;
use super::redis::{RedisProgram, child_spec};
use crate::net;
use crate::supervise::{ChildSpec, Ready, Supervisor};

/// The name under which the Sentinels know the primary.
pub const SERVICE: &str = "holdfast";

/// The child that is the primary at the start; the others count on.
pub const FIRST_PRIMARY: &str = "redis-1";

/// Servers, and Sentinels: two of three must agree.
const SERVERS: usize = 3;
const SENTINELS: usize = 3;
const QUORUM: usize = 2;

/// How long everybody may take to find everybody.
const AGREEMENT: Duration = Duration::from_secs(60);

/// Starts everything and waits until every Sentinel knows all others; returns the Sentinels.
pub async fn start(supervisor: &mut Supervisor, program: &RedisProgram) -> Result<Vec<SocketAddr>> {
    let primary = net::free_address()?;
    for number in 1..=SERVERS {
        let address = if number == 1 {
            primary
        } else {
            net::free_address()?
        };
        let name = format!("redis-{number}");
        let data = supervisor.scratch().subfolder(&name)?;
        let extra = server_arguments((number > 1).then_some(primary));
        let spec = child_spec(program, &name, address, &data, &extra);
        supervisor.start_ready(spec).await?;
    }
    let replicas = until_says(program, primary, &["info", "replication"], |text| {
        text.matches("state=online").count() == SERVERS - 1
    });
    timeout(AGREEMENT, replicas)
        .await
        .context("no replica came online")?;
    let mut sentinels = Vec::new();
    for number in 1..=SENTINELS {
        sentinels.push(start_sentinel(supervisor, program, number, primary).await?);
    }
    for sentinel in &sentinels {
        let asked = ["sentinel", "ckquorum", SERVICE];
        let all = until_says(program, *sentinel, &asked, |text| {
            text.contains(&format!("{SENTINELS} usable"))
        });
        let agreed = timeout(AGREEMENT, all).await;
        agreed.context("the Sentinels did not find each other")?;
    }
    Ok(sentinels)
}

async fn start_sentinel(
    supervisor: &mut Supervisor,
    program: &RedisProgram,
    number: usize,
    primary: SocketAddr,
) -> Result<SocketAddr> {
    let address = net::free_address()?;
    let name = format!("sentinel-{number}");
    let folder = supervisor.scratch().subfolder(&name)?;
    let file = folder.join("sentinel.conf");
    std::fs::write(&file, sentinel_file(address, primary)).context("writing a Sentinel's file")?;
    let command = program.server_command().arg(&file).arg("--sentinel");
    let spec = ChildSpec::new(&name, command).ready(Ready::Reply {
        address,
        request: "PING\r\n",
        reply: "+PONG",
    });
    supervisor.start_ready(spec).await?;
    Ok(address)
}

/// What makes a server take no write that only it has, and a replica at its start.
fn server_arguments(primary: Option<SocketAddr>) -> Vec<String> {
    let mut arguments: Vec<String> = ["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"]
        .map(str::to_owned)
        .into();
    if let Some(primary) = primary {
        arguments.push("--replicaof".to_owned());
        arguments.push(format!("{} {}", primary.ip(), primary.port()));
    }
    arguments
}

/// A Sentinel rewrites its file, so each has its own.
fn sentinel_file(own: SocketAddr, primary: SocketAddr) -> String {
    let lines = [
        format!("port {}", own.port()),
        format!("bind {}", own.ip()),
        format!(
            "sentinel monitor {SERVICE} {} {} {QUORUM}",
            primary.ip(),
            primary.port()
        ),
        format!("sentinel down-after-milliseconds {SERVICE} 1000"),
        format!("sentinel failover-timeout {SERVICE} 5000"),
        format!("sentinel parallel-syncs {SERVICE} {SERVERS}"),
    ];
    lines.join("\n") + "\n"
}
