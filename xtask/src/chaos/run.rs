//! One run, from the start of the parts to the last dump: load and faults for a while, then heal, drain, and read
//! everything a last time. Left out: what it means (`judge`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::chronicle::Chronicle;
use super::gauge::Outbox;
use super::inject::Injector;
use super::intruders::Meeting;
use super::load::{self, Ledger, Load};
use super::options::{Durability, Mode, Options, bounds};
use super::plan::Injection;
use super::rig::Rig;
use super::scenario::Scenario;
use super::topics::Readers;
use super::{audit, chargers, dump, versions};
use crate::parts::broker::BrokerKind;
use crate::progress::{human, say};
use crate::stack::binaries::Binaries;
use crate::stack::settings;

/// How long everything is watched after it has drained, to see that it stays so.
const STILL: Duration = Duration::from_secs(1);

/// Results that are not all owed have come when none came for so long.
const SILENT: Duration = Duration::from_secs(4);

/// How often it is asked whether all has drained.
const ASK: Duration = Duration::from_millis(300);

/// How long the services may take to be ready after the heal.
const READY_AGAIN: Duration = Duration::from_secs(45);

/// What a run showed beside its histories.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Everything drained in time; none if that was not asked for.
    pub(super) drained: Option<bool>,
    /// How long after the last heal everything had drained.
    pub(super) drained_after: Option<Duration>,
    /// How often a process ended that no fault had ended.
    pub(super) crashes: u64,
    /// Lines of the services' logs that tell of a panic.
    pub(super) panics: Vec<String>,
    /// How long all of it took.
    pub(super) took: Duration,
    /// What the run itself saw that must not be.
    pub(super) broken: Vec<String>,
    /// What strangers saw, and how often.
    pub(super) intruders: BTreeMap<String, u64>,
    /// How often a process was started again, by name.
    pub(super) restarts: BTreeMap<String, u64>,
    /// The most entries that waited in the outbox, in all slots and in one.
    pub(super) outbox: (u64, u64),
}

/// The parts of a run while it lasts.
struct Course {
    rig: Rig,
    readers: Readers,
    ledger: Arc<Ledger>,
    injector: Injector,
    auditor: JoinHandle<Result<()>>,
    outbox: Outbox,
    drained_after: Option<Duration>,
}

/// Plays a seed's plan into the folder.
pub(super) async fn play(
    options: &Options,
    seed: u64,
    plan: &[Injection],
    (binaries, broker): (&Binaries, &BrokerKind),
    folder: &Path,
) -> Result<Outcome> {
    let begun = Instant::now();
    let description = describe(options, seed, plan, broker);
    std::fs::write(
        folder.join("run.json"),
        serde_json::to_string_pretty(&description)?,
    )?;
    let name = format!("chaos-{seed}-{}", std::process::id());
    let rig = Box::pin(Rig::start(options, &name, binaries.clone(), broker, folder)).await?;
    say(format!("the gateway is ready ({})", human(begun.elapsed())));
    let mut course = Course::begin(rig, seed, folder).await?;
    let outcome = Box::pin(course.play(options, seed, plan)).await;
    let panics = panics(&course.rig);
    keep_logs(&course.rig, folder);
    course.auditor.abort();
    for broker in &course.rig.brokers {
        // What they hold is thrown away, and a quorum that ends one by one takes its time.
        course.rig.supervisor.kill9(broker).await?;
    }
    course.rig.supervisor.shutdown().await;
    let injector = course.injector;
    Ok(Outcome {
        drained: outcome?,
        drained_after: course.drained_after,
        crashes: injector.crashes,
        panics,
        took: begun.elapsed(),
        broken: injector.meetings.iter().filter_map(Meeting::wrong).collect(),
        intruders: counted(&injector.meetings),
        restarts: injector.restarts,
        outbox: course.outbox.most(),
    })
}

/// What strangers saw, and how often.
fn counted(meetings: &[Meeting]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for meeting in meetings {
        *counts.entry(meeting.told()).or_default() += 1;
    }
    counts
}

impl Course {
    async fn begin(mut rig: Rig, seed: u64, folder: &Path) -> Result<Self> {
        chargers::start(&mut rig, seed).await?;
        let readers = Readers::start(&mut rig).await?;
        let url = settings::redis_url(rig.redis);
        let auditor = tokio::spawn(audit::audit(rig.binaries.clone(), url, folder.to_owned()));
        Ok(Self {
            readers,
            ledger: Arc::new(Ledger::open(folder)?),
            injector: Injector::new(Chronicle::open(folder, "faults")?, seed),
            auditor,
            outbox: Outbox::watch(rig.redis),
            drained_after: None,
            rig,
        })
    }

