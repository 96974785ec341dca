//! The Redis servers behind the places. A cluster is served by clients of single servers and an own map of
//! places, because one client of the whole cluster halts while one master is away: the slots of the others
//! would go down with it.
//!
//! Left out: following `ASK`. While a slot moves, its operations fail as unavailable.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::{Error as RedisError, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::config::ServerConfig;
use fred::types::{ClusterHash, ConnectHandle, CustomCommand, Value};

use super::{client_of, options};
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::keys::Keys;

/// How long the map of a cluster is trusted after it was read, whatever fails.
const SETTLE: Duration = Duration::from_millis(100);

type Address = (String, u16);

/// One server with its connections.
struct Server {
    clients: Vec<Client>,
    tasks: tokio::sync::Mutex<Vec<ConnectHandle>>,
}

/// Every server, and which place lies where.
pub(crate) struct Servers {
    config: StoreConfig,
    /// The hash slot of every place.
    hash_slots: Vec<u16>,
    cluster: bool,
    servers: RwLock<BTreeMap<Address, Arc<Server>>>,
    map: RwLock<Vec<Option<Address>>>,
    read_at: tokio::sync::Mutex<Option<Instant>>,
}

impl Servers {
    /// Connects, and reads the map of a cluster.
    pub(crate) async fn connect(config: &StoreConfig, keys: &Keys) -> Result<Self, StoreError> {
        let hash_slots = keys
            .places()
            .iter()
            .map(|p| fred::util::redis_keyslot(keys.base(*p).as_bytes()))
            .collect();
        let server = config.client()?.server;
        let servers = Self {
            config: config.clone(),
            hash_slots,
            cluster: server.is_clustered(),
            servers: RwLock::default(),
            map: RwLock::default(),
            read_at: tokio::sync::Mutex::default(),
        };
        let limit = Duration::from_millis(config.connect_timeout_ms);
        let started = tokio::time::timeout(limit, servers.start(&server)).await;
        let started = started.unwrap_or_else(|_| Err(unavailable("no connection in time")));
        if started.is_err() {
            servers.close().await;
        }
        started.map(|()| servers)
    }

    async fn start(&self, server: &ServerConfig) -> Result<(), StoreError> {
        if !self.cluster {
            let only = (String::new(), 0);
            let server = self.add(only.clone(), server)?;
            self.set_map(vec![Some(only); self.hash_slots.len()]);
            return server.wait().await;
        }
        for seed in server.hosts() {
            let address = (seed.host.to_string(), seed.port);
            self.add(
                address.clone(),
                &ServerConfig::new_centralized(address.0.as_str(), address.1),
            )?;
        }
        while !self.read_map(true).await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        futures_util::future::try_join_all(self.mapped().iter().map(|s| s.wait()))
            .await
            .map(drop)
    }

    fn add(&self, address: Address, server: &ServerConfig) -> Result<Arc<Server>, StoreError> {
        if let Some(found) = self.server(&address) {
            return Ok(found);
        }
        let clients = (0..self.config.connections)
            .map(|_| client_of(&self.config, server.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let tasks = clients.iter().map(ClientLike::connect).collect();
        let server = Arc::new(Server {
            clients,
            tasks: tokio::sync::Mutex::new(tasks),
        });
        self.servers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(address, Arc::clone(&server));
        Ok(server)
    }

    fn server(&self, address: &Address) -> Option<Arc<Server>> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(address)
            .cloned()
    }

    fn all(&self) -> Vec<Arc<Server>> {
        self.servers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn mapped(&self) -> Vec<Arc<Server>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        let addresses: std::collections::BTreeSet<Address> = map.into_iter().flatten().collect();
        addresses.iter().filter_map(|a| self.server(a)).collect()
    }

    fn set_map(&self, map: Vec<Option<Address>>) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = map;
    }

    /// The client of the place with this index; another connected one of the same server if that is away.
    pub(crate) fn client(&self, place: usize) -> Result<Client, RedisError> {
        let address = self
            .map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(place)
            .cloned()
            .flatten();
        let server = address.and_then(|a| self.server(&a));
        let server =
            server.ok_or_else(|| RedisError::new(ErrorKind::Cluster, "no server holds this slot"))?;
        Ok(server.client(place))
    }

