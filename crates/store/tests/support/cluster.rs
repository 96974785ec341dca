//! A Redis Cluster of three masters without replicas.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Keeps, Redis};

/// Three masters that end with this value.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts three servers and makes them one cluster, which goes on when a part of it is away.
    pub(crate) fn start() -> Result<Self> {
        let args = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
        ];
        let nodes = (0..3)
            .map(|_| Redis::start(Keeps::Always, &args))
            .collect::<Result<Vec<_>>>()?;
        let addresses: Vec<String> = nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.push("--cluster-yes");
        let output = nodes[0].cli(&create)?;
        let cluster = Self { nodes };
        cluster.wait_until_ready().with_context(|| output)?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let ready = |n: &Redis| {
                n.cli(&["CLUSTER", "INFO"])
                    .is_ok_and(|i| i.contains("cluster_state:ok") && i.contains("cluster_slots_ok:16384"))
            };
            if self.nodes.iter().all(ready) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the cluster is not ready")
    }

    /// Its address for the configuration.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|n| format!("127.0.0.1:{}", n.port))
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    /// The node that holds a key.
    pub(crate) fn holder(&self, key: &str) -> Result<usize> {
        let alive = self
            .nodes
            .iter()
            .find(|n| n.signal(None).is_ok())
            .context("no node runs")?;
        let slot: u16 = alive.cli(&["CLUSTER", "KEYSLOT", key])?.trim().parse()?;
        for (n, node) in self.nodes.iter().enumerate() {
            let nodes = node.cli(&["CLUSTER", "NODES"])?;
            let own = nodes
                .lines()
                .find(|l| l.contains("myself"))
                .context("no line of its own")?;
            let holds = own.split_whitespace().skip(8).any(|range| {
                let (from, to) = range.split_once('-').unwrap_or((range, range));
                from.parse::<u16>().is_ok_and(|f| f <= slot) && to.parse::<u16>().is_ok_and(|t| slot <= t)
            });
            if holds {
                return Ok(n);
            }
        }
        bail!("no node holds {key}")
    }
}