    async fn play(&mut self, options: &Options, seed: u64, plan: &[Injection]) -> Result<Option<bool>> {
        let routers: Vec<_> = self.rig.routers.iter().map(|(_, router)| router.grpc).collect();
        let load = Load {
            routers: routers.clone(),
            chargers: chargers::ids(),
            rate: options.rate,
            seed,
        };
        let (stop, stopped) = oneshot::channel();
        let sender = tokio::spawn(load.run(Arc::clone(&self.ledger), stopped));
        self.injector
            .follow(&mut self.rig, plan, options.duration)
            .await?;
        drop(stop);
        self.injector.heal_all(&mut self.rig).await?;
        let healed = Instant::now();
        say(format!("healed; {} commands were accepted", self.ledger.count()));
        self.rig.wait_all_ready(READY_AGAIN).await?;
        sender.await.context("the sender ended abnormally")??;
        if self.injector.has_grown_topics() {
            self.readers.read_grown(&mut self.rig).await?;
        }
        let drained = match options.mode {
            Mode::Safety => None,
            Mode::Liveness | Mode::Both => Some(self.drain(options, &routers).await?),
        };
        self.drained_after = (drained == Some(true)).then(|| healed.elapsed().saturating_sub(STILL));
        load::final_reads(&routers, &self.ledger).await?;
        self.readers.finish(&mut self.rig).await?;
        dump::write(self.rig.redis, &self.rig.folder).await?;
        // What leaves from here on, because the services are ended, is not missing in the dump.
        self.injector.faults.note("dumped", json!({}))?;
        Ok(drained)
    }

    /// Waits until nothing is open and every command has its result on Kafka. A store that may forget what was accepted
    /// owes no result for it: there, the results have come when no more come.
    async fn drain(&mut self, options: &Options, routers: &[std::net::SocketAddr]) -> Result<bool> {
        let (begun, within) = (Instant::now(), options.drain);
        let may_forget = options.durability == Durability::Relaxed;
        let mut last = (self.readers.results(), begun);
        while begun.elapsed() < within {
            let open = load::open_commands(routers).await.unwrap_or(true);
            let results = self.readers.results();
            if open || results != last.0 {
                last = (results, Instant::now());
            }
            let all_came = results >= self.ledger.count() || (may_forget && last.1.elapsed() > SILENT);
            if !open && all_came {
                say(format!("everything has drained ({})", human(begun.elapsed())));
                self.injector.faults.note("drained", json!({}))?;
                sleep(STILL).await;
                return Ok(true);
            }
            let until = Instant::now() + ASK;
            self.injector.watch_until(&mut self.rig, until).await?;
        }
        say(format!("not everything drained within {}", human(within)));
        Ok(false)
    }
}

/// What the checker and a reader are told of the run.
fn describe(options: &Options, seed: u64, plan: &[Injection], broker: &BrokerKind) -> Value {
    json!({
        "seed": seed,
        "scenario": options.scenario.map(Scenario::name),
        "mode": options.mode.name(),
        "duration_s": options.duration.as_secs(),
        "rate": options.rate,
        "durability": options.durability.name(),
        "brokers": options.brokers,
        "broker": broker.label(),
        "settings": bounds::told(options),
        "versions": versions::of_parts(broker),
        "plan": plan,
    })
}

/// The lines of the services' logs that tell of a panic.
fn panics(rig: &Rig) -> Vec<String> {
    let mut found = Vec::new();
    for child in rig.supervisor.status() {
        let Ok(log) = std::fs::read_to_string(&child.log) else {
            continue;
        };
        let lines = log
            .lines()
            .filter(|line| line.contains("panic: ") || line.contains("panicked at"));
        found.extend(lines.map(|line| format!("{}: {line}", child.name)));
    }
    found
}

/// Copies the processes' logs beside the histories.
fn keep_logs(rig: &Rig, folder: &Path) {
    for child in rig.supervisor.status() {
        let kept = folder.join(format!("{}.log", child.name));
        if let Err(error) = std::fs::copy(&child.log, &kept) {
            say(format!("the log of {} is not kept: {error}", child.name));
        }
    }
}
