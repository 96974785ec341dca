//! An urgent command against a backlog: its times to acceptance, to the charger and to the record on `command-results`
//! while the same edge works off tens of thousands of low ones at half of what the machine sustains, beside its times
//! while nobody works on them. Both are taken in turns, since the machine's own mood changes; a turn during which the
//! host gave the processors to others is taken again.
//!
//! The urgent commands go to chargers of their own: a charger that is busy with a low command takes as long as it
//! takes, and no gateway can help that.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::time::sleep;
use wire::gateway::command::v1::Priority;

use super::BenchArgs;
use super::host::Ticks;
use super::platform::{self, Chargers, Platform, Ways};
use super::report::{Bar, Report, Row, Unit};
use super::rig::{Rig, Target, announce};
use super::samples::Samples;
use crate::progress::say;
use crate::stack::binaries::Binaries;

/// How many times the unloaded p99 the p99 against the backlog may be.
const BAR: f64 = 2.0;

/// The backlog at the beginning of each turn, and the chargers that it waits for: so many that the machine, not the
/// time of one command, bounds what is sustained.
const BACKLOG: usize = 50_000;
const LOW_CHARGERS: u32 = 2_000;

/// Commands that tell what the machine sustains.
const SUSTAINED: u32 = 20_000;

/// Callers at a time.
const ABREAST: usize = 128;

/// Chargers of the urgent commands, commands a second, and how many are timed in a turn.
const CHARGERS: u32 = 50;
const RATE: u32 = 50;
const COMMANDS: u32 = 400;

/// Turns of each kind: with half of them two runs of one binary differ by a factor of two. And how many of a kind are
/// taken again at most.
const TURNS: usize = 6;
const MOST_AGAIN: usize = 15;

/// How much of the time in which processors are wanted the host may take in a turn, in percent. Where it takes more, as
/// a rule in one piece, the slowest hundredth of the commands tells of the host.
const STOLEN: f64 = 5.0;

/// From the leave of the backlog's chargers, or the last of it, to the next commands: what was to do at once is over then.
const AFTERMATH: Duration = Duration::from_secs(3);

/// How long a pile may take to be worked off.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the urgent commands are timed with.
struct Trial {
    rig: Rig,
    platform: Platform,
    urgent: Chargers,
    /// What the chargers of the urgent commands log.
    journal: PathBuf,
    low: Chargers,
    /// Low commands a second, as fast as they go.
    sustained: f64,
    /// How long each charger of the backlog takes for an answer.
    pace: Duration,
    /// Commands of the backlog that were sent.
    piled: usize,
    /// Results of all other commands.
    others: usize,
}

/// Where the chargers of the backlog are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Away,
    There,
}

/// Urgent commands of one turn.
struct Turn {
    times: Ways,
    /// Low commands that ended meanwhile, and how long that was.
    low: usize,
    seconds: f64,
    /// How much of the time in which processors were wanted the host took, in percent.
    stolen: f64,
}

/// The turns of one kind.
#[derive(Default)]
struct Turns {
    times: Ways,
    low: usize,
    seconds: f64,
    /// Of each turn that counts.
    stolen: Vec<f64>,
    /// How many were taken again.
    again: usize,
}

/// Measures and adds the rows.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    announce(
        "urgent",
        &format!("{RATE} urgent commands a second beside a backlog of {BACKLOG} low ones"),
    );
    let mut trial = Trial::start(report, args, binaries).await?;
    let (mut idle, mut loaded) = (Turns::default(), Turns::default());
    for _ in 0..TURNS {
        trial.turn(Backlog::Away, &mut idle).await?;
        trial.turn(Backlog::There, &mut loaded).await?;
    }
    add_rows(report, trial.sustained, (&idle, &loaded));
    report.note(trial.note());
    report.note(note_of_host(Ticks::now()?.tell(), (&idle, &loaded)));
    let Trial { rig, platform, .. } = trial;
    drop(platform);
    rig.stop().await;
    Ok(())
}

