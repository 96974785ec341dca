//! One task a shard for everything that happens by time: the machine's ticks, the calls' timeouts, pings, and the
//! end of silent connections. There is no timer a connection.

use std::sync::Arc;
use std::time::Duration;

use domain::edge::Input;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::OcppConfig;
use crate::hub::Hub;
use crate::shard::Sweep;

/// How often a shard is looked at; calls time out up to this much later.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two sweeps over all connections.
const TICKS_A_SWEEP: u32 = 10;

/// The periods of a sweep, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Periods {
    /// A silent connection is pinged this often.
    pub ping_s: u32,
    /// A connection silent for so long is closed.
    pub idle_s: u32,
}

impl From<&OcppConfig> for Periods {
    fn from(config: &OcppConfig) -> Self {
        let seconds = |ms: u64| u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
        Self {
            ping_s: seconds(config.ping_interval_ms),
            idle_s: seconds(config.idle_timeout_ms),
        }
    }
}

/// Drives the shard `index` until `token` is cancelled.
pub async fn drive(hub: Arc<Hub>, index: usize, periods: Periods, token: CancellationToken) {
    let Some(shard) = hub.shards.get(index) else {
        return;
    };
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u32;
    while token.run_until_cancelled(ticks.tick()).await.is_some() {
        shard.input(hub.clock.now(), Input::Tick, &hub.queue);
        shard.run_timers(hub.clock.mono_ms());
        count = count.wrapping_add(1);
        if count.is_multiple_of(TICKS_A_SWEEP) {
            let now_s = u32::try_from(hub.clock.mono_ms() / 1_000).unwrap_or(u32::MAX);
            shard.sweep(Sweep {
                now_s,
                ping_s: periods.ping_s,
                idle_s: periods.idle_s,
            });
            if index == 0 {
                let remembered: usize = hub.shards.iter().map(crate::shard::Shard::remembered).sum();
                let remembered = u32::try_from(remembered).unwrap_or(u32::MAX);
                metrics::gauge!(crate::metrics::REMEMBERED).set(f64::from(remembered));
            }
        }
    }
}
