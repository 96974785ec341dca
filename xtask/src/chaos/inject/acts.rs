//! The faults that take more than a signal: disks, memory, poison, strange environments, sweepers, rolling restarts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::Injector;
use crate::chaos::dice::Dice;
use crate::chaos::fault::Kind;
use crate::chaos::options::Durability;
use crate::chaos::plan::Injection;
use crate::chaos::rig::Rig;
use crate::chaos::{audit, chronicle};
use crate::net;
use crate::progress::say;
use crate::resp::{Redis, Reply};
use crate::stack::settings;
use crate::supervise::Guarded;

/// The pause between two services of a rolling restart.
pub(super) const ROLL_EACH: Duration = Duration::from_millis(5_500);

/// The longest that a sweeper may take.
pub(super) const SWEEP: Duration = Duration::from_secs(15);

/// How long after its lease a pod's record is kept, by the sweepers' default.
const FORGET_US: u64 = 86_400_000_000;

/// The places at which routers and edges can be made to die.
const ROUTER_POINTS: [&str; 3] = [
    "router.after_claim",
    "router.after_produce",
    "router.before_delivery_report",
];
const EDGE_POINTS: [&str; 5] = [
    "edge.after_consume",
    "edge.before_write",
    "edge.after_write",
    "edge.before_ack",
    "edge.before_register",
];

/// Where Debian and others put the library that skews clocks.
const CLOCK_LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The kinds that cannot be had here, each with the reason.
pub(in crate::chaos) fn missing(
    kind: Kind,
    has_real_broker: bool,
    durability: Durability,
) -> Option<&'static str> {
    match kind {
        Kind::ClockSkew if clock_library().is_none() => Some("libfaketime is not installed"),
        Kind::RedisFull if !nix::unistd::geteuid().is_root() => Some("only root can mount a small disk"),
        Kind::AofTruncation if durability != Durability::Relaxed => {
            Some("only `relaxed` may lose what was written")
        }
        Kind::GrowPartitions if !has_real_broker => Some("the embedded broker's topics do not grow"),
        Kind::KafkaKill | Kind::KafkaPause if !has_real_broker => {
            Some("the embedded broker holds nothing over a restart")
        }
        _ => None,
    }
}

/// Redis' disk is full from now on.
pub(super) fn fill_disk(rig: &Rig) -> Result<()> {
    match &rig.disk {
        Some(disk) => disk.fill(),
        None => {
            say("skipped: Redis has no disk of its own in this run");
            Ok(())
        }
    }
}

/// Redis may use no more memory than it uses now.
pub(super) async fn limit_memory(rig: &Rig) -> Result<()> {
    set_memory(rig, b"1mb").await
}

/// Ends whatever bounds Redis has; one that does not run has none of memory.
pub(super) async fn give_room(rig: &Rig) -> Result<()> {
    if let Some(disk) = &rig.disk {
        disk.free()?;
    }
    // One that does not run has no bound of memory either when it comes back.
    let _away = set_memory(rig, b"0").await;
    Ok(())
}

async fn set_memory(rig: &Rig, most: &[u8]) -> Result<()> {
    let mut redis = Redis::open(rig.redis).await?;
    match redis.call(&[b"CONFIG", b"SET", b"maxmemory", most]).await? {
        Reply::Text(_) => Ok(()),
        other => anyhow::bail!("Redis answered {other:?}"),
    }
}

impl Injector {
    /// Puts records that nobody can decode where an edge reads, and writes down where. An edge that is not ready may be
    /// on its way to a new life, which begins behind them: they would be nobody's.
    pub(super) async fn poison(&mut self, rig: &Rig) -> Result<()> {
        let mut dice = Dice::new(self.seed).fork(3);
        for (edge, listens) in &rig.edges {
            let Some((topic, partitions)) = lanes_of(rig, edge) else {
                continue;
            };
            let ready = net::http_get(listens.admin, settings::READY_PATH).await;
            if !matches!(ready, Ok((200, _))) {
                continue;
            }
            for partition in partitions {
                let bytes: String = (0..24).map(|_| format!("{:02x}", dice.between(0, 255))).collect();
                let put = Guarded::new(rig.binaries.path("topic-put"))
                    .args(["--bootstrap", &rig.kafka, "--topic", &topic])
                    .args(["--partition".to_owned(), partition.to_string()])
                    .args(["--hex".to_owned(), format!("ff{bytes}")]);
                // Kafka may be away just now; then nobody knows whether there is poison, and where.
                let Ok(Ok(said)) = timeout(SWEEP, put.output()).await else {
                    self.note_begin("poison", edge, &Value::Null)?;
                    self.note_end("poison", edge)?;
                    continue;
                };
                let place: Value = serde_json::from_str(&said).context("where the poison lies")?;
                self.note_begin("poison", edge, &place)?;
                self.note_end("poison", edge)?;
            }
        }
        Ok(())
    }

