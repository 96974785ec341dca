//! Lines about chargers that misbehave: each names the charger and the reason, and none of them can fill the log.
//!
//! A charger that repeats itself is named once a minute for each reason, and all chargers together get so many lines
//! a second; what is withheld is counted in the next line. The metrics count everything. Leaves out what misbehaving is.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use chassis::MonoClock;
use domain::ids::stable_hash;

/// The same charger and reason are named again after this.
const AGAIN_MS: u64 = 60_000;
/// Lines a second.
const LINES_A_SECOND: u32 = 20;
/// Chargers and reasons that are remembered. Beyond, nobody new is named until some are forgotten.
const REMEMBERED: usize = 10_000;

/// Where misbehaviour is told.
pub struct Complaints {
    clock: MonoClock,
    limiter: Mutex<Limiter>,
    tell: Box<dyn Fn(&Complaint<'_>) + Send + Sync>,
}

/// One line.
pub struct Complaint<'a> {
    /// Who; where that is not known, its address.
    pub charge_point_id: &'a str,
    /// In which way, one of [`crate::metrics::reasons`].
    pub reason: &'static str,
    /// Lines that were withheld before this one.
    pub withheld: u64,
    /// What happened.
    pub detail: &'a dyn Display,
}

#[derive(Debug, Default)]
struct Limiter {
    named_ms: BTreeMap<(u64, &'static str), u64>,
    second: u64,
    lines: u32,
    withheld: u64,
}

impl Complaints {
    /// Told in the log.
    #[must_use]
    pub fn logged(clock: MonoClock) -> Self {
        Self::told(clock, warn)
    }

    /// Told otherwise.
    pub fn told(clock: MonoClock, tell: impl Fn(&Complaint<'_>) + Send + Sync + 'static) -> Self {
        Self {
            clock,
            limiter: Mutex::default(),
            tell: Box::new(tell),
        }
    }

    /// Says what a charger did, unless that was said of late. Where it is not known who it is, its address is named.
    pub fn say(&self, charge_point_id: &str, reason: &'static str, detail: impl Display) {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = limiter.admit(charge_point_id, reason, self.clock.now_ms());
        drop(limiter);
        if let Some(withheld) = admitted {
            (self.tell)(&Complaint {
                charge_point_id,
                reason,
                withheld,
                detail: &detail,
            });
        }
    }
}

fn warn(complaint: &Complaint<'_>) {
    let Complaint {
        charge_point_id,
        reason,
        withheld,
        detail,
    } = complaint;
    tracing::warn!(
        charge_point_id,
        reason,
        withheld,
        "a charger misbehaves: {detail}"
    );
}

impl Limiter {
    /// How many lines were withheld before this one; none if this one is withheld, too.
    fn admit(&mut self, who: &str, reason: &'static str, now_ms: u64) -> Option<u64> {
        if self.second != now_ms / 1_000 {
            (self.second, self.lines) = (now_ms / 1_000, 0);
        }
        let key = (stable_hash(who.as_bytes()), reason);
        let recent = |at: &u64| now_ms.saturating_sub(*at) < AGAIN_MS;
        if self.named_ms.len() >= REMEMBERED {
            self.named_ms.retain(|_, at| recent(at));
        }
        let again = self.named_ms.get(&key).is_some_and(recent);
        if again || self.lines >= LINES_A_SECOND || self.named_ms.len() >= REMEMBERED {
            self.withheld += 1;
            return None;
        }
        self.lines += 1;
        self.named_ms.insert(key, now_ms);
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charger_that_repeats_itself_is_named_once_a_minute_for_each_reason() {
        let mut limiter = Limiter::default();
        assert_eq!(limiter.admit("CP-1", "binary_message", 5), Some(0));
        for second in 1..60 {
            assert_eq!(limiter.admit("CP-1", "binary_message", second * 1_000), None);
        }
        assert_eq!(limiter.admit("CP-1", "message_too_large", 30_000), Some(59));
        assert_eq!(limiter.admit("CP-1", "binary_message", 60_005), Some(0));
    }

    #[test]
    fn a_crowd_gets_so_many_lines_a_second_and_a_bounded_memory() {
        let mut limiter = Limiter::default();
        let said = |limiter: &mut Limiter, at_ms: u64| {
            let names = (0..1_000).map(|n| format!("CP-{at_ms}-{n}"));
            names
                .filter_map(|name| limiter.admit(&name, "bad_request", at_ms))
                .count()
        };
        assert_eq!(said(&mut limiter, 0), 20);
        assert_eq!(said(&mut limiter, 1_000), 20);
        for second in 2..2_000 {
            said(&mut limiter, second * 1_000);
        }
        assert!(limiter.named_ms.len() <= REMEMBERED);
    }
}
