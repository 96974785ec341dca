//! `cargo xtask demo`: the whole stack on this machine, chargers, commands, and two processes killed on the way.
//!
//! Left out: starting and ending processes (`stack`) and what counts as lost (`demo::verdict`).

pub mod journal;
mod kills;
pub mod ledger;
mod load;
mod look;
pub(crate) mod results;
mod table;
pub mod verdict;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::interrupt::{Interrupt, Interrupted};
use crate::parts::broker::BrokerChoice;
use crate::parts::kafka_fetch::Jvm;
use crate::progress::{complain, print, say};
use crate::stack::binaries::Binaries;
use crate::stack::running::{Stack, StackSpec};
use crate::stack::settings;
use crate::supervise::{ChildSpec, Guarded};
use journal::Journal;
use kills::Kill;
use ledger::Ledger;
use load::{Load, SharedLedger};
use verdict::Verdict;
use view::{Snapshot, View};

/// The demo's options.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Which broker: Apache Kafka where Java and Maven are there, or the embedded one.
    #[arg(long, value_enum, default_value = "auto")]
    broker: BrokerChoice,
    /// Play the story once and exit 0 only if it held.
    #[arg(long)]
    once: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// No story: bring the stack up and say where a charger of yours may connect.
    #[arg(long, value_enum, conflicts_with_all = ["once", "output", "chargers", "rate"])]
    charger: Option<OwnCharger>,
    /// Simulated chargers.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    chargers: u32,
    /// Commands a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Fetch nothing.
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object, the last line of standard output.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OwnCharger {
    /// Print the URL to connect to.
    UrlOnly,
}

/// How the story goes, in seconds from its beginning.
const KILL_EDGE: u64 = 6;
const KILL_ROUTER: u64 = 14;
const EDGE_BACK: u64 = 18;
const ROUTER_BACK: u64 = 22;
const LOAD_ENDS: u64 = 28;

/// How long the commands that are still open may take once the load has ended. An unsafe command whose outcome
/// stays unknown takes longest: grant, answer timeout and one lease.
const DRAIN: Duration = Duration::from_secs(60);

/// How long every charger may take to connect.
const CONNECT: Duration = Duration::from_secs(60);

/// The edge and the router that are killed.
const VICTIMS: (&str, &str) = ("edge-2", "router-1");

/// Runs the demo until its end, or until Ctrl-C.
pub async fn run(args: &DemoArgs, interrupt: &Interrupt) -> Result<u8> {
    let chargers = if args.charger.is_some() { 0 } else { args.chargers };
    let binaries = Binaries::build().await?;
    let spec = StackSpec {
        name: format!("demo-{}", std::process::id()),
        routers: 2,
        edges: 3,
        chargers,
        broker: args.broker,
        jvm: Jvm::Quick,
        offline: args.offline,
    };
    let stack = tokio::select! {
        stack = Stack::start(spec, binaries, &[]) => stack?,
        () = interrupt.requested() => return Err(Interrupted.into()),
    };
    if args.charger.is_some() {
        look::invite(&stack);
        say("Ctrl-C ends the stack");
        interrupt.requested().await;
        end(stack).await;
        return Ok(0);
    }
    let mut demo = Demo::new(args.clone(), stack)?;
    let outcome = tokio::select! {
        outcome = demo.play() => outcome,
        () = interrupt.requested() => Err(Interrupted.into()),
    };
    if outcome.is_ok() && !args.once {
        demo.stay(interrupt).await?;
    }
    end(demo.stack).await;
    outcome
}

/// Ends the services, which takes some seconds.
async fn end(stack: Stack) {
    say("ending the stack");
    stack.stop().await;
}

/// The wall clock, microseconds: only to compare with the simulator's log, on the same machine.
fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

struct Demo {
    args: DemoArgs,
    stack: Stack,
    ledger: SharedLedger,
    view: View,
    killed_us: Option<u64>,
    kills: Vec<Kill>,
}

impl Demo {
    fn new(args: DemoArgs, stack: Stack) -> Result<Self> {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        Ok(Self {
            args,
            stack,
            ledger,
            view: View::new(),
            killed_us: None,
            kills: Vec::new(),
        })
    }

    async fn play(&mut self) -> Result<u8> {
        self.follow_results().await?;
        self.wait_for_chargers().await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let load = Load {
            routers: self
                .stack
                .addresses()
                .routers
                .iter()
                .map(|(_, router)| router.grpc)
                .collect(),
            chargers: (1..=self.args.chargers)
                .map(|n| format!("{}{n:06}", settings::CHARGER_PREFIX))
                .collect(),
            rate: self.args.rate,
            patience: load::PATIENCE,
        };
        let until = async { drop(stopped.await) };
        let sender = tokio::spawn(load.run(Arc::clone(&self.ledger), until));
        self.view.event(format!(
            "{} commands a second, a fifth of them unsafe to repeat",
            self.args.rate
        ));
        // A story that breaks off is judged as well: what became of the commands is the more worth knowing.
        let story = self.story().await;
        drop(stop);
        sender.await.context("the sender ended abnormally")??;
        self.drain().await?;
        self.judge(story).await
    }

    async fn story(&mut self) -> Result<()> {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        self.watch_until(at(KILL_EDGE)).await?;
        self.kill(VICTIMS.0).await?;
        self.watch_until(at(KILL_ROUTER)).await?;
        self.kill(VICTIMS.1).await?;
        self.watch_until(at(EDGE_BACK)).await?;
        self.bring_back(VICTIMS.0).await?;
        self.watch_until(at(ROUTER_BACK)).await?;
        self.bring_back(VICTIMS.1).await?;
        self.watch_until(at(LOAD_ENDS)).await?;
        self.view.event("no new commands; what is open drains");
        Ok(())
    }

