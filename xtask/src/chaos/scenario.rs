//! Named runs whose faults are planned and not drawn: what a reader wants to see by name. The rig, the load, the
//! histories and the checker are those of every other run. Left out: what a run showed (`shown`).

use std::time::Duration;

use clap::ValueEnum;

use super::fault::Kind;
use super::inject;
use super::options::{Durability, Options};
use super::plan::{Injection, Targets};

/// The load runs undisturbed for so long before the first fault, in milliseconds.
const BEFORE: u64 = 5_000;

/// It goes on for so long after the last one, in milliseconds.
const AFTER: u64 = 8_000;

/// A fixed plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scenario {
    /// All brokers are killed and stay away, by default for five minutes.
    KafkaOutage,
    /// Redis is killed and started again, several times.
    RedisRestart,
    /// Redis' disk is full, several times; its supervisor starts it whenever it ends.
    RedisFull,
    /// Under `relaxed`, Redis is killed and loses the last two seconds of what it wrote, several times.
    RelaxedLoss,
    /// Routers and edges run with clocks that are two minutes off, both ways.
    ClockSkew,
}

impl Scenario {
    /// The name on the command line and on the page.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it does and what it is to show.
    #[must_use]
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::KafkaOutage => {
                "All brokers are killed by SIGKILL and come back after the outage. Commands are accepted or refused \
                 meanwhile, results wait in the outbox, and all of it drains by itself afterwards."
            }
            Self::RedisRestart => {
                "Redis is killed by SIGKILL under load and started again, several times, with every write on the disk \
                 before its answer (`fsync`): nothing that was accepted may be gone. This is what `relaxed-loss` does \
                 without a promise."
            }
            Self::RedisFull => {
                "Redis' disk is filled to the last byte, several times. Redis refuses or ends, its supervisor starts \
                 it again, and all goes on by itself once there is room."
            }
            Self::RelaxedLoss => {
                "With `relaxed`, Redis is killed and the last two seconds of its append-only file are cut off. What \
                 that setting says it may lose is counted here; what it must not lose is judged as ever. The promise of \
                 `replicated` is about failovers, which the integration tests with Sentinel and Cluster show."
            }
            Self::ClockSkew => {
                "A router and an edge run with clocks that are two minutes off, one ahead and one behind, then the \
                 other way round (libfaketime): deadlines are Redis', leases are monotonic."
            }
        }
    }

    /// Why it cannot be played here, if it cannot.
    pub(super) fn missing(self, has_real_broker: bool, durability: Durability) -> Option<&'static str> {
        inject::missing(self.kind(), has_real_broker, durability)
    }

    /// The settings of its run: `asked` is how long its faults last, if that was said.
    pub(super) fn options(self, base: &Options, asked: Option<Duration>) -> Options {
        let faults = asked.unwrap_or(Duration::from_secs(match self {
            Self::KafkaOutage => 300,
            _ => 60,
        }));
        Options {
            scenario: Some(self),
            duration: faults + Duration::from_millis(BEFORE + AFTER),
            durability: match self {
                Self::RelaxedLoss => Durability::Relaxed,
                _ => base.durability,
            },
            ..base.clone()
        }
    }

    /// How long the faults last in a run of so many seconds: what `--duration` has to say.
    pub(super) fn faults_s(whole_s: u64) -> u64 {
        whole_s.saturating_sub((BEFORE + AFTER) / 1_000)
    }

    /// The faults within a run of such a duration.
    pub(super) fn plan(self, duration: Duration, targets: &Targets) -> Vec<Injection> {
        let whole = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let span = whole.saturating_sub(BEFORE + AFTER);
        let one = |at_ms, lasts_ms, target: &str, detail: &str| Injection {
            at_ms: BEFORE + at_ms,
            lasts_ms,
            kind: self.kind(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        };
        match self {
            Self::KafkaOutage => {
                let brokers = targets.brokers.iter();
                brokers.map(|broker| one(0, span, broker, "")).collect()
            }
            Self::RedisRestart => every(span, 12_000, 3_000, |at, turn| {
                one(at, [500, 3_000, 1_500][turn % 3], "redis", "")
            }),
            Self::RedisFull => every(span, 18_000, 6_000, |at, turn| {
                one(at, [4_000, 6_000][turn % 2], "redis", "")
            }),
            Self::RelaxedLoss => every(span, 12_000, 1_500, |at, _| one(at, 1_500, "redis", "2000")),
            Self::ClockSkew => {
                let turn = |at, edge: usize, skew: &str, other: &str| {
                    let pair = [
                        (targets.edges.get(edge), skew),
                        (targets.routers.get(edge), other),
                    ];
                    let named = pair.into_iter().filter_map(|(name, skew)| Some((name?, skew)));
                    named
                        .map(|(name, skew)| one(at, (span / 2).saturating_sub(1_000), name, skew))
                        .collect::<Vec<_>>()
                };
                let mut plan = turn(0, 0, "+120", "-120");
                plan.extend(turn(span / 2, 1, "-120", "+120"));
                plan
            }
        }
    }

    /// What it does over and over.
    fn kind(self) -> Kind {
        match self {
            Self::KafkaOutage => Kind::KafkaKill,
            Self::RedisRestart => Kind::RedisKill,
            Self::RedisFull => Kind::RedisFull,
            Self::RelaxedLoss => Kind::AofTruncation,
            Self::ClockSkew => Kind::ClockSkew,
        }
    }
}

/// As many faults as fit, one each so many milliseconds; at least one.
fn every(span: u64, each: u64, longest: u64, build: impl Fn(u64, usize) -> Injection) -> Vec<Injection> {
    let count = span.saturating_sub(longest) / each + 1;
    (0..count)
        .zip(0..)
        .map(|(at, turn)| build(at * each, turn))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::rig;
    use super::*;

    fn plan(scenario: Scenario, seconds: u64) -> Vec<Injection> {
        let duration = Duration::from_secs(seconds) + Duration::from_millis(BEFORE + AFTER);
        scenario.plan(duration, &rig::targets(3))
    }

    #[test]
    fn an_outage_is_of_all_brokers_and_of_the_length_asked_for() {
        let plan = plan(Scenario::KafkaOutage, 300);
        assert_eq!(plan.len(), 3);
        assert!(
            plan.iter()
                .all(|one| one.lasts_ms == 300_000 && one.at_ms == BEFORE)
        );
    }

    #[test]
    fn every_scenario_has_faults_that_are_over_before_the_load_ends() {
        for scenario in Scenario::value_variants() {
            let plan = plan(*scenario, 60);
            assert!(!plan.is_empty() && !scenario.name().is_empty());
            for one in &plan {
                assert!(one.at_ms + one.lasts_ms <= BEFORE + 60_000, "{one:?}");
            }
        }
        assert_eq!(plan(Scenario::RedisRestart, 60).len(), 5);
        assert!(!plan(Scenario::ClockSkew, 1).is_empty());
    }

    #[test]
    fn both_ways_of_skew_hit_a_router_and_an_edge_each() {
        let skewed: Vec<(String, String)> = plan(Scenario::ClockSkew, 60)
            .into_iter()
            .map(|one| (one.target, one.detail))
            .collect();
        let expected = [
            ("edge-1", "+120"),
            ("router-1", "-120"),
            ("edge-2", "-120"),
            ("router-2", "+120"),
        ];
        assert_eq!(skewed, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
