//! The time of a command, from the call of SendCommand to its record on `command-results`, at a steady rate of
//! which nothing queues; rounds of it alternate with rounds of the floors. The chargers' log tells when each CALL
//! arrived, so that the way there and the way back are told apart.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::transport::Channel;
use wire::gateway::command::v1::SendCommandRequest;
use wire::gateway::command::v1::command_service_client::CommandServiceClient;

use super::BenchArgs;
use super::floors::{Floors, Times};
use super::report::{Bar, Report, Row, Unit};
use super::results::Results;
use super::rig::{Rig, Target, announce, wall_us};
use super::samples::Samples;
use crate::demo::journal::Journal;
use crate::stack::binaries::Binaries;

/// How many times the sum of the floors the median may take.
const BAR: f64 = 3.0;

/// Commands a second.
pub(super) const RATE: u32 = 100;
/// Chargers, rounds, and commands a round: ten seconds in all.
const CHARGERS: u32 = 100;
const ROUNDS: usize = 5;
const A_ROUND: usize = 200;

/// How long the last results may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A platform that sends commands and reads results.
struct Platform {
    client: CommandServiceClient<Channel>,
    results: Results,
    prefix: String,
    sent: usize,
}

/// One command on its way.
struct Sent {
    id: String,
    begun: Instant,
    begun_us: u64,
    accepted: Duration,
}

/// The times of all commands, each from the call of SendCommand.
#[derive(Default)]
struct Ways {
    /// Until the call was answered.
    accepted: Samples,
    /// Until the CALL was at the charger.
    arrived: Samples,
    /// Until the record was read.
    ended: Samples,
    begun_us: HashMap<String, u64>,
}

/// Measures and adds the rows.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    announce(
        "latency",
        &format!("{RATE} commands a second to {CHARGERS} chargers, in turn with the floors"),
    );
    let mut rig = Rig::start("latency", args, binaries).await?;
    report.broker(rig.stack().broker_label());
    let journal = rig.keep_journal();
    let (prefix, _) = rig.connect(Target::Edge, CHARGERS).await?;
    let mut platform = Platform {
        client: CommandServiceClient::new(rig.router().await?),
        results: Results::follow(&rig)?,
        prefix,
        sent: 0,
    };
    let mut floors = Floors::open(&rig).await?;
    let mut warming_up = Ways::default();
    platform.round(&mut warming_up).await.context("warming up")?;
    floors.warm_up().await?;
    let mut commands = Ways::default();
    for _ in 0..ROUNDS {
        floors.round().await?;
        platform.round(&mut commands).await?;
    }
    commands.read_arrivals(&std::fs::read_to_string(journal).context("reading the chargers' log")?)?;
    if rig.stack().broker_label() == "embedded" {
        report.note(
            "the embedded broker wakes no waiting fetch: its figures are mostly the wait, the floor's too",
        );
    }
    drop(platform);
    rig.stop().await;
    add_rows(report, &commands, &floors.times);
    Ok(())
}

fn add_rows(report: &mut Report, commands: &Ways, floors: &Times) {
    let row = |percent: usize| {
        let what = format!("command p{percent}, {RATE} a second");
        let row = Row::new(what, commands.ended.percentile_ms(percent), Unit::Milliseconds);
        row.floor(floors.sum_ms(percent), "sum of floors")
    };
    let part = |what: &str, samples: &Samples| {
        let what = format!("of it, p50: {what}");
        Row::new(what, samples.percentile_ms(50), Unit::Milliseconds)
    };
    report.row(row(50).bar(Bar::RatioAtMost(BAR)));
    report.row(part("until accepted", &commands.accepted));
    report.row(part("until at the charger", &commands.arrived));
    report.row(row(99));
    for percent in [50, 99] {
        for (what, ms) in floors.each_ms(percent) {
            report.row(Row::new(
                format!("floor p{percent}: {what}"),
                ms,
                Unit::Milliseconds,
            ));
        }
    }
    report.note(format!(
        "{} commands, from the call of SendCommand to their record on command-results; chargers answer at once",
        commands.ended.len()
    ));
    report.note(format!(
        "sum of floors: gRPC call + 2 × Redis script (append-only file, fsync always) + Kafka produce to consume + \
         WebSocket echo, {} of each, one at a time, as many a second as commands; the Kafka trip of the result itself is not in it",
        floors.count()
    ));
}

impl Platform {
    /// Sends a round of commands and waits for all of their results.
    async fn round(&mut self, ways: &mut Ways) -> Result<()> {
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..A_ROUND {
            tick.tick().await;
            calls.spawn(send(self.client.clone(), self.next_request()));
        }
        let deadline = Instant::now() + PATIENCE;
        while let Some(sent) = calls.join_next().await {
            let sent = sent.context("a sender ended abnormally")??;
            let end = self.end_of(&sent.id, deadline).await?;
            ways.ended.push(end.saturating_duration_since(sent.begun));
            ways.accepted.push(sent.accepted);
            ways.begun_us.insert(sent.id, sent.begun_us);
        }
        Ok(())
    }

    /// When a command's result was read.
    async fn end_of(&self, command: &str, deadline: Instant) -> Result<Instant> {
        loop {
            match self.results.end_of(command) {
                Some(end) if end.state == "ACKNOWLEDGED" => return Ok(end.read),
                Some(end) => bail!("command {command} ended {}", end.state),
                None if Instant::now() > deadline => bail!("command {command} has no result in time"),
                // The time was taken by whoever reads the results, so this may be late.
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn next_request(&mut self) -> SendCommandRequest {
        let charger = self.sent % CHARGERS as usize + 1;
        self.sent += 1;
        SendCommandRequest {
            charge_point_id: format!("{}{charger:06}", self.prefix),
            action: "GetConfiguration".to_owned(),
            payload_json: r#"{"key":["HeartbeatInterval"]}"#.to_owned(),
            ..SendCommandRequest::default()
        }
    }
}

impl Ways {
    /// Adds when each CALL arrived, by the chargers' log; both clocks are this machine's.
    fn read_arrivals(&mut self, log: &str) -> Result<()> {
        let journal = Journal::parse(log)?;
        for (id, begun_us) in &self.begun_us {
            let seen = journal.commands.get(id);
            let arrived = seen.and_then(|s| s.received_us.first());
            let arrived = arrived.with_context(|| format!("no charger logged command {id}"))?;
            self.arrived
                .push(Duration::from_micros(arrived.saturating_sub(*begun_us)));
        }
        Ok(())
    }
}

/// One call.
async fn send(mut client: CommandServiceClient<Channel>, request: SendCommandRequest) -> Result<Sent> {
    let (begun, begun_us) = (Instant::now(), wall_us());
    let answer = client
        .send_command(request)
        .await
        .context("a command was refused")?;
    Ok(Sent {
        id: answer.into_inner().command_id,
        begun,
        begun_us,
        accepted: begun.elapsed(),
    })
}
