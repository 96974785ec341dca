//! How fast chargers connect: at the edge until all are registered, at the bare server until all are upgraded.

use anyhow::Result;

use super::BenchArgs;
use super::report::{Report, Row, Unit};
use super::rig::{Connected, Rig, Target, announce};
use super::samples::median;
use crate::progress::say;
use crate::stack::binaries::Binaries;

/// How often each server is measured, in turn.
const ROUNDS: usize = 3;

/// Rates of the rounds, a second.
#[derive(Debug, Default)]
struct Rates {
    bare: Vec<f64>,
    connected: Vec<f64>,
    registered: Vec<f64>,
}

/// Measures and adds the rows.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    let chargers = args.connecting_chargers;
    announce(
        "connects",
        &format!("{chargers} chargers at once, {ROUNDS} times at each server in turn"),
    );
    let mut rig = Rig::start("connects", args, binaries).await?;
    report.broker(rig.stack().broker_label());
    let mut rates = Rates::default();
    for _ in 0..ROUNDS {
        let bare = round(&mut rig, Target::Sink, chargers).await?;
        rates.bare.push(rate(chargers, bare.connected.as_secs_f64()));
        let edge = round(&mut rig, Target::Edge, chargers).await?;
        rates.connected.push(rate(chargers, edge.connected.as_secs_f64()));
        rates
            .registered
            .push(rate(chargers, edge.registered.as_secs_f64()));
    }
    rig.stop().await;
    add_rows(report, chargers, &rates);
    Ok(())
}

fn add_rows(report: &mut Report, chargers: u32, rates: &Rates) {
    let floor = median(&rates.bare);
    let registered = Row::new(
        format!("connect and register, {chargers} chargers"),
        median(&rates.registered),
        Unit::PerSecond,
    );
    report.row(registered.floor(floor, "bare accept and upgrade"));
    let connected = Row::new("of it: connect only", median(&rates.connected), Unit::PerSecond);
    report.row(connected.floor(floor, "bare accept and upgrade"));
    report.note(
        "connects are the median of the rounds, with the same simulator and settings at both servers, which share \
         the machine with it; here more is better, and there is no bar",
    );
}

async fn round(rig: &mut Rig, target: Target, chargers: u32) -> Result<Connected> {
    let (_, times) = rig.connect(target, chargers).await?;
    if times.failures > 0 {
        say(format!("{} attempts failed and were repeated", times.failures));
    }
    rig.disconnect().await?;
    Ok(times)
}

fn rate(chargers: u32, seconds: f64) -> f64 {
    f64::from(chargers) / seconds.max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_second_and_never_infinite() {
        assert_eq!(rate(5_000, 0.5), 10_000.0);
        assert!(rate(5_000, 0.0).is_finite());
    }
}
