//! The chargers of a run: many that answer quickly, some that are slow, some that are often silent, and, when a fault
//! asks for them, twins that claim the identities of others. Each group is a simulator with a log of its own.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::rig::Rig;
use crate::net;
use crate::stack::settings;
use crate::supervise::{ChildSpec, Guarded};

/// How long all chargers may take to connect.
const CONNECT: Duration = Duration::from_secs(60);

/// How many chargers there are, and how many of the last ones are slow or silent.
const COUNT: u64 = 300;

/// A group of chargers.
struct Group {
    /// The process and its history.
    name: &'static str,
    /// What ids begin with; a number of six digits follows.
    prefix: &'static str,
    count: u64,
    /// How they behave.
    flags: &'static [&'static str],
}

/// The groups that are there throughout.
const GROUPS: [Group; 3] = [
    Group {
        name: "chargers",
        prefix: "CP-",
        count: COUNT - 30,
        flags: &[
            "--answer-delay-ms=0..50",
            "--rejected=0.05",
            "--errors=0.03",
            "--silent=0.02",
        ],
    },
    Group {
        name: "chargers-slow",
        prefix: "SL-",
        count: 15,
        flags: &["--answer-delay-ms=800..6000"],
    },
    Group {
        name: "chargers-silent",
        prefix: "SI-",
        count: 15,
        flags: &["--answer-delay-ms=0..200", "--silent=0.5"],
    },
];

/// Those who claim the identities of the first few.
const TWINS: Group = Group {
    name: "chargers-twin",
    prefix: "CP-",
    count: 6,
    flags: &["--answer-delay-ms=0..50"],
};

/// The ids of all chargers that connect.
pub(super) fn ids() -> Vec<String> {
    let of = |group: &Group| {
        let prefix = group.prefix;
        (1..=group.count).map(move |number| format!("{prefix}{number:06}"))
    };
    GROUPS.iter().flat_map(of).collect()
}

/// Starts the groups and waits until all chargers are connected.
pub(super) async fn start(rig: &mut Rig, seed: u64) -> Result<()> {
    for group in &GROUPS {
        let spec = spec(rig, group, seed);
        rig.specs.insert(group.name.to_owned(), spec.clone());
        rig.supervisor.start(spec).await?;
    }
    let deadline = Instant::now() + CONNECT;
    loop {
        let connected = connected(rig).await;
        if connected >= COUNT {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("only {connected} of {COUNT} chargers connected");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Starts the twins.
pub(super) async fn start_twins(rig: &mut Rig, seed: u64) -> Result<()> {
    let spec = spec(rig, &TWINS, seed);
    rig.supervisor.start(spec).await
}

/// Ends the twins.
pub(super) async fn stop_twins(rig: &mut Rig) -> Result<()> {
    rig.supervisor.stop(TWINS.name).await
}

/// How many connections the edges have by their own word.
pub(super) async fn connected(rig: &Rig) -> u64 {
    let mut connected = 0;
    for (_, edge) in &rig.edges {
        let metrics = net::http_get(edge.admin, settings::METRICS_PATH).await;
        let text = metrics.map(|(_, text)| text).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(settings::CONNECTIONS_METRIC));
        let value = line.and_then(|line| line.rsplit(' ').next()?.split('.').next()?.parse::<u64>().ok());
        connected += value.unwrap_or(0);
    }
    connected
}

fn spec(rig: &Rig, group: &Group, seed: u64) -> ChildSpec {
    let log = rig.folder.join(format!("{}.jsonl", group.name));
    let mut command = Guarded::new(rig.binaries.path(settings::SIMULATOR))
        .args(["--count".to_owned(), group.count.to_string()])
        .args(["--prefix", group.prefix])
        .args(["--seed".to_owned(), seed.to_string()])
        .args([
            "--heartbeat-s",
            "20",
            "--backoff-base-ms",
            "100",
            "--backoff-cap-ms",
            "2000",
        ])
        .args(group.flags.iter().copied())
        .arg("--exit-on-stdin-close")
        .arg("--log")
        .arg(log);
    for door in &rig.doors {
        command = command.args(["--url".to_owned(), settings::ocpp_url(*door)]);
    }
    ChildSpec::new(group.name, command)
}
