//! The time of a command, from the call of SendCommand to its record on `command-results`, at a steady rate of
//! which nothing queues; rounds of it alternate with rounds of the floors. The chargers' log tells when each CALL
//! arrived, so that the way there and the way back are told apart.

use anyhow::{Context, Result};
use wire::gateway::command::v1::Priority;

use super::BenchArgs;
use super::floors::{Floors, Times};
use super::platform::{self, Chargers, Platform, Ways};
use super::report::{Bar, Report, Row, Unit};
use super::rig::{Rig, Target, announce};
use super::samples::Samples;
use crate::stack::binaries::Binaries;

/// How many times the sum of the floors the median may take.
const BAR: f64 = 3.0;

/// Commands a second.
pub(super) const RATE: u32 = 100;
/// Chargers, rounds, and commands a round: ten seconds in all.
const CHARGERS: u32 = 100;
const ROUNDS: usize = 5;
const A_ROUND: u32 = 200;

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
    let chargers = Chargers {
        prefix,
        count: CHARGERS,
        priority: Priority::Normal,
    };
    let mut platform = Platform::open(&rig).await?;
    let mut floors = Floors::open(&rig).await?;
    let warming_up = platform.round(&chargers, RATE, A_ROUND).await;
    warming_up.context("warming up")?;
    floors.warm_up().await?;
    let mut sent = Vec::new();
    for _ in 0..ROUNDS {
        floors.round().await?;
        sent.extend(platform.round(&chargers, RATE, A_ROUND).await?);
    }
    if rig.stack().broker_label() == "embedded" {
        report.note(
            "the embedded broker wakes no waiting fetch: its figures are mostly the wait, the floor's too",
        );
    }
    let commands = Ways::of(&sent, &platform::journal(&journal)?)?;
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