    /// A rolling restart begins: all services, one after the other.
    pub(super) fn plan_roll(&mut self, rig: &Rig) {
        let (routers, edges) = (
            rig.routers.iter().map(|(n, _)| n),
            rig.edges.iter().map(|(n, _)| n),
        );
        self.rolling = routers.chain(edges).cloned().collect();
        self.roll_at = Some(Instant::now());
    }

    /// Restarts a service in an environment that makes it die, or err about the time.
    pub(super) async fn start_strange(&mut self, rig: &mut Rig, injection: &Injection) -> Result<()> {
        let name = &injection.target;
        let mut spec = rig
            .specs
            .get(name)
            .cloned()
            .context("a process without a specification")?;
        spec.command = match injection.kind {
            Kind::ClockSkew => {
                let library = clock_library().context("there is no libfaketime")?;
                spec.command
                    .env("LD_PRELOAD", library)
                    .env("FAKETIME", format!("{}s", injection.detail))
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            }
            kind => {
                let points: &[&str] = if kind == Kind::EdgeCrash {
                    &EDGE_POINTS
                } else {
                    &ROUTER_POINTS
                };
                let number: usize = injection.detail.parse().unwrap_or(0);
                let point = points
                    .get(number % points.len().max(1))
                    .context("no place to die at")?;
                spec.command.env("HOLDFAST_FAILPOINTS", format!("{point}=exit"))
            }
        };
        rig.supervisor.kill9(name).await?;
        self.strange.insert(name.clone());
        self.expected.insert(name.clone());
        rig.supervisor.start(spec).await
    }

    /// Back to its own environment, if it has not died in the strange one already.
    pub(super) async fn end_strange(&mut self, rig: &mut Rig, name: &str) -> Result<()> {
        if self.strange.remove(name) {
            self.expected.insert(name.to_owned());
            rig.supervisor.kill9(name).await?;
            self.revived.remove(name);
            self.revive(rig).await?;
        }
        Ok(())
    }

    /// Two sweepers mend at once, beside whatever else happens; a pod that never was gives both the same to do.
    pub(super) async fn sweep_twice(&mut self, rig: &Rig) {
        // Redis may be away just now; then there are only the two passes, if even they.
        let _away = leave_ghost(rig).await;
        for number in 1..=2 {
            let history = rig.folder.join(format!("sweeper-{number}.jsonl"));
            let sweep = audit::sweeper(&rig.binaries, &settings::redis_url(rig.redis), false)
                .arg("--set")
                .arg(format!("telemetry.history_file={}", history.display()));
            self.background.spawn(async move {
                // Redis may be away just now, which is the sweeper's business, not the run's.
                let _outcome = timeout(SWEEP, sweep.outcome()).await;
            });
        }
    }
}

/// Leaves the record of a pod that sweepers forget from now on. Every ghost has a name of its own.
async fn leave_ghost(rig: &Rig) -> Result<()> {
    let mut redis = Redis::open(rig.redis).await?;
    let name = format!("ghost-{}", chronicle::machine_us());
    let record = format!("hf:{{pods}}:l:{name}");
    let lapsed = chronicle::wall_us().saturating_sub(FORGET_US).to_string();
    let fields = "inc 1 link 1 sus 0 dr 0 topic commands-down-shard-0 np 0 up 8 floor 0 epoch 0 proc 1 exp";
    // In one step: a record without its place in the index is one that no router ever leaves.
    let script = "redis.call('ZADD', KEYS[2], ARGV[#ARGV], ARGV[1]) \
        return redis.call('HSET', KEYS[1], unpack(ARGV, 2))";
    let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), b"2", record.as_bytes()];
    words.extend([b"hf:{pods}:index", name.as_bytes()]);
    words.extend(fields.split(' ').map(str::as_bytes));
    words.push(lapsed.as_bytes());
    redis.call(&words).await?;
    Ok(())
}

/// Where an edge consumes by its own word: the last time it said so.
fn lanes_of(rig: &Rig, edge: &str) -> Option<(String, [i64; 2])> {
    let log = std::fs::read_to_string(rig.supervisor.log_of(edge)).ok()?;
    let linked = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .rfind(|line| line["message"] == json!("linked"))?;
    let lane = |name: &str| linked[name].as_i64();
    Some((
        linked["topic"].as_str()?.to_owned(),
        [lane("normal")?, lane("urgent")?],
    ))
}

fn clock_library() -> Option<PathBuf> {
    CLOCK_LIBRARIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}