    async fn kill(&mut self, name: &str) -> Result<()> {
        let edges = look::edges(&self.stack).await;
        let held = edges.get(name).and_then(|edge| edge.count());
        if name == VICTIMS.0 {
            self.killed_us = Some(wall_us());
        }
        self.stack.kill9(name).await?;
        self.view.event(match held {
            Some(held) => format!("kill -9 {name}, which held {held} chargers"),
            None => format!("kill -9 {name}"),
        });
        self.kills.push(Kill {
            name: name.to_owned(),
            held,
            at: self.view.elapsed(),
            back: None,
        });
        Ok(())
    }

    async fn bring_back(&mut self, name: &str) -> Result<()> {
        self.stack.restart(name).await?;
        let back = self.view.elapsed();
        let mut event = format!("{name} is back");
        for kill in self.kills.iter_mut().filter(|kill| kill.name == name) {
            kill.back = Some(back);
            if kill.held.is_some() {
                event.push_str("; its chargers stay with the edges that they reconnected to");
            }
        }
        self.view.event(event);
        Ok(())
    }

    async fn follow_results(&mut self) -> Result<()> {
        let kafka = self.stack.addresses().kafka.context("the stack has no broker")?;
        let tail =
            Guarded::new(self.stack.binaries().path(settings::TOPIC_TAIL)).args(settings::tail_flags(kafka));
        self.stack
            .supervisor()
            .start(ChildSpec::new("results", tail))
            .await?;
        let log = self.stack.supervisor().log_of("results");
        tokio::spawn(results::follow(log, Arc::clone(&self.ledger)));
        Ok(())
    }

    async fn wait_for_chargers(&mut self) -> Result<()> {
        let deadline = Instant::now() + CONNECT;
        loop {
            let snapshot = self.snapshot().await;
            let connected: u64 = snapshot.edges.values().filter_map(|edge| edge.count()).sum();
            self.view.show(&snapshot)?;
            if connected >= u64::from(self.args.chargers) {
                self.view.event(format!("{connected} chargers are connected"));
                return Ok(());
            }
            if Instant::now() > deadline {
                anyhow::bail!("only {connected} of {} chargers connected", self.args.chargers);
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn watch_until(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            let snapshot = self.snapshot().await;
            self.view.show(&snapshot)?;
            sleep_until(until.min(Instant::now() + Duration::from_millis(250))).await;
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        let deadline = Instant::now() + DRAIN;
        while self.ledger().open() > 0 && Instant::now() < deadline {
            self.watch_until(Instant::now() + Duration::from_millis(250))
                .await?;
        }
        let open = self.ledger().open();
        self.view.event(if open == 0 {
            "everything has ended".to_owned()
        } else {
            format!("{open} are still open")
        });
        let snapshot = self.snapshot().await;
        Ok(self.view.show(&snapshot)?)
    }

    /// Shows what became of the commands, and then why that is not as it should be; the exit code is 0 only if it is.
    async fn judge(&mut self, story: Result<()>) -> Result<u8> {
        let verdict = self.verdict().await?;
        self.show(&verdict).await?;
        let broken = story.err().map(|error| format!("the story broke off: {error:#}"));
        let failures: Vec<String> = broken.into_iter().chain(verdict.failures()).collect();
        for failure in &failures {
            complain(failure);
        }
        if verdict.unanswered > 0 {
            for suspect in look::suspects(&self.stack.view().processes) {
                complain(suspect);
            }
            say(
                "where the routers are well, the machine is too slow: ask for fewer --chargers or a lower --rate",
            );
        }
        if failures.is_empty() {
            say("nothing was lost, nothing unsafe was done twice");
        }
        Ok(u8::from(!failures.is_empty()))
    }

    async fn verdict(&mut self) -> Result<Verdict> {
        let scratch = self.stack.supervisor().scratch().path();
        let log = tokio::fs::read_to_string(scratch.join(settings::SIMULATOR_LOG))
            .await
            .context("reading the chargers' log")?;
        let (journal, broker) = (Journal::parse(&log)?, self.stack.broker_label());
        Ok(Verdict::of(&self.ledger(), &journal, self.killed_us, broker))
    }

    async fn show(&self, verdict: &Verdict) -> Result<()> {
        if self.args.output == Output::Json {
            print(serde_json::to_string(verdict)?);
            return Ok(());
        }
        let edges = look::edges(&self.stack).await;
        print(table::render(verdict, kills::rows(&self.kills, &edges)));
        if let Some(explanation) = kills::explanation(&self.kills, &edges) {
            say(explanation);
        }
        Ok(())
    }

    /// After the story the stack stays up for the user until Ctrl-C.
    async fn stay(&mut self, interrupt: &Interrupt) -> Result<()> {
        look::invite(&self.stack);
        say("the stack stays up; Ctrl-C ends it");
        interrupt.requested().await;
        Ok(())
    }

    async fn snapshot(&self) -> Snapshot {
        let edges = look::edges(&self.stack).await;
        let ledger = self.ledger();
        Snapshot {
            edges,
            states: ledger
                .by_state()
                .into_iter()
                .map(|(state, count)| (state.to_owned(), count))
                .collect(),
            accepted: ledger.accepted().len(),
            open: ledger.open(),
            latency_ms: (ledger.latency_ms(50), ledger.latency_ms(99)),
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
