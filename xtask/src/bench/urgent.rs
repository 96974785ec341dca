//! An urgent command against a backlog: its times to acceptance, to the charger and to the record on `command-results`
//! while the same edge works off tens of thousands of low ones at half of what the machine sustains, beside its times
//! while nobody works on them. Both are taken in turns, since the machine's own mood changes.
//!
//! The urgent commands go to chargers of their own: a charger that is busy with a low command takes as long as it
//! takes, and no gateway can help that.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;
use wire::gateway::command::v1::Priority;

use super::BenchArgs;
use super::platform::{self, Chargers, Platform, Ways};
use super::report::{Bar, Report, Row, Unit};
use super::rig::{Rig, Target, announce};
use super::samples::Samples;
use super::witness::Witness;
use crate::progress::say;
use crate::stack::binaries::Binaries;

/// How many times the unloaded p99 the p99 against the backlog may be.
const BAR: f64 = 2.0;

/// The backlog at least, and the chargers that it waits for: so many that the machine, not the time of one command, bounds what
/// is sustained.
const BACKLOG: u32 = 50_000;
const LOW_CHARGERS: u32 = 2_000;

/// What the backlog has for each command a second that is sustained: the rounds take half of these, for less than this
/// many seconds, and the chargers' first commands come on top.
const LASTS: f64 = 40.0;

/// Commands that tell what the machine sustains.
const SUSTAINED: u32 = 20_000;

/// Callers at a time.
const ABREAST: usize = 128;

/// Chargers of the urgent commands, commands a second, and how many make a round.
const CHARGERS: u32 = 50;
const RATE: u32 = 50;
const COMMANDS: u32 = 400;

/// Rounds of each kind: with half of them two runs of one binary differ by a factor of two.
const ROUNDS: u32 = 6;

/// From the leave of the backlog's chargers to the next commands: what they left to do at once is over then.
const AFTERMATH: Duration = Duration::from_secs(3);

/// How long a pile may take to be worked off.
const PATIENCE: Duration = Duration::from_secs(180);

/// What was measured.
struct Figures {
    /// Low commands a second, as fast as they go.
    sustained: f64,
    /// How long each charger of the backlog takes for an answer.
    pace: Duration,
    idle: Both,
    loaded: Both,
    /// How much of the time the machine was slow, in percent.
    slow: usize,
    /// Low commands a second beside the urgent ones, and how many of them still waited at the end.
    low_rate: f64,
    left: usize,
}

/// The times of all commands, and of those that the machine was not slow for.
#[derive(Default)]
struct Both {
    all: Ways,
    steady: Ways,
}

impl Both {
    fn extend(&mut self, other: Self) {
        self.all.extend([other.all]);
        self.steady.extend([other.steady]);
    }
}

/// Measures and adds the rows.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    announce(
        "urgent",
        &format!("{RATE} urgent commands a second beside a backlog of {BACKLOG} low ones"),
    );
    let mut rig = Rig::start("urgent", args, binaries).await?;
    report.broker(rig.stack().broker_label());
    let journal = rig.keep_journal();
    let (prefix, _) = rig.connect(Target::Edge, CHARGERS).await?;
    // Only they: a log of the low ones' answers would slow what the low ones can sustain.
    rig.keep_no_journal();
    let urgent = Chargers {
        prefix,
        count: CHARGERS,
        priority: Priority::Urgent,
    };
    let mut platform = Platform::open(&rig).await?;
    platform.round(&urgent, RATE, COMMANDS / 4).await?;
    let sustained = sustained(&mut rig, &mut platform).await?;
    let figures = beside_the_backlog(&mut rig, &mut platform, &urgent, sustained, &journal).await?;
    drop(platform);
    rig.stop().await;
    figures.add_rows(report);
    Ok(())
}

/// The urgent commands in turns alone and beside the backlog, whose chargers are away meanwhile.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of commands are small"
)]
async fn beside_the_backlog(
    rig: &mut Rig,
    platform: &mut Platform,
    urgent: &Chargers,
    sustained: f64,
    journal: &Path,
) -> Result<Figures> {
    let backlog = BACKLOG.max((sustained * LASTS) as u32);
    say(format!("piling up {backlog} low commands"));
    let low = low_chargers(rig.next_prefix());
    platform.pile_up(&low, backlog, ABREAST).await?;
    let pace = Duration::from_secs_f64(f64::from(LOW_CHARGERS) / (sustained / 2.0));
    let (mut idle, mut loaded) = (Both::default(), Both::default());
    let witness = Witness::begin()?;
    let (mut done, mut seconds) = (0, 0.0);
    let first = platform.results();
    for _ in 0..ROUNDS {
        idle.extend(times(platform, urgent, journal, &witness).await?);
        settle(rig, platform, &low, pace).await?;
        let (before, begun) = (platform.results(), Instant::now());
        loaded.extend(times(platform, urgent, journal, &witness).await?);
        done += (platform.results() - before).saturating_sub(COMMANDS as usize);
        seconds += begun.elapsed().as_secs_f64();
        rig.disconnect().await?;
        sleep(AFTERMATH).await;
    }
    let all = (platform.results() - first).saturating_sub((2 * ROUNDS * COMMANDS) as usize);
    let left = left_of(backlog as usize, all)?;
    Ok(Figures {
        sustained,
        pace,
        idle,
        loaded,
        slow: witness.slow_times().percent(),
        low_rate: done as f64 / seconds,
        left,
    })
}