    /// Any connected client, for what concerns every server.
    pub(crate) fn any_client(&self) -> Option<Client> {
        self.all()
            .iter()
            .flat_map(|s| s.clients.clone())
            .find(ClientLike::is_connected)
    }

    /// True for a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// After an operation failed: a cluster may have moved its slots. The caller has waited long enough.
    pub(crate) async fn suspect(&self) {
        if self.cluster {
            let _ = tokio::time::timeout(SETTLE, self.read_map(false)).await;
        }
    }

    /// Reads the map from any server that answers; false if none did.
    async fn read_map(&self, at_start: bool) -> bool {
        // One at a time: the others use what that one reads.
        let Ok(mut read_at) = self.read_at.try_lock() else {
            return false;
        };
        if !at_start && read_at.is_some_and(|t| t.elapsed() < SETTLE) {
            return true;
        }
        for server in self.all() {
            let Some(client) = server.clients.iter().find(|c| c.is_connected()) else {
                continue;
            };
            let command = CustomCommand::new_static("CLUSTER", ClusterHash::FirstKey, false);
            let asked = client
                .with_options(&options())
                .custom(command, vec!["SLOTS"])
                .await;
            let Ok(Value::Array(ranges)) = asked else { continue };
            if self.learn_map(&ranges).is_ok() {
                *read_at = Some(Instant::now());
                return true;
            }
        }
        false
    }

    fn learn_map(&self, ranges: &[Value]) -> Result<(), StoreError> {
        let ranges: Vec<(u16, u16, Address)> = ranges.iter().filter_map(range).collect();
        let mut map = Vec::with_capacity(self.hash_slots.len());
        for slot in &self.hash_slots {
            let found = ranges.iter().find(|(from, to, _)| from <= slot && slot <= to);
            if let Some((_, _, address)) = found {
                self.add(
                    address.clone(),
                    &ServerConfig::new_centralized(address.0.as_str(), address.1),
                )?;
            }
            map.push(found.map(|(_, _, address)| address.clone()));
        }
        self.set_map(map);
        Ok(())
    }

    /// Ends every connection and waits for its task.
    pub(crate) async fn close(&self) {
        futures_util::future::join_all(self.all().iter().map(|s| s.close())).await;
    }
}

impl Server {
    fn client(&self, place: usize) -> Client {
        let preferred = &self.clients[place % self.clients.len()];
        if preferred.is_connected() {
            return preferred.clone();
        }
        self.clients
            .iter()
            .find(|c| c.is_connected())
            .unwrap_or(preferred)
            .clone()
    }

    async fn wait(&self) -> Result<(), StoreError> {
        let all = futures_util::future::try_join_all(self.clients.iter().map(ClientLike::wait_for_connect));
        all.await
            .map(drop)
            .map_err(|source| StoreError::Connect { source })
    }

    async fn close(&self) {
        for client in &self.clients {
            // A client that is not connected has nothing to say goodbye to; its task is ended below.
            if client.is_connected() {
                let _ = tokio::time::timeout(Duration::from_millis(200), client.quit()).await;
            }
        }
        for task in self.tasks.lock().await.drain(..) {
            task.abort();
            let _ = task.await;
        }
    }
}

fn unavailable(text: &'static str) -> StoreError {
    StoreError::Connect {
        source: RedisError::new(ErrorKind::Timeout, text),
    }
}

/// First and last hash slot and the master of one range of `CLUSTER SLOTS`.
fn range(value: &Value) -> Option<(u16, u16, Address)> {
    let Value::Array(parts) = value else { return None };
    let number = |v: &Value| v.as_i64().and_then(|n| u16::try_from(n).ok());
    let [from, to, Value::Array(master), ..] = parts.as_slice() else {
        return None;
    };
    let [host, port, ..] = master.as_slice() else {
        return None;
    };
    let host = host.as_string().filter(|h| !h.is_empty())?;
    Some((number(from)?, number(to)?, (host, number(port)?)))
}
