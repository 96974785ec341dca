//! Doing to the parts of a run what the plan says, and undoing it. Every fault is written down before it is done and
//! when it is over. A process that dies without a fault holding it down is started again, as a supervisor would.

mod acts;
mod moments;
mod outside;

pub(super) use acts::missing;
use moments::moments;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::aof::Lengths;
use super::chronicle::Chronicle;
use super::fault::{Kind, Scope};
use super::intruders::Meeting;
use super::plan::Injection;
use super::proxy::{Flow, Link};
use super::rig::Rig;
use crate::progress::say;

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How often a process that dies at once is started again.
const REVIVE_EACH: Duration = Duration::from_millis(700);

/// How long one that was told to end may take, and one that dies at once may die again.
const LONGEST_END: Duration = Duration::from_secs(30);

/// The one who hurts.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) faults: Chronicle,
    /// Kept down by a fault.
    held: BTreeSet<String>,
    /// Started with an environment that is not its own.
    strange: BTreeSet<String>,
    /// Whose end a fault brought about.
    expected: BTreeSet<String>,
    /// Cannot stay up while a fault lasts, however often it is started.
    doomed: BTreeSet<String>,
    revived: BTreeMap<String, Instant>,
    /// The services that a rolling restart has still before it, and when the next one is due.
    rolling: Vec<String>,
    roll_at: Option<Instant>,
    rolled: Option<String>,
    /// Sweepers under way.
    background: JoinSet<()>,
    /// Strangers under way.
    strangers: JoinSet<Vec<Meeting>>,
    /// How long Redis' append-only file was lately, where it is to be cut.
    lengths: Option<Lengths>,
    /// How many partitions topics have got by now, by topic.
    grown: BTreeMap<String, u64>,
    seed: u64,
    /// How often a process ended that no fault had ended.
    pub(super) crashes: u64,
    /// How often a process was started again, by name.
    pub(super) restarts: BTreeMap<String, u64>,
    /// What strangers saw.
    pub(super) meetings: Vec<Meeting>,
}

impl Injector {
    /// One who has done nothing yet.
    pub(super) fn new(faults: Chronicle, seed: u64) -> Self {
        Self {
            faults,
            held: BTreeSet::new(),
            strange: BTreeSet::new(),
            expected: BTreeSet::new(),
            doomed: BTreeSet::new(),
            revived: BTreeMap::new(),
            rolling: Vec::new(),
            roll_at: None,
            rolled: None,
            background: JoinSet::new(),
            strangers: JoinSet::new(),
            lengths: None,
            grown: BTreeMap::new(),
            seed,
            crashes: 0,
            restarts: BTreeMap::new(),
            meetings: Vec::new(),
        }
    }

    /// Follows the plan until `duration` is over.
    pub(super) async fn follow(
        &mut self,
        rig: &mut Rig,
        plan: &[Injection],
        duration: Duration,
    ) -> Result<()> {
        let begun = Instant::now();
        if plan.iter().any(|one| one.kind == Kind::AofTruncation) {
            self.lengths = Some(Lengths::watch(rig.aof()));
        }
        for moment in moments(plan) {
            self.watch_until(rig, begun + Duration::from_millis(moment.at_ms))
                .await?;
            let injection = moment.injection;
            let (kind, target) = (injection.kind.name(), &injection.target);
            if moment.begins {
                say(format!(
                    "{:>6.1} s  {kind} {target} {}",
                    begun.elapsed().as_secs_f64(),
                    injection.detail
                ));
                self.begin(rig, injection)
                    .await
                    .with_context(|| format!("injecting {kind} into {target}"))?;
            } else {
                self.end(rig, injection)
                    .await
                    .with_context(|| format!("healing {kind} of {target}"))?;
            }
        }
        self.watch_until(rig, begun + duration).await
    }

    /// Heals everything, whatever the plan says.
    pub(super) async fn heal_all(&mut self, rig: &mut Rig) -> Result<()> {
        for link in rig.links.values() {
            link.heal();
        }
        self.rolling.clear();
        let told_to_end = self.rolled.clone();
        self.finish_roll()?;
        acts::give_room(rig).await?;
        for name in rig.specs.keys() {
            // One that is not there needs no waking.
            let _absent = rig.supervisor.signal(name, Signal::SIGCONT);
        }
        self.held.clear();
        for name in std::mem::take(&mut self.strange) {
            self.expected.insert(name.clone());
            rig.supervisor.kill9(&name).await?;
        }
        self.revive_all(rig, told_to_end).await?;
        while self.background.join_next().await.is_some() {}
        self.meet_all().await?;
        self.faults.note("healed_all", json!({}))
    }