/// What is left of the backlog, of which something must be.
fn left_of(backlog: usize, done: usize) -> Result<usize> {
    match backlog.saturating_sub(done) {
        0 => bail!("the backlog was worked off before the urgent commands were timed"),
        left => Ok(left),
    }
}

/// Lets the chargers of the backlog in. They get their first command all at once; the pace is theirs from their first
/// answers on.
async fn settle(rig: &mut Rig, platform: &Platform, low: &Chargers, pace: Duration) -> Result<()> {
    let arrived = platform.results() + LOW_CHARGERS as usize;
    rig.connect_slow(Target::Edge, &low.prefix, LOW_CHARGERS, pace)
        .await?;
    until_results(platform, arrived).await
}

impl Figures {
    fn add_rows(&self, report: &mut Report) {
        let rate = |what: &str, rate| Row::new(what, rate, Unit::PerSecond);
        report.row(rate("low commands, as fast as they go", self.sustained));
        report.row(rate("low commands beside the urgent ones", self.low_rate));
        for percent in [50, 99] {
            add_rows(report, percent, "urgent", (&self.loaded.all, &self.idle.all));
            let steady = (&self.loaded.steady, &self.idle.steady);
            add_rows(report, percent, "steady urgent", steady);
        }
        report.note(format!(
            "urgent: {ROUNDS} times {COMMANDS} commands to {CHARGERS} chargers of the same edge, from the call of SendCommand, \
             and as many in between while the others are away; {LOW_CHARGERS} other chargers answer low ones after {} ms on \
             average, by which they take at most half of what was sustained; {} low ones still waited at the end. Steady are the {} and {} commands \
             beside which the machine itself kept its speed: by a thread that does always the same, it was slow for {} % of the time",
            self.pace.as_millis(),
            self.left,
            self.loaded.steady.ended.len(),
            self.idle.steady.ended.len(),
            self.slow
        ));
    }
}

/// The rows of one percentile.
fn add_rows(report: &mut Report, percent: usize, which: &str, (loaded, idle): (&Ways, &Ways)) {
    let row = |what: &str, of: fn(&Ways) -> &Samples| {
        let what = format!("{which} p{percent} until {what}");
        let row = Row::new(what, of(loaded).percentile_ms(percent), Unit::Milliseconds);
        row.floor(of(idle).percentile_ms(percent), "unloaded")
    };
    report.row(row("accepted", |times| &times.accepted));
    let arrived = row("at the charger", |times| &times.arrived);
    let ended = row("its result", |times| &times.ended);
    for row in [arrived, ended] {
        report.row(if percent == 99 {
            row.bar(Bar::RatioAtMost(BAR))
        } else {
            row
        });
    }
}

/// Urgent commands at their steady rate.
async fn times(
    platform: &mut Platform,
    urgent: &Chargers,
    journal: &Path,
    witness: &Witness,
) -> Result<Both> {
    let commands = platform.round(urgent, RATE, COMMANDS).await?;
    let (slow, journal) = (witness.slow_times(), platform::journal(journal)?);
    let steady = commands
        .iter()
        .filter(|(sent, took)| !slow.touch(sent.begun_us, *took));
    Ok(Both {
        steady: Ways::of(steady, &journal)?,
        all: Ways::of(&commands, &journal)?,
    })
}

/// How many low commands a second the machine sustains, their acceptance included.
#[allow(clippy::cast_precision_loss, reason = "counts of commands are small")]
async fn sustained(rig: &mut Rig, platform: &mut Platform) -> Result<f64> {
    let (prefix, _) = rig.connect(Target::Edge, LOW_CHARGERS).await?;
    let before = platform.results();
    let begun = Instant::now();
    platform
        .pile_up(&low_chargers(prefix), SUSTAINED, ABREAST)
        .await?;
    until_results(platform, before + SUSTAINED as usize).await?;
    let rate = f64::from(SUSTAINED) / begun.elapsed().as_secs_f64();
    rig.disconnect().await?;
    sleep(AFTERMATH).await;
    Ok(rate)
}

/// Waits until so many results were read in all.
async fn until_results(platform: &Platform, wanted: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while platform.results() < wanted {
        if Instant::now() > deadline {
            bail!("{} of {wanted} commands ended in time", platform.results());
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn low_chargers(prefix: String) -> Chargers {
    Chargers {
        prefix,
        count: LOW_CHARGERS,
        priority: Priority::Low,
    }
}