impl Trial {
    /// Connects the chargers of the urgent commands, and finds out what the machine sustains.
    async fn start(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<Self> {
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
        Ok(Self {
            low: low_chargers(rig.next_prefix()),
            sustained,
            pace: Duration::from_secs_f64(f64::from(LOW_CHARGERS) / (sustained / 2.0)),
            others: platform.results(),
            rig,
            platform,
            urgent,
            journal,
            piled: 0,
        })
    }

    /// A turn that counts.
    async fn turn(&mut self, backlog: Backlog, turns: &mut Turns) -> Result<()> {
        loop {
            self.pile_up().await?;
            let turn = match backlog {
                Backlog::Away => self.times().await?,
                Backlog::There => self.beside().await?,
            };
            let stolen = turn.stolen;
            if turns.take(turn) {
                return Ok(());
            }
            say(format!("the host took {stolen:.1} % of the time: once more"));
        }
    }

    async fn beside(&mut self) -> Result<Turn> {
        self.settle().await?;
        let turn = self.times().await?;
        if self.left() < LOW_CHARGERS as usize {
            bail!("the backlog was worked off while the urgent commands were timed");
        }
        self.rig.disconnect().await?;
        sleep(AFTERMATH).await;
        Ok(turn)
    }

    /// Makes the backlog whole.
    async fn pile_up(&mut self) -> Result<()> {
        let missing = BACKLOG.saturating_sub(self.left());
        if missing == 0 {
            return Ok(());
        }
        say(format!("piling up {missing} low commands"));
        let count = u32::try_from(missing)?;
        self.platform.pile_up(&self.low, count, ABREAST).await?;
        self.piled += missing;
        sleep(AFTERMATH).await;
        Ok(())
    }

    /// Commands of the backlog that have no end.
    fn left(&self) -> usize {
        (self.piled + self.others).saturating_sub(self.platform.results())
    }

    /// Lets the chargers of the backlog in. They get their first command all at once; the pace is theirs from their first
    /// answers on.
    async fn settle(&mut self) -> Result<()> {
        let arrived = self.platform.results() + LOW_CHARGERS as usize;
        self.rig
            .connect_slow(Target::Edge, &self.low.prefix, LOW_CHARGERS, self.pace)
            .await?;
        until_results(&self.platform, arrived).await
    }

    fn note(&self) -> String {
        format!(
            "urgent: {TURNS} times {COMMANDS} commands to {CHARGERS} chargers of the same edge, from the call of SendCommand, \
             and as many in between while the others are away; {LOW_CHARGERS} other chargers, for which {BACKLOG} low ones wait at first, \
             answer after {} ms on average, by which they take at most half of what was sustained",
            self.pace.as_millis()
        )
    }

    /// Urgent commands at their steady rate.
    async fn times(&mut self) -> Result<Turn> {
        let (before, begun, ticks) = (self.platform.results(), Instant::now(), Ticks::now()?);
        let commands = self.platform.round(&self.urgent, RATE, COMMANDS).await?;
        let stolen = Ticks::now()?.stolen_since(ticks);
        self.others += commands.len();
        let journal = platform::journal(&self.journal)?;
        Ok(Turn {
            times: Ways::of(&commands, &journal)?,
            low: (self.platform.results() - before).saturating_sub(commands.len()),
            seconds: begun.elapsed().as_secs_f64(),
            stolen,
        })
    }
}

impl Turns {
    /// Adds a turn, unless it is to be taken again.
    fn take(&mut self, turn: Turn) -> bool {
        if turn.stolen > STOLEN && self.again < MOST_AGAIN {
            self.again += 1;
            return false;
        }
        self.times.extend([turn.times]);
        self.low += turn.low;
        self.seconds += turn.seconds;
        self.stolen.push(turn.stolen);
        true
    }

    fn told(&self) -> String {
        let most = self.stolen.iter().copied().fold(0.0, f64::max);
        let sum: f64 = self.stolen.iter().sum();
        format!(
            "{} taken again, {:.1} % on average and {most:.1} % at most in those that count",
            self.again,
            sum / self.stolen.len().max(1) as f64
        )
    }
}

/// What the host took from the turns.
fn note_of_host(tells: bool, (idle, loaded): (&Turns, &Turns)) -> String {
    if !tells {
        return "host: if it takes processors away, it does not tell".to_owned();
    }
    format!(
        "host: a turn is taken again where it takes more than {STOLEN} % of the time in which processors are wanted, at most \
         {MOST_AGAIN} of a kind; unloaded {}; loaded {}",
        idle.told(),
        loaded.told()
    )
}

#[allow(clippy::cast_precision_loss, reason = "counts of commands are small")]
fn add_rows(report: &mut Report, sustained: f64, (idle, loaded): (&Turns, &Turns)) {
    let rate = |what: &str, rate| Row::new(what, rate, Unit::PerSecond);
    report.row(rate("low commands, as fast as they go", sustained));
    report.row(rate(
        "low commands beside the urgent ones",
        loaded.low as f64 / loaded.seconds,
    ));
    for percent in [50, 99] {
        add_percentile(report, percent, (&loaded.times, &idle.times));
    }
}

/// The rows of one percentile.
fn add_percentile(report: &mut Report, percent: usize, (loaded, idle): (&Ways, &Ways)) {
    let row = |what: &str, of: fn(&Ways) -> &Samples| {
        let what = format!("urgent p{percent} until {what}");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_the_host_disturbed_is_taken_again_but_not_for_ever() {
        let turn = |stolen| Turn {
            times: Ways::default(),
            low: 100,
            seconds: 1.0,
            stolen,
        };
        let mut turns = Turns::default();
        assert!(turns.take(turn(STOLEN)));
        for _ in 0..MOST_AGAIN {
            assert!(!turns.take(turn(STOLEN + 0.1)));
        }
        assert!(turns.take(turn(20.0)));
        assert_eq!((turns.low, turns.again), (200, MOST_AGAIN));
        let told = note_of_host(true, (&Turns::default(), &turns));
        assert!(told.contains("15 taken again") && told.contains("12.5 % on average and 20.0 % at most"));
        assert!(note_of_host(false, (&turns, &turns)).contains("does not tell"));
    }
}
