//! What happens when: faults drawn by seed. Left out: doing it (`inject`) and what else the seed decides (`load`).
//!
//! Every kind comes up once before any comes up again, in an order that the seed shuffles, so that a few runs show
//! all of them. Up to three faults overlap, but never two on the same part.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::dice::Dice;
use super::fault::{Kind, Scope};

/// The plan begins and ends with some calm, in milliseconds.
const CALM_BEFORE: u64 = 2_000;
const CALM_AFTER: u64 = 1_000;

/// The pause between the beginnings of two faults, in milliseconds.
const GAP: (u64, u64) = (1_200, 4_500);

/// How many faults may be active at a time.
const AT_A_TIME: usize = 3;

/// How often a fault that fits nowhere is drawn anew.
const TRIES: usize = 40;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Injection {
    /// When it begins, from the beginning of the run.
    pub at_ms: u64,
    /// How long it lasts.
    pub lasts_ms: u64,
    /// What.
    pub kind: Kind,
    /// To whom: a process, a link, or `all`.
    pub target: String,
    /// How much, or which way; empty for most.
    pub detail: String,
}

/// What there is to hit.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// The edges' names.
    pub edges: Vec<String>,
    /// The routers' names.
    pub routers: Vec<String>,
    /// The brokers' names.
    pub brokers: Vec<String>,
    /// The links' names.
    pub links: Vec<String>,
}

/// The faults of a run, in the order of their beginnings.
#[must_use]
pub fn draw(seed: u64, duration: Duration, kinds: &[Kind], targets: &Targets) -> Vec<Injection> {
    let mut artist = Artist {
        dice: Dice::new(seed).fork(1),
        kinds: kinds.to_vec(),
        deck: Vec::new(),
        targets,
        end_ms: u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_sub(CALM_AFTER),
        plan: Vec::new(),
    };
    artist.draw();
    artist.plan
}

struct Artist<'a> {
    dice: Dice,
    kinds: Vec<Kind>,
    deck: Vec<Kind>,
    targets: &'a Targets,
    end_ms: u64,
    plan: Vec<Injection>,
}

impl Artist<'_> {
    fn draw(&mut self) {
        let mut at_ms = CALM_BEFORE;
        while at_ms < self.end_ms && !self.kinds.is_empty() {
            let drawn = (0..TRIES).find_map(|_| self.try_draw(at_ms));
            self.plan.extend(drawn);
            at_ms += self.dice.between(GAP.0, GAP.1);
        }
    }

    /// One fault that begins at a time; a kind that does not fit there goes back under the deck.
    fn try_draw(&mut self, at_ms: u64) -> Option<Injection> {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
            self.dice.shuffle(&mut self.deck);
        }
        let kind = self.deck.pop()?;
        let (least, most) = kind.lasts_ms();
        let lasts_ms = self.dice.between(least, most);
        let target = self.target(kind);
        let injection = target.map(|target| Injection {
            at_ms,
            lasts_ms,
            kind,
            detail: self.detail(kind),
            target,
        });
        let fitting = injection.filter(|one| self.fits(one));
        if fitting.is_none() {
            self.deck.insert(0, kind);
        }
        fitting
    }

    fn target(&mut self, kind: Kind) -> Option<String> {
        let targets = self.targets;
        let services: Vec<String> = targets.edges.iter().chain(&targets.routers).cloned().collect();
        let chargers: Vec<String> = targets
            .links
            .iter()
            .filter(|link| link.starts_with("chargers/"))
            .cloned()
            .collect();
        let from = match kind.scope() {
            Scope::Edge => &targets.edges,
            Scope::Router => &targets.routers,
            Scope::Service => &services,
            Scope::Kafka => &targets.brokers,
            Scope::Link => &targets.links,
            Scope::ChargerLink => &chargers,
            Scope::Redis => return Some("redis".to_owned()),
            Scope::Everything | Scope::Aside => {
                let target = match kind {
                    Kind::SlowChargers => "chargers-slow",
                    Kind::Twins => "chargers-twin",
                    _ => "all",
                };
                return Some(target.to_owned());
            }
        };
        self.dice.pick(from).cloned()
    }

    fn detail(&mut self, kind: Kind) -> String {
        let dice = &mut self.dice;
        match kind {
            Kind::Delay => dice.between(20, 400).to_string(),
            Kind::OneWay => (if dice.percent(50) { "up" } else { "down" }).to_owned(),
            Kind::ClockSkew => (if dice.percent(50) { "+120" } else { "-120" }).to_owned(),
            Kind::RouterCrash | Kind::EdgeCrash | Kind::HalfOpen | Kind::GrowPartitions => {
                dice.between(0, 999).to_string()
            }
            // How much of its end is gone, in milliseconds of writing.
            Kind::AofTruncation => dice.between(100, 2_000).to_string(),
            _ => String::new(),
        }
    }

    /// Whether nothing that is active then is in the way, and it is over in time.
    fn fits(&self, one: &Injection) -> bool {
        let active: Vec<&Injection> = self
            .plan
            .iter()
            .filter(|other| other.at_ms + other.lasts_ms > one.at_ms)
            .collect();
        one.at_ms + one.lasts_ms <= self.end_ms
            && active.len() < AT_A_TIME
            && !active.iter().any(|other| collide(one, other))
    }
}

