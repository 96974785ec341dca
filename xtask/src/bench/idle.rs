//! What a router costs that has nothing to do: the processor time of one at its default number of slots, beside an edge
//! without chargers. There is no floor to hold it against, so that its bar is absolute.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

use super::BenchArgs;
use super::report::{Bar, Report, Row, Unit};
use super::rig::{Rig, announce};
use crate::stack::binaries::Binaries;

/// What it may cost, in percent of one core.
const BAR_PERCENT: f64 = 0.5;

/// What the start asks for is over by then: topics, scripts, the first round over the timers.
const SETTLED: Duration = Duration::from_secs(10);
/// The kernel counts in hundredths of a second, so that a minute tells 0.02 percent.
const WATCHED: Duration = Duration::from_secs(60);

/// Measures and adds the row.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    announce(
        "idle",
        &format!("a router without work, {} seconds", WATCHED.as_secs()),
    );
    let rig = Rig::start("idle", args, binaries).await?;
    report.broker(rig.stack().broker_label());
    sleep(SETTLED).await;
    let (begun, before) = (Instant::now(), rig.processor_seconds().await?);
    ensure!(before > 0.0, "the router's metrics do not tell what it used");
    sleep(WATCHED).await;
    let used = rig.processor_seconds().await? - before;
    let percent = 100.0 * used / begun.elapsed().as_secs_f64();
    rig.stop().await;
    let row = Row::new("an idle router, of one core", percent, Unit::Percent);
    report.row(row.bar(Bar::ValueAtMost(BAR_PERCENT)));
    report.note("idle: no charger and no command; the router has its lease, its rounds over the timers and its link to one edge");
    Ok(())
}
