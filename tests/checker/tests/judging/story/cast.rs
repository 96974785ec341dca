//! Who stories are about: a charger's connection, commands, and the time.

/// Redis time minus the machine's clock.
const REDIS_US: u64 = 1_760_000_000_000_000;

/// The deadline of every command, unless it says otherwise.
const DEADLINE_MS: u64 = 60_000;

/// Where a charger is connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) cp: &'static str,
    pub(crate) edge: &'static str,
    pub(crate) socket: u64,
    pub(crate) version: u64,
}

/// A command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cmd {
    pub(crate) id: &'static str,
    pub(crate) is_unsafe: bool,
    pub(crate) priority: u8,
    pub(crate) deadline_ms: u64,
}

/// A safe command of normal priority.
pub(crate) const fn safe(id: &'static str) -> Cmd {
    Cmd {
        id,
        is_unsafe: false,
        priority: 1,
        deadline_ms: DEADLINE_MS,
    }
}

/// An unsafe one.
pub(crate) const fn risky(id: &'static str) -> Cmd {
    Cmd {
        is_unsafe: true,
        ..safe(id)
    }
}

/// The connection of charger `cp-1` that most stories use.
pub(crate) const LINK: Link = Link {
    cp: "cp-1",
    edge: "edge-1",
    socket: 1,
    version: 100,
};

/// A moment in Redis time.
pub(crate) const fn redis(ms: u64) -> u64 {
    REDIS_US + ms * 1_000
}
