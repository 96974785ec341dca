//! The scripts: their texts, and the set rendered for one life of one Redis server.

use std::collections::{HashMap, HashSet};
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
    LOOK_AT_SLOTS = "lookAtSlots", false;
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
        let whole = with_prelude(&self.prelude, script.text);
        let text = format!("-- {} in {}\n{whole}", script.name, self.epoch);
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

/// A script behind what it needs of the prelude, with numbers where their names stood: a function that names a local
/// of the script looks for it whenever it is made.
fn with_prelude(prelude: &str, script: &str) -> String {
    let pieces = pieces(prelude);
    let numbers: HashMap<&str, &str> = pieces.iter().filter_map(Piece::number).collect();
    let named = needed(&pieces, script) + script;
    let (mut text, mut rest) = (String::with_capacity(named.len()), named.as_str());
    while let Some(start) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(start);
        let (name, behind) = from.split_at(from.find(|c| !is_of_name(c)).unwrap_or(from.len()));
        text.push_str(before);
        text.push_str(numbers.get(name).copied().unwrap_or(name));
        rest = behind;
    }
    text + rest
}

/// What a script needs of the prelude: the definitions that it names, those that these name in turn, and what defines
/// nothing. Redis runs the whole text at every call, and making a function that is not called costs as much as
/// many a small script does.
fn needed(pieces: &[Piece<'_>], script: &str) -> String {
    let mut kept = vec![false; pieces.len()];
    let mut unread = vec![script];
    while let Some(text) = unread.pop() {
        let names: HashSet<&str> = words(text).collect();
        for (piece, kept) in pieces.iter().zip(&mut kept) {
            if !*kept && piece.name.is_none_or(|name| names.contains(name)) {
                *kept = true;
                unread.push(piece.text);
            }
        }
    }
    let kept = pieces.iter().zip(kept).filter(|(_, kept)| *kept);
    kept.filter(|(piece, _)| piece.number().is_none())
        .map(|(piece, _)| piece.text)
        .collect()
}

/// A part of the prelude that is taken or left out as a whole: one definition, or a statement that defines nothing.
struct Piece<'a> {
    name: Option<&'a str>,
    text: &'a str,
}

impl<'a> Piece<'a> {
    /// The name and the digits, if this defines a number that never changes.
    fn number(&self) -> Option<(&'a str, &'a str)> {
        let (name, value) = self.text.strip_prefix("local ")?.trim_end().split_once(" = ")?;
        let constant = name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        (constant && digits).then_some((name, value))
    }
}

/// Every piece begins at the left margin; comments between pieces are none.
fn pieces(prelude: &str) -> Vec<Piece<'_>> {
    let begins = |line: &str| ["local ", "if ", "--"].iter().any(|s| line.starts_with(s));
    let (mut pieces, mut rest) = (Vec::new(), prelude);
    while !rest.is_empty() {
        let mut end = rest.find('\n').map_or(rest.len(), |i| i + 1);
        while end < rest.len() && !begins(&rest[end..]) {
            end += rest[end..].find('\n').map_or(rest.len() - end, |i| i + 1);
        }
        let (text, behind) = rest.split_at(end);
        rest = behind;
        if begins(text) && !text.starts_with("--") {
            pieces.push(Piece {
                name: name(text),
                text,
            });
        }
    }
    pieces
}

fn name(text: &str) -> Option<&str> {
    let defined = text.strip_prefix("local ")?;
    words(defined.strip_prefix("function ").unwrap_or(defined)).next()
}

/// The names outside of comments; what stands behind a single dot is a field.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter_map(|line| line.split("--").next());
    code.flat_map(|line| line.split(|c| !is_of_name(c) && c != '.'))
        .flat_map(|path| path.split(".."))
        .filter_map(|path| path.split('.').next())
        .filter(|word| !word.is_empty())
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use domain::settings::DeliverySettings;

    use super::*;
    use crate::render::{self, Clock};

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

    #[test]
    fn a_script_gets_what_it_uses_and_no_more() {
        let prelude = "-- About.\nlocal A = 1\nif A then\n  stop()\nend\n\n-- Why c.\nlocal function b()\n  \
                       return 2 -- c\nend\nlocal function c()\n  return b()\nend\n";
        let of = |script| with_prelude(prelude, script);
        let always = "if 1 then\n  stop()\nend\n\n";
        assert_eq!(of("return A_A"), format!("{always}return A_A"));
        assert_eq!(of("return x.b"), format!("{always}return x.b"));
        let b = "local function b()\n  return 2 -- c\nend\n";
        assert_eq!(of("return b() .. A"), format!("{always}{b}return b() .. 1"));
        let c = "local function c()\n  return b()\nend\n";
        assert_eq!(of("return 1 ..c()"), format!("{always}{b}{c}return 1 ..c()"));
    }

    /// What is named before its definition would be a global, which there is none of.
    #[test]
    fn the_prelude_names_nothing_before_it_is_defined() {
        let prelude = render::prelude(&DeliverySettings::default(), Clock::Redis);
        let all = pieces(&prelude);
        let mut ahead: HashSet<&str> = all.iter().filter_map(|p| p.name).collect();
        assert_eq!(ahead.len(), all.iter().filter(|p| p.name.is_some()).count());
        for piece in &all {
            if let Some(name) = piece.name {
                ahead.remove(name);
            }
            let early: Vec<&str> = words(piece.text).filter(|w| ahead.contains(w)).collect();
            assert!(early.is_empty(), "{early:?} in {}", piece.text);
        }
    }

    /// Draining and trimming are called as often as anything: what changes commands is not for them.
    #[test]
    fn what_touches_no_command_gets_nothing_of_commands() {
        let prelude = render::prelude(&DeliverySettings::default(), Clock::Redis);
        for script in [DRAIN, TRIM, CONFIRM_NOTE, RENEW_LEASE, GET_LEASE] {
            let text = with_prelude(&prelude, script.text);
            for name in ["blank_command", "decide", "ROWS", "claim_lanes", "accept"] {
                assert!(!words(&text).any(|w| w == name), "{}: {name}", script.name);
            }
        }
    }
}
