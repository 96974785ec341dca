//! The scripts: their texts, and the set rendered for one life of one Redis server.

use std::collections::HashMap;
use std::sync::Arc;

use fred::util::sha1_hash;

/// One script as it lies in `lua/`; its file is named after it and its number of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Script {
    /// Its name, also the operation's in errors and metrics.
    pub(crate) name: &'static str,
    /// Its text, without the prelude.
    pub(crate) text: &'static str,
    /// A reply must not be seen before it is durable.
    pub(crate) barrier: bool,
}

macro_rules! scripts {
    ($($constant:ident = $name:literal, $barrier:literal;)*) => {
        $(pub(crate) const $constant: Script = Script {
            name: $name,
            text: include_str!(concat!("lua/", $name, "-1.lua")),
            barrier: $barrier,
        };)*
        /// Every script.
        #[cfg(test)]
        pub(crate) const ALL: &[Script] = &[$($constant),*];
    };
}

// Not behind the barrier: what may be lost without harm. Whatever claims is behind it, because a record leaves
// only after its command's acceptance passed the barrier, and the claim may be the first to know of that.
scripts! {
    ACCEPT = "acceptCommand", true;
    REGISTER = "registerConnection", true;
    RENEW = "renewConnections", true;
    UNREGISTER = "unregisterConnection", false;
    APPLY = "applyEvents", true;
    RUN_DUE = "runDue", true;
    DRAIN = "drainOutbox", true;
    TRIM = "trimOutbox", false;
    CONFIRM_NOTE = "confirmNote", false;
    GET_COMMAND = "getCommand", true;
    LIST_COMMANDS = "listCommands", true;
    REPLAY_COMMAND = "replayCommand", true;
    GET_DEAD_LETTER = "getDeadLetter", true;
    LIST_DEAD_LETTERS = "listDeadLetters", true;
    PURGE_DEAD_LETTERS = "purgeDeadLetters", true;
    GET_CONNECTION = "getConnection", false;
    LIST_CONNECTIONS = "listConnections", false;
    COUNT_SLOT = "countSlot", false;
    LINK_POD = "linkPod", false;
    TAKE_INCARNATION = "takeIncarnation", true;
    RENEW_LEASE = "renewLease", false;
    MARK_POD = "markPod", false;
    GET_LEASE = "getLease", false;
    LIST_LEASES = "listLeases", false;
    FORGET_LEASE = "forgetLease", false;
    AUDIT_CHARGER = "auditCharger", false;
    AUDIT_TIMERS = "auditTimers", false;
    LIST_CHARGERS = "listChargers", false;
    DUMP_SLOT = "dumpSlot", false;
}

/// A script ready to be called.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The whole text.
    pub(crate) text: String,
    /// Its SHA-1, hexadecimal.
    pub(crate) sha: String,
}

/// Scripts rendered for one life of a Redis server. The life is part of every text and therefore of every
/// hash: after a restart or a failover no script runs that was prepared before it, so none runs with the
/// epoch of the former life.
#[derive(Debug)]
pub(crate) struct Life {
    /// The epoch.
    pub(crate) epoch: String,
    prelude: Arc<str>,
    rendered: std::sync::RwLock<HashMap<&'static str, Arc<Rendered>>>,
}

impl Life {
    pub(crate) fn new(epoch: String, prelude: Arc<str>) -> Self {
        Self {
            epoch,
            prelude,
            rendered: std::sync::RwLock::default(),
        }
    }

    /// The script for this life, rendered at its first use.
    pub(crate) fn script(&self, script: Script) -> Arc<Rendered> {
        if let Some(found) = self.read().get(script.name) {
            return Arc::clone(found);
        }
        let text = format!(
            "-- {} in {}\n{}\n{}",
            script.name, self.epoch, self.prelude, script.text
        );
        let sha = sha1_hash(&text);
        let rendered = Arc::new(Rendered { text, sha });
        self.rendered
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(script.name, Arc::clone(&rendered));
        rendered
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<&'static str, Arc<Rendered>>> {
        self.rendered
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_says_what_it_takes_and_returns() {
        for script in ALL {
            for part in ["-- KEYS", "-- ARGV", "-- Output"] {
                assert!(
                    script.text.lines().any(|l| l.starts_with(part)),
                    "{}: no {part}",
                    script.name
                );
            }
        }
    }

    #[test]
    fn another_life_has_other_hashes() {
        let (a, b) = (Life::new("a".into(), "".into()), Life::new("b".into(), "".into()));
        assert_ne!(a.script(ACCEPT).sha, b.script(ACCEPT).sha);
        assert_eq!(
            a.script(ACCEPT).sha,
            Life::new("a".into(), "".into()).script(ACCEPT).sha
        );
    }
}
