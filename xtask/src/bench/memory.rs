//! What an idle charger costs: the edge's resident memory with all of them minus without any, divided.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::BenchArgs;
use super::report::{Bar, Report, Row, Unit};
use super::rig::{Rig, Target, announce};
use crate::stack::binaries::Binaries;

/// What a charger may cost.
const BAR_BYTES: f64 = 4096.0;

/// Memory has settled when it moves less than this between two looks.
const STILL_BYTES: u64 = 64 * 1024;

/// The pause between two looks, and how many there are at most.
const LOOK: Duration = Duration::from_millis(500);
const LOOKS: usize = 20;

/// A server's memory.
#[derive(Debug, Clone, Copy)]
struct Cost {
    empty: u64,
    full: u64,
    chargers: u32,
}

impl Cost {
    /// Bytes a charger.
    fn each(self) -> f64 {
        let grown = self.full as f64 - self.empty as f64;
        grown / f64::from(self.chargers.max(1))
    }
}

/// Measures and adds the rows.
pub(super) async fn measure(report: &mut Report, args: &BenchArgs, binaries: &Binaries) -> Result<()> {
    let chargers = args.idle_chargers;
    announce(
        "memory",
        &format!("{chargers} idle chargers at an edge, then at a bare server"),
    );
    let mut rig = Rig::start("memory", args, binaries).await?;
    report.broker(rig.stack().broker_label());
    let edge = cost(&mut rig, Target::Edge, chargers).await?;
    let bare = cost(&mut rig, Target::Sink, chargers).await?;
    rig.stop().await;
    add_rows(report, edge, bare);
    Ok(())
}

fn add_rows(report: &mut Report, edge: Cost, bare: Cost) {
    let what = format!("edge memory an idle charger, {} of them", edge.chargers);
    let row = Row::new(what, edge.each(), Unit::Bytes);
    report.row(
        row.floor(bare.each(), "bare WebSocket")
            .bar(Bar::ValueAtMost(BAR_BYTES)),
    );
    report.row(Row::new("edge memory, empty", edge.empty as f64, Unit::Bytes));
    report.row(Row::new(
        "edge memory, all chargers connected",
        edge.full as f64,
        Unit::Bytes,
    ));
    report.note(
        "memory is VmRSS of the process; the kernel's share of a connection (about 4 KB a socket) is not included; \
         the bare server is tokio-tungstenite with 512 B buffers that holds no state, on the system's allocator",
    );
}

/// Looks at an empty server, connects the chargers, and looks again.
async fn cost(rig: &mut Rig, target: Target, chargers: u32) -> Result<Cost> {
    let empty = settled(rig, target).await?;
    rig.connect(target, chargers).await?;
    let full = settled(rig, target).await?;
    rig.disconnect().await?;
    Ok(Cost {
        empty,
        full,
        chargers,
    })
}

/// The resident memory once it stands still.
async fn settled(rig: &mut Rig, target: Target) -> Result<u64> {
    let mut before = rig.resident(target)?;
    for _ in 0..LOOKS {
        sleep(LOOK).await;
        let now = rig.resident(target)?;
        if now.abs_diff(before) < STILL_BYTES {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charger_costs_its_share_of_what_was_added() {
        let cost = Cost {
            empty: 1_000,
            full: 31_000,
            chargers: 10,
        };
        assert_eq!(cost.each(), 3_000.0);
        // Memory that was given back is no cost, and no overflow.
        assert_eq!(
            Cost {
                empty: 31_000,
                full: 1_000,
                ..cost
            }
            .each(),
            -3_000.0
        );
    }
}
