//! Whether Redis is configured so that it can keep what the durability setting promises. The barrier itself
//! is in the client: under `fsync` it is the flush before every reply, under `replicated` a `WAIT` behind
//! every script that asks for it.

use std::collections::{BTreeMap, BTreeSet};

use fred::interfaces::ClientLike;

use crate::client::{Core, command, options};
use crate::config::Durability;
use crate::error::StoreError;
use crate::keys::Place;
use crate::metrics;

impl Core {
    /// Checks every server that holds a part of the store.
    pub(crate) async fn check_durability(&self) -> Result<(), StoreError> {
        metrics::durability(self.config.durability.name());
        if self.config.durability == Durability::Relaxed {
            tracing::warn!(
                "durability is relaxed: a crash of Redis may lose up to about two seconds, with accepted commands \
                 forgotten, unsafe actions executed twice or after a published end, and ends that change"
            );
        }
        let mut asked = BTreeSet::new();
        for place in self.keys.places() {
            let (_, life) = self.refresh(place).await?;
            if asked.insert(life.epoch.clone()) {
                self.check_server(place).await?;
            }
        }
        Ok(())
    }

    async fn check_server(&self, place: Place) -> Result<(), StoreError> {
        let client = self.client(place, "checkDurability")?.with_options(&options());
        let args = [
            "GET",
            "appendonly",
            "appendfsync",
            "maxmemory-policy",
            "min-replicas-to-write",
        ];
        let found: Result<BTreeMap<String, String>, _> =
            client.custom(command("CONFIG"), args.to_vec()).await;
        let found = match found {
            Ok(found) => found,
            Err(error) if is_forbidden(error.details()) => {
                tracing::warn!(%error, "CONFIG GET is forbidden: Redis's durability cannot be checked");
                return Ok(());
            }
            Err(error) => return Err(StoreError::from_redis("checkDurability", error)),
        };
        let durability = self.config.durability;
        match problem(durability, &found) {
            None => Ok(()),
            Some(problem) => Err(StoreError::Durability {
                durability: durability.name(),
                problem,
            }),
        }
    }
}

fn is_forbidden(text: &str) -> bool {
    text.starts_with("NOPERM") || text.contains("unknown command")
}

/// What contradicts the setting. An answer that lacks a parameter contradicts nothing.
fn problem(durability: Durability, found: &BTreeMap<String, String>) -> Option<String> {
    let not = |name: &str, wanted: &str| {
        let value = found.get(name).filter(|v| *v != wanted)?;
        Some(format!("{name} is {value}, must be {wanted}"))
    };
    let policy = not("maxmemory-policy", "noeviction");
    let own = match durability {
        Durability::Fsync => not("appendonly", "yes").or_else(|| not("appendfsync", "always")),
        Durability::Replicated => {
            let none = found.get("min-replicas-to-write").is_some_and(|n| n == "0");
            none.then(|| "min-replicas-to-write is 0, must be at least 1".to_owned())
        }
        Durability::Relaxed => None,
    };
    policy.or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn fsync_needs_an_append_only_file_that_is_flushed_always() {
        let good = found(&[
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ]);
        assert_eq!(problem(Durability::Fsync, &good), None);
        for wrong in [
            ("appendonly", "no"),
            ("appendfsync", "everysec"),
            ("maxmemory-policy", "allkeys-lru"),
        ] {
            let mut bad = good.clone();
            bad.extend(found(&[wrong]));
            assert!(problem(Durability::Fsync, &bad).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn replicated_needs_a_least_number_of_replicas() {
        assert!(problem(Durability::Replicated, &found(&[("min-replicas-to-write", "0")])).is_some());
        assert!(problem(Durability::Replicated, &found(&[("min-replicas-to-write", "1")])).is_none());
    }

    #[test]
    fn no_setting_allows_eviction() {
        let evicts = found(&[("maxmemory-policy", "volatile-ttl")]);
        for durability in [Durability::Fsync, Durability::Replicated, Durability::Relaxed] {
            assert!(problem(durability, &evicts).is_some());
        }
    }
}