    /// Waits and keeps the processes up meanwhile.
    pub(super) async fn watch_until(&mut self, rig: &mut Rig, until: Instant) -> Result<()> {
        loop {
            self.revive(rig).await?;
            self.roll(rig)?;
            sleep_until(until.min(Instant::now() + LOOK)).await;
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Starts what has ended until all are up. Who was told to end and has not yet is waited for: after a last look it
    /// would be gone.
    async fn revive_all(&mut self, rig: &mut Rig, told_to_end: Option<String>) -> Result<()> {
        let deadline = Instant::now() + LONGEST_END;
        loop {
            self.revive(rig).await?;
            let mut down: Vec<&String> = told_to_end
                .iter()
                .filter(|n| self.expected.contains(*n))
                .collect();
            for name in rig.specs.keys() {
                if rig.supervisor.status_one(name)?.exited.is_some() {
                    down.push(name);
                }
            }
            if down.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("after the heal these do not end, or do not stay up: {down:?}");
            }
            sleep_until(Instant::now() + LOOK).await;
        }
    }

    /// Starts what has ended and is not held down.
    async fn revive(&mut self, rig: &mut Rig) -> Result<()> {
        for name in rig.specs.keys().cloned().collect::<Vec<_>>() {
            let ended = rig.supervisor.status_one(&name)?.exited.is_some();
            let lately = self
                .revived
                .get(&name)
                .is_some_and(|at| at.elapsed() < REVIVE_EACH);
            if !ended || lately || self.held.contains(&name) {
                continue;
            }
            self.revived.insert(name.clone(), Instant::now());
            self.strange.remove(&name);
            if !self.expected.remove(&name) && !self.doomed.contains(&name) {
                self.crashes += 1;
                say(format!(
                    "{name} ended though no fault had ended it; it is started again"
                ));
            }
            let spec = rig
                .specs
                .get(&name)
                .cloned()
                .context("a process without a specification")?;
            rig.supervisor.start(spec).await?;
            *self.restarts.entry(name).or_default() += 1;
        }
        Ok(())
    }

    /// The next service of a rolling restart, if it is due. Its end brings it back.
    fn roll(&mut self, rig: &Rig) -> Result<()> {
        if self.roll_at.is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        self.finish_roll()?;
        let Some(name) = self.rolling.pop() else {
            self.roll_at = None;
            return Ok(());
        };
        self.note_begin("rolling-restart", &name, &Value::Null)?;
        self.expected.insert(name.clone());
        rig.supervisor.signal(&name, Signal::SIGTERM)?;
        self.rolled = Some(name);
        self.roll_at = Some(Instant::now() + acts::ROLL_EACH);
        Ok(())
    }

    fn finish_roll(&mut self) -> Result<()> {
        match self.rolled.take() {
            Some(name) => self.note_end("rolling-restart", &name),
            None => Ok(()),
        }
    }

    async fn begin(&mut self, rig: &mut Rig, injection: &Injection) -> Result<()> {
        let (kind, target) = (injection.kind, injection.target.as_str());
        // These write down what they hit by themselves.
        match kind {
            Kind::Poison => return self.poison(rig).await,
            Kind::GrowPartitions => return self.grow(rig, injection).await,
            Kind::RollingRestart => {
                self.plan_roll(rig);
                return Ok(());
            }
            _ => self.note_begin(&kind.name(), target, &json!(injection.detail))?,
        }
        match kind.scope() {
            Scope::Link | Scope::ChargerLink => hurt_link(rig, injection),
            Scope::Redis if matches!(kind, Kind::RedisFull | Kind::RedisOom) => {
                self.starve(rig, kind, target).await
            }
            _ => self.hurt(rig, injection).await,
        }
    }

    /// What is done to processes.
    async fn hurt(&mut self, rig: &mut Rig, injection: &Injection) -> Result<()> {
        let target = injection.target.as_str();
        match injection.kind {
            Kind::EdgePause
            | Kind::RouterPause
            | Kind::RedisPause
            | Kind::KafkaPause
            | Kind::SlowChargers => rig.supervisor.signal(target, Signal::SIGSTOP)?,
            Kind::EdgeCrash | Kind::RouterCrash | Kind::ClockSkew => {
                self.start_strange(rig, injection).await?;
            }
            Kind::Storm => rig
                .links
                .values()
                .filter(|link| link.name().starts_with("chargers/"))
                .for_each(Link::reset),
            Kind::Twins => super::chargers::start_twins(rig, self.seed).await?,
            Kind::Sweepers => self.sweep_twice(rig).await,
            Kind::OversizedFrames | Kind::Slowloris => self.send_strangers(rig, injection.kind),
            Kind::AofTruncation => self.cut_redis(rig, injection).await?,
            _ => {
                self.held.insert(target.to_owned());
                self.expected.insert(target.to_owned());
                rig.supervisor.kill9(target).await?;
            }
        }
        Ok(())
    }

    /// What is taken from Redis.
    async fn starve(&mut self, rig: &Rig, kind: Kind, target: &str) -> Result<()> {
        if kind == Kind::RedisOom {
            return acts::limit_memory(rig).await;
        }
        // It ends by itself, rather than go on with less than it promised.
        self.doomed.insert(target.to_owned());
        acts::fill_disk(rig)
    }

    async fn end(&mut self, rig: &mut Rig, injection: &Injection) -> Result<()> {
        let (kind, target) = (injection.kind, injection.target.as_str());
        match kind {
            Kind::EdgeKill | Kind::RouterKill | Kind::RedisKill | Kind::KafkaKill | Kind::AofTruncation => {
                self.held.remove(target);
                self.revive(rig).await?;
            }
            Kind::EdgePause
            | Kind::RouterPause
            | Kind::RedisPause
            | Kind::KafkaPause
            | Kind::SlowChargers => {
                rig.supervisor.signal(target, Signal::SIGCONT)?;
            }
            Kind::EdgeCrash | Kind::RouterCrash | Kind::ClockSkew => self.end_strange(rig, target).await?,
            Kind::RedisFull | Kind::RedisOom => {
                acts::give_room(rig).await?;
                // The last start may still find the disk as it was.
                if self.doomed.remove(target) {
                    self.expected.insert(target.to_owned());
                }
            }
            Kind::Cut | Kind::Stall | Kind::OneWay | Kind::Delay | Kind::HalfOpen => {
                link_of(rig, target)?.heal();
            }
            Kind::Twins => super::chargers::stop_twins(rig).await?,
            Kind::Poison | Kind::RollingRestart | Kind::GrowPartitions => return Ok(()),
            Kind::Storm | Kind::Sweepers | Kind::OversizedFrames | Kind::Slowloris => {}
        }
        self.note_end(&kind.name(), target)
    }

    fn note_begin(&self, kind: &str, target: &str, detail: &Value) -> Result<()> {
        self.faults.note(
            "inject",
            json!({ "kind": kind, "target": target, "detail": detail }),
        )
    }

    fn note_end(&self, kind: &str, target: &str) -> Result<()> {
        self.faults
            .note("heal", json!({ "kind": kind, "target": target }))
    }
}

fn hurt_link(rig: &Rig, injection: &Injection) -> Result<()> {
    let link = link_of(rig, &injection.target)?;
    let number = injection.detail.parse().unwrap_or(100);
    match injection.kind {
        Kind::Cut => link.cut(),
        Kind::OneWay if injection.detail == "up" => link.set(Flow::Hold, Flow::Pass),
        Kind::OneWay => link.set(Flow::Pass, Flow::Hold),
        Kind::Delay => link.set(Flow::Delay(number), Flow::Delay(number)),
        // 0 would mean that nothing is half-open.
        Kind::HalfOpen => link.half_open(number + 1),
        _ => link.set(Flow::Hold, Flow::Hold),
    }
    Ok(())
}

fn link_of<'a>(rig: &'a Rig, name: &str) -> Result<&'a Link> {
    let link = rig.links.get(name);
    link.with_context(|| format!("there is no link {name}"))
}
