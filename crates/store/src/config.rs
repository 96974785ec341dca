//! Where Redis is, how to reach it and what it promises. Reading files and the environment is `chassis`'s
//! part; the durations of the protocol are `domain::settings`.

use std::path::PathBuf;
use std::time::Duration;

use domain::ids::SLOTS_MAX;
use fred::types::config::{Config, ServerConfig, TlsConnector};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// What the durability barrier is; see `delivery-protocol`, "What the store may lose".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// `appendfsync always`: the flush before every reply is the barrier.
    Fsync,
    /// `WAIT` for `replicas` replicas, its count checked.
    Replicated,
    /// No barrier: up to about two seconds may be lost on a crash.
    Relaxed,
}

impl Durability {
    /// Its name in the configuration and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Replicated => "replicated",
            Self::Relaxed => "relaxed",
        }
    }
}

/// How to reach and use Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `redis://host:port`, `redis-cluster://host:port,host:port`, `redis-sentinel://host:port,host:port/service`;
    /// with `rediss` instead of `redis`, over TLS.
    pub url: String,
    /// The user of an ACL; empty for the default user.
    pub username: String,
    /// A file with the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// First part of every key.
    pub prefix: String,
    /// Parts of the store, pinned at the first start; at most 256.
    pub slots: u16,
    /// What the durability barrier is.
    pub durability: Durability,
    /// Replicas that must have a write; with `replicated` only.
    pub replicas: u32,
    /// How long `WAIT` waits for them.
    pub wait_timeout_ms: u64,
    /// How long one attempt to connect may take.
    pub connect_timeout_ms: u64,
    /// How long one operation may take; the store refuses to run it later.
    pub command_timeout_ms: u64,
    /// Upper bound of the pause between attempts to reconnect.
    pub reconnect_max_ms: u64,
    /// Connections to each Redis server.
    pub connections: usize,
    /// How long a drainer owns a slot's outbox without renewing.
    pub drain_lease_ms: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1:6379".to_owned(),
            username: String::new(),
            password_file: None,
            prefix: "hf".to_owned(),
            slots: 64,
            durability: Durability::Fsync,
            replicas: 1,
            wait_timeout_ms: 1_000,
            connect_timeout_ms: 2_000,
            command_timeout_ms: 2_000,
            reconnect_max_ms: 500,
            connections: 4,
            drain_lease_ms: 2_500,
        }
    }
}

/// Whether something holds, of which key, and a sentence for when it does not.
type Rule = (bool, &'static str, &'static str);

impl StoreConfig {
    /// Everything that is wrong with it: keys of this section with sentences; empty if it can be used.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let rules = self.rules().into_iter().chain(self.time_rules());
        let broken = rules.filter(|(fine, ..)| !fine);
        let broken = broken.map(|(_, key, text)| (key, text.to_owned()));
        let url = server(&self.url).err().map(|text| ("url", text));
        broken.chain(url).collect()
    }

    /// What must hold, but for durations.
    fn rules(&self) -> [Rule; 4] {
        let replicated = self.durability == Durability::Replicated;
        let in_prefix = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        [
            (
                (1..=SLOTS_MAX).contains(&self.slots),
                "slots",
                "must be from 1 to 256",
            ),
            (
                !self.prefix.is_empty() && self.prefix.chars().all(in_prefix),
                "prefix",
                "must hold letters, digits, '-', '_', '.' and ':' only, and not be empty",
            ),
            (
                (1..=64).contains(&self.connections),
                "connections",
                "must be from 1 to 64",
            ),
            (
                !replicated || self.replicas > 0,
                "replicas",
                "must be at least 1 for durability `replicated`",
            ),
        ]
    }

    /// What must hold of durations.
    fn time_rules(&self) -> [Rule; 4] {
        let replicated = self.durability == Durability::Replicated;
        [
            (
                !replicated || self.wait_timeout_ms < self.command_timeout_ms,
                "wait_timeout_ms",
                "must be below command_timeout_ms",
            ),
            (
                self.command_timeout_ms >= 100,
                "command_timeout_ms",
                "must be at least 100",
            ),
            (
                self.connect_timeout_ms >= 100,
                "connect_timeout_ms",
                "must be at least 100",
            ),
            (
                self.drain_lease_ms > self.command_timeout_ms,
                "drain_lease_ms",
                "must exceed command_timeout_ms",
            ),
        ]
    }

    /// How long one operation may take.
    #[must_use]
    pub fn command_timeout(&self) -> Duration {
        Duration::from_millis(self.command_timeout_ms)
    }

    /// The settings of one client, with the password read from its file.
    pub(crate) fn client(&self) -> Result<Config, StoreError> {
        let told = |(key, text): (&str, String)| format!("{key} {text}");
        let problems: Vec<String> = self.problems().into_iter().map(told).collect();
        if !problems.is_empty() {
            return Err(StoreError::Config { problems });
        }
        let (server, tls) = server(&self.url).map_err(|text| StoreError::Config {
            problems: vec![told(("url", text))],
        })?;
        let password = self.password_file.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|source| StoreError::PasswordFile {
                    path: path.clone(),
                    source,
                })
        });
        let connector = tls.then(TlsConnector::default_rustls).transpose();
        Ok(Config {
            server,
            // A Redis that is down at start is waited for by the caller, not taken for a wrong configuration.
            fail_fast: false,
            username: (!self.username.is_empty()).then(|| self.username.clone()),
            password: password.transpose()?,
            tls: connector
                .map_err(|source| StoreError::Connect { source })?
                .map(Into::into),
            ..Config::default()
        })
    }
}