/// Whether two faults are about the same part, or one is about all parts.
fn collide(one: &Injection, other: &Injection) -> bool {
    let is_about_parts = |injection: &Injection| injection.kind.scope() != Scope::Aside;
    let all = [one, other]
        .iter()
        .any(|injection| injection.kind.scope() == Scope::Everything);
    let same_kind_aside = one.kind == other.kind && one.kind.scope() == Scope::Aside;
    same_kind_aside || (is_about_parts(one) && is_about_parts(other) && (all || one.target == other.target))
}

/// The kinds that a plan has.
#[must_use]
pub fn kinds_of(plan: &[Injection]) -> BTreeSet<Kind> {
    plan.iter().map(|injection| injection.kind).collect()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn targets() -> Targets {
        let name = |stem: &str, count: u32| (1..=count).map(|n| format!("{stem}-{n}")).collect();
        Targets {
            edges: name("edge", 3),
            routers: name("router", 2),
            brokers: vec!["kafka-1".to_owned()],
            links: vec![
                "chargers/edge-1".to_owned(),
                "router-1/redis".to_owned(),
                "edge-2/kafka".to_owned(),
            ],
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_plan_and_another_draws_another() {
        let draw = |seed| draw(seed, Duration::from_secs(120), Kind::value_variants(), &targets());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).len() > 10, "{}", draw(1).len());
    }

    #[test]
    fn faults_on_the_same_part_never_overlap_and_all_are_over_in_time() {
        for seed in 0..200 {
            let plan = draw(seed, Duration::from_secs(120), Kind::value_variants(), &targets());
            for (at, one) in plan.iter().enumerate() {
                assert!(one.at_ms + one.lasts_ms <= 120_000);
                let later = plan[at + 1..]
                    .iter()
                    .filter(|other| other.at_ms < one.at_ms + one.lasts_ms);
                for other in later {
                    assert!(!collide(one, other), "seed {seed}: {one:?} and {other:?}");
                }
            }
        }
    }

    #[test]
    fn a_handful_of_seeds_draws_every_kind() {
        let mut seen = BTreeSet::new();
        for seed in 0..8 {
            let plan = draw(seed, Duration::from_secs(120), Kind::value_variants(), &targets());
            seen.extend(kinds_of(&plan));
        }
        assert_eq!(seen.len(), Kind::value_variants().len(), "{seen:?}");
    }

    #[test]
    fn a_kind_that_has_nothing_to_hit_is_left_out() {
        let none = Targets {
            brokers: Vec::new(),
            ..targets()
        };
        let plan = draw(
            3,
            Duration::from_secs(60),
            &[Kind::KafkaKill, Kind::EdgeKill],
            &none,
        );
        assert_eq!(kinds_of(&plan), BTreeSet::from([Kind::EdgeKill]));
    }
}
