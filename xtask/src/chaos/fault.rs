//! The kinds of faults: their names, what they may hit and how long they last. Left out: how each is done (`inject`).

use clap::ValueEnum;
use serde::Serialize;

/// A kind of fault, a row or half a row of the reliability page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SIGKILL of an edge, which stays away for a while.
    EdgeKill,
    /// An edge dies at a place in its code.
    EdgeCrash,
    /// An edge is stopped for longer than its lease.
    EdgePause,
    /// SIGKILL of a router.
    RouterKill,
    /// A router dies at a place in its code.
    RouterCrash,
    /// A router is stopped for longer than its claims last.
    RouterPause,
    /// SIGKILL of Redis.
    RedisKill,
    /// Redis is stopped: everything stalls at once.
    RedisPause,
    /// Redis' disk is full.
    RedisFull,
    /// Redis is out of memory.
    RedisOom,
    /// SIGKILL of a broker.
    KafkaKill,
    /// A broker is stopped.
    KafkaPause,
    /// A link is cut: its connections are reset and new ones are refused.
    Cut,
    /// Nothing passes over a link, and nobody is told.
    Stall,
    /// The same in one direction.
    OneWay,
    /// A link is slow.
    Delay,
    /// A third of an edge's chargers are gone, or it is gone for them, and the other side is not told.
    HalfOpen,
    /// All chargers of all edges are thrown out at once.
    Storm,
    /// Records that nobody can read, on shard topics.
    Poison,
    /// Chargers that are slow or silent.
    SlowChargers,
    /// Chargers that claim the identities of others.
    Twins,
    /// Every service is restarted in turn by SIGTERM.
    RollingRestart,
    /// A process comes up with a clock two minutes off.
    ClockSkew,
    /// Two sweepers mend at once.
    Sweepers,
    /// A topic gets more partitions while it is used.
    GrowPartitions,
    /// Chargers that send more than is allowed, no JSON, or no UTF-8.
    OversizedFrames,
    /// Connections that never finish their handshake.
    Slowloris,
    /// SIGKILL of Redis, and the end of its append-only file is gone.
    AofTruncation,
}

/// What a kind may hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One edge.
    Edge,
    /// One router.
    Router,
    /// One service of either kind.
    Service,
    /// Redis.
    Redis,
    /// One broker.
    Kafka,
    /// One link.
    Link,
    /// The chargers' link of one edge.
    ChargerLink,
    /// All of it.
    Everything,
    /// Nothing that another fault could be in the way of.
    Aside,
}

impl Kind {
    /// The name in plans, histories and on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it may hit.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::EdgeKill | Self::EdgeCrash | Self::EdgePause => Scope::Edge,
            Self::RouterKill | Self::RouterCrash | Self::RouterPause => Scope::Router,
            Self::RedisKill | Self::RedisPause | Self::RedisFull | Self::RedisOom | Self::AofTruncation => {
                Scope::Redis
            }
            Self::KafkaKill | Self::KafkaPause => Scope::Kafka,
            Self::Cut | Self::Stall | Self::OneWay | Self::Delay => Scope::Link,
            Self::HalfOpen => Scope::ChargerLink,
            Self::ClockSkew => Scope::Service,
            Self::RollingRestart => Scope::Everything,
            Self::Storm
            | Self::Poison
            | Self::SlowChargers
            | Self::Twins
            | Self::Sweepers
            | Self::GrowPartitions
            | Self::OversizedFrames
            | Self::Slowloris => Scope::Aside,
        }
    }

    /// How long it lasts at least and at most, in milliseconds. The pauses outlast the leases that they are about:
    /// 10 s of a pod, 6 s of a claim.
    #[must_use]
    pub fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::EdgePause => (11_000, 15_000),
            Self::RouterPause => (6_500, 10_000),
            Self::EdgeKill | Self::RouterKill | Self::RedisOom | Self::RedisFull => (1_500, 6_000),
            Self::RedisKill | Self::KafkaKill | Self::AofTruncation => (500, 4_000),
            Self::RedisPause => (2_500, 12_000),
            Self::KafkaPause | Self::Stall | Self::OneWay | Self::HalfOpen => (3_000, 13_000),
            Self::RouterCrash => (3_000, 6_000),
            // A restarted edge needs a while until chargers lead it to its point.
            Self::EdgeCrash => (6_000, 10_000),
            Self::Cut | Self::Delay => (2_000, 10_000),
            Self::Storm
            | Self::Poison
            | Self::Sweepers
            | Self::GrowPartitions
            | Self::OversizedFrames
            | Self::Slowloris => (0, 0),
            Self::SlowChargers | Self::Twins => (4_000, 8_000),
            Self::RollingRestart => (25_000, 30_000),
            Self::ClockSkew => (8_000, 14_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let mut names: Vec<String> = Kind::value_variants().iter().map(|kind| kind.name()).collect();
        assert!(names.contains(&"redis-full".to_owned()) && names.iter().all(|name| !name.is_empty()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::value_variants().len());
    }
}
