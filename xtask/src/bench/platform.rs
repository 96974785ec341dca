//! A platform that sends commands and reads their results, for every part of the bench that times commands.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tonic::transport::Channel;
use wire::gateway::command::v1::command_service_client::CommandServiceClient;
use wire::gateway::command::v1::{Priority, SendCommandRequest};

use super::results::Results;
use super::rig::{Rig, wall_us};
use super::samples::Samples;
use crate::demo::journal::Journal;

/// How long the last results may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a command may wait: for longer than any bench lasts, whatever the gateway's default.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// What the chargers logged so far.
pub(super) fn journal(log: &Path) -> Result<Journal> {
    let log = std::fs::read_to_string(log).context("reading the chargers' log")?;
    Journal::parse(&log)
}

/// The client of a router, the reader of the results, and how many commands were sent.
pub(super) struct Platform {
    client: CommandServiceClient<Channel>,
    results: Results,
    sent: u32,
}

/// Where a platform sends, and how urgently.
pub(super) struct Chargers {
    /// What their ids begin with.
    pub(super) prefix: String,
    /// How many there are; they take turns.
    pub(super) count: u32,
    /// The priority of every command.
    pub(super) priority: Priority,
}

/// One command that was accepted.
pub(super) struct Sent {
    /// Its id.
    pub(super) id: String,
    /// When the call began, by the monotonic and by the wall clock, the latter in microseconds.
    begun: Instant,
    begun_us: u64,
    /// How long the call took.
    accepted: Duration,
}

/// The times of many commands, each from the call of SendCommand.
#[derive(Default)]
pub(super) struct Ways {
    /// Until the call was answered.
    pub(super) accepted: Samples,
    /// Until the CALL was at the charger.
    pub(super) arrived: Samples,
    /// Until the record was read.
    pub(super) ended: Samples,
}

impl Ways {
    /// Of commands that ended, with the chargers' log, which tells of all of them.
    pub(super) fn of<'a>(
        commands: impl IntoIterator<Item = &'a (Sent, Duration)>,
        log: &Journal,
    ) -> Result<Self> {
        let mut ways = Self::default();
        for (sent, took) in commands {
            ways.arrived.push(sent.arrived(log)?);
            ways.accepted.push(sent.accepted);
            ways.ended.push(*took);
        }
        Ok(ways)
    }
}

impl Extend<Ways> for Ways {
    fn extend<I: IntoIterator<Item = Ways>>(&mut self, others: I) {
        for other in others {
            self.accepted.extend(other.accepted);
            self.arrived.extend(other.arrived);
            self.ended.extend(other.ended);
        }
    }
}

impl Sent {
    /// When the CALL was at the charger, by its log, from the call of SendCommand; both clocks are this machine's.
    fn arrived(&self, journal: &Journal) -> Result<Duration> {
        let seen = journal.commands.get(&self.id);
        let arrived = seen.and_then(|seen| seen.received_us.first());
        let arrived = arrived.with_context(|| format!("no charger logged command {}", self.id))?;
        Ok(Duration::from_micros(arrived.saturating_sub(self.begun_us)))
    }
}

impl Platform {
    /// Connects to the router and begins to read results.
    pub(super) async fn open(rig: &Rig) -> Result<Self> {
        Ok(Self {
            client: CommandServiceClient::new(rig.router().await?),
            results: Results::follow(rig)?,
            sent: 0,
        })
    }

    /// Sends `count` commands, `rate` of them a second, and waits for all of their results: each with the time from
    /// the call of SendCommand to its record.
    pub(super) async fn round(
        &mut self,
        chargers: &Chargers,
        rate: u32,
        count: u32,
    ) -> Result<Vec<(Sent, Duration)>> {
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for _ in 0..count {
            tick.tick().await;
            calls.spawn(send(self.client.clone(), self.next_request(chargers)));
        }
        let deadline = Instant::now() + PATIENCE;
        let mut done = Vec::new();
        while let Some(sent) = calls.join_next().await {
            let sent = sent.context("a sender ended abnormally")??;
            let end = self.end_of(&sent.id, deadline).await?;
            let took = end.saturating_duration_since(sent.begun);
            done.push((sent, took));
        }
        Ok(done)
    }

    /// Has `count` commands accepted as fast as `abreast` callers can, and waits for no result.
    pub(super) async fn pile_up(&mut self, chargers: &Chargers, count: u32, abreast: usize) -> Result<()> {
        let mut calls = JoinSet::new();
        for _ in 0..count {
            if calls.len() >= abreast {
                calls
                    .join_next()
                    .await
                    .context("no caller")?
                    .context("a caller ended")??;
            }
            calls.spawn(send(self.client.clone(), self.next_request(chargers)));
        }
        while let Some(sent) = calls.join_next().await {
            sent.context("a caller ended")??;
        }
        Ok(())
    }

    /// How many results were read so far.
    pub(super) fn results(&self) -> usize {
        self.results.count()
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

    fn next_request(&mut self, chargers: &Chargers) -> SendCommandRequest {
        let charger = self.sent % chargers.count + 1;
        self.sent += 1;
        SendCommandRequest {
            charge_point_id: format!("{}{charger:06}", chargers.prefix),
            action: "GetConfiguration".to_owned(),
            payload_json: r#"{"key":["HeartbeatInterval"]}"#.to_owned(),
            priority: chargers.priority.into(),
            deadline: Some((SystemTime::now() + DEADLINE).into()),
            ..SendCommandRequest::default()
        }
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