/// The servers of a URL, and whether they speak TLS.
fn server(url: &str) -> Result<(ServerConfig, bool), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| "must be a URL such as redis://localhost:6379".to_owned())?;
    if rest.contains('@') {
        return Err("must not carry a password: use username and password_file".to_owned());
    }
    let (tls, kind) = match scheme.strip_prefix("rediss") {
        Some(kind) => (true, kind),
        None => (false, scheme.strip_prefix("redis").unwrap_or("?")),
    };
    if !matches!(kind, "" | "-cluster" | "-sentinel") {
        return Err(format!(
            "must start with redis://, redis-cluster:// or redis-sentinel:// (rediss for TLS), not {scheme}://"
        ));
    }
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
    let server = match (kind, hosts.as_slice()) {
        ("", [(name, port)]) if path.is_empty() => ServerConfig::new_centralized(name.as_str(), *port),
        ("", _) => return Err("must be redis://host:port, with one host and no path".to_owned()),
        ("-cluster", _) => ServerConfig::new_clustered(hosts),
        (_, _) if !path.is_empty() => ServerConfig::new_sentinel(hosts, path),
        (_, _) => return Err("must be redis-sentinel://host:port,host:port/service".to_owned()),
    };
    Ok((server, tls))
}

fn host(text: &str) -> Result<(String, u16), String> {
    let (name, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("must name host:port, not `{text}`"))?;
    let port = port
        .parse()
        .map_err(|_| format!("must name a port, not `{port}`"))?;
    if name.is_empty() {
        Err(format!("must name host:port, not `{text}`"))
    } else {
        Ok((name.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_problems() {
        assert_eq!(StoreConfig::default().problems(), []);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = StoreConfig {
            url: "redis://a:b@c:1".into(),
            slots: 257,
            connections: 0,
            prefix: "{x}".into(),
            ..StoreConfig::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["slots", "prefix", "connections", "url"]);
    }

    #[test]
    fn urls_name_single_servers_clusters_and_sentinels() {
        assert!(server("redis://h:1").unwrap().0.is_centralized());
        assert!(server("redis-cluster://h:1,h:2").unwrap().0.is_clustered());
        let (sentinel, tls) = server("rediss-sentinel://h:1,h:2/main").unwrap();
        assert!(sentinel.is_sentinel() && tls);
        for wrong in [
            "h:1",
            "http://h:1",
            "redis://h",
            "redis://h:x",
            "redis://a:1,b:2",
            "redis-sentinel://h:1",
        ] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<StoreConfig>(r#"{"slots": 8}"#).is_ok());
        assert!(serde_json::from_str::<StoreConfig>(r#"{"slotz": 8}"#).is_err());
    }
}
