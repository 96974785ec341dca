//! Other kinds of Redis than a single server, for the routers that are started from then on.

use std::net::SocketAddr;

use xtask::parts::{cluster, sentinel};

use crate::system::System;
use crate::tools::Tools;
use crate::wait::DEADLINE;

/// The first master of a Redis Cluster.
pub const FIRST_MASTER: &str = "redis-cluster-1";

impl System {
    /// A Redis Cluster of three masters.
    pub async fn use_redis_cluster(&mut self) {
        let tools = Tools::get().await;
        let nodes = cluster::start(&mut self.supervisor, &tools.redis).await;
        self.use_redis(&format!(
            "redis-cluster://{}",
            list(&nodes.expect("the cluster starts"))
        ))
        .await;
    }

    /// A Redis Cluster of three masters (`redis-cluster-1` to `-3`) with a replica each, behind durability `replicated`;
    /// returns the nodes, masters first.
    pub async fn use_replicated_cluster(&mut self) -> Vec<SocketAddr> {
        let tools = Tools::get().await;
        let nodes = cluster::start_replicated(&mut self.supervisor, &tools.redis).await;
        let nodes = nodes.expect("the cluster starts");
        self.use_redis(&format!("redis-cluster://{}", list(&nodes))).await;
        self.replicated();
        nodes
    }

    /// Kills the first master of a replicated cluster, does something while it is away, and waits until its replica
    /// leads.
    pub async fn lose_first_master<T>(
        &mut self,
        nodes: &[SocketAddr],
        meanwhile: impl AsyncFnOnce(&Self) -> T,
    ) -> T {
        let tools = Tools::get().await;
        self.kill9(FIRST_MASTER).await;
        let promoted = cluster::until_failed_over(&tools.redis, nodes[0], nodes[1]);
        let promoted = tokio::time::timeout(DEADLINE, promoted);
        let (promoted, done) = tokio::join!(promoted, meanwhile(self));
        promoted.expect("the replica is promoted");
        done
    }

    /// A primary ([`sentinel::FIRST_PRIMARY`]) with two replicas and three Sentinels, behind durability `replicated`.
    pub async fn use_sentinels(&mut self) {
        let tools = Tools::get().await;
        let sentinels = sentinel::start(&mut self.supervisor, &tools.redis).await;
        let sentinels = list(&sentinels.expect("the Sentinels start"));
        self.use_redis(&format!("redis-sentinel://{sentinels}/{}", sentinel::SERVICE))
            .await;
        self.replicated();
    }

    fn replicated(&mut self) {
        self.spec = self.spec.clone().router_set("redis.durability", "replicated");
    }

    async fn use_redis(&mut self, url: &str) {
        self.stop("redis").await;
        self.spec = self.spec.clone().router_set("redis.url", url);
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(",")
}
