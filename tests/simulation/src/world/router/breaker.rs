//! The breaker toward Kafka: the rules of `crates/router`'s `Breaker`, over the reports of this world. Open, a router
//! produces canaries only, drains nothing, leaves timers to its peers for a while, and sends each edge elsewhere once.

use std::collections::BTreeMap;

use super::super::event::RouterEvent;
use super::super::kafka::Content;
use super::super::{Node, World};
use crate::plan::{MS, SECOND};

/// So many records in a row that Kafka did not take open it.
const FAILURES: u32 = 3;
/// So does a silence of this length while records wait.
const SILENCE_US: u64 = 2 * SECOND;
/// How long an open one waits before it asks for a sign of life; twice as long each time that it proved too little.
const PROBE_US: u64 = SECOND;
const LONGEST_PAUSE_US: u64 = 30 * SECOND;
/// Who looks so much later stood still itself.
const STOOD_STILL_US: u64 = 1_250 * MS;
/// How long an open router leaves a timer to its peers.
const LEFT_TO_PEERS_US: u64 = 1_500 * MS;
/// A pod that comes back within this time found no better router.
const TURNED_AWAY_US: u64 = 60 * SECOND;

/// A router's breaker.
#[derive(Debug, Default)]
pub(in crate::world) struct Breaker {
    open: bool,
    /// Records without a report, and the signs of life before each.
    sent: BTreeMap<u64, Signs>,
    /// When one was confirmed last, or when the first of those that wait was sent.
    progress: u64,
    failed: u32,
    looked: u64,
    signs: Signs,
    /// Times that it closed by the probe since something was confirmed.
    unproven: u32,
    probe_at: u64,
    turned_away: BTreeMap<usize, u64>,
}

/// Records that were confirmed, and probes that closed it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Signs {
    confirmed: u64,
    answered: u64,
}

impl Breaker {
    pub(in crate::world) fn is_open(&self) -> bool {
        self.open
    }

    /// For how long a timer must have been due before this router takes it.
    pub(super) fn leaves_timers_us(&self) -> u64 {
        if self.open { LEFT_TO_PEERS_US } else { 0 }
    }

    fn sent(&mut self, token: u64, now: u64) {
        if self.sent.is_empty() {
            self.progress = now;
        }
        self.sent.insert(token, self.signs);
    }

    /// A report came; true if it opens the breaker.
    fn reported(&mut self, token: u64, stored: bool, now: u64) -> bool {
        let Some(before) = self.sent.remove(&token) else {
            return false;
        };
        if stored {
            (self.failed, self.unproven, self.progress) = (0, 0, now);
            self.signs.confirmed += 1;
            self.open = false;
        } else if before == self.signs {
            self.failed += 1;
            return self.failed >= FAILURES && self.trip(now);
        }
        false
    }

    /// Looks for a silence; true if it opens the breaker.
    fn look(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.looked) > STOOD_STILL_US {
            self.progress = now;
        }
        self.looked = now;
        let silent = !self.sent.is_empty() && now.saturating_sub(self.progress) >= SILENCE_US;
        silent && self.trip(now)
    }

    fn trip(&mut self, now: u64) -> bool {
        self.probe_at = now + self.pause();
        !std::mem::replace(&mut self.open, true)
    }

    fn pause(&self) -> u64 {
        (PROBE_US << self.unproven.min(8)).min(LONGEST_PAUSE_US)
    }

    /// Kafka gave a sign of life, or not. It proves little: the next failure opens the breaker again, but what was sent
    /// before counts no more.
    fn probed(&mut self, answers: bool, now: u64) {
        if !answers {
            self.probe_at = now + self.pause();
            return;
        }
        self.open = false;
        self.signs.answered += 1;
        self.sent.clear();
        (self.failed, self.progress) = (FAILURES - 1, now);
        self.unproven += 1;
    }

    /// Whether an edge is to be sent elsewhere: not if it was a short while ago, and came back.
    fn turn_away(&mut self, pod: usize, now: u64) -> bool {
        self.turned_away
            .retain(|_, at| now.saturating_sub(*at) < TURNED_AWAY_US);
        self.turned_away.insert(pod, now).is_none()
    }
}

impl World {
    /// Produces what is no canary: refused while the breaker is open.
    pub(super) fn produce_if_closed(&mut self, n: usize, token: u64, content: Content) {
        if self.routers[n].breaker.open {
            let stored = false;
            return self.plan_router(n, 0, RouterEvent::Report { token, stored });
        }
        self.produce_anyway(n, token, content);
    }

    /// Produces whatever the breaker's state is.
    pub(super) fn produce_anyway(&mut self, n: usize, token: u64, content: Content) {
        let now = self.schedule.now();
        self.routers[n].breaker.sent(token, now);
        self.produce(n, token, content);
    }

    /// The breaker hears of a report.
    pub(super) fn breaker_hears(&mut self, n: usize, token: u64, stored: bool) {
        let now = self.schedule.now();
        if self.routers[n].breaker.reported(token, stored, now) {
            self.breaker_opened(n, "records failed one after the other");
        }
    }

    /// The breaker looks for a silence, or whether Kafka answers.
    pub(super) fn breaker_tick(&mut self, n: usize) {
        let now = self.schedule.now();
        let (here, kafka) = (Node::Router(n), Node::Kafka);
        let answers = !self.is_cut(here, kafka) && !self.is_cut(kafka, here) && !self.kafka.stands_still(now);
        let breaker = &mut self.routers[n].breaker;
        if breaker.open && now >= breaker.probe_at {
            breaker.probed(answers, now);
        } else if !breaker.open && breaker.look(now) {
            self.breaker_opened(n, "no record was confirmed of late");
        }
    }

    /// Each edge that was not sent elsewhere of late is; it lives on and is not suspect.
    fn breaker_opened(&mut self, n: usize, why: &str) {
        self.stats.saw("a breaker opens");
        self.trace.line(self.schedule.now(), || {
            format!("router {n} leaves Kafka to the others: {why}")
        });
        let wires: Vec<(u64, usize)> = self.routers[n].wires.iter().map(|(w, s)| (*w, s.edge)).collect();
        for (wire, edge) in wires {
            if self.turn_away(n, wire, edge) {
                self.routers[n].wires.remove(&wire);
            }
        }
    }

    /// Whether an edge that opens a link is sent elsewhere.
    pub(super) fn turns_away(&mut self, n: usize, wire: u64, edge: usize) -> bool {
        self.routers[n].breaker.open && self.turn_away(n, wire, edge)
    }

    fn turn_away(&mut self, n: usize, wire: u64, edge: usize) -> bool {
        let (pod, now) = (self.pod_of(edge), self.schedule.now());
        let away = self.routers[n].breaker.turn_away(pod, now);
        if away {
            self.stats.saw("an edge is sent to another router");
            self.break_towards_edge(n, wire, edge);
        } else {
            self.stats.saw("an edge stays, as it came back");
        }
        away
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_beside_a_confirmation_open_nothing_and_a_probe_that_proves_little_doubles_the_pause() {
        let mut breaker = Breaker::default();
        (0..4).for_each(|token| breaker.sent(token, 1));
        assert!(!breaker.reported(0, true, 2));
        assert!(!(1..4).any(|token| breaker.reported(token, false, 3)));
        (4..7).for_each(|token| breaker.sent(token, 4));
        assert!(!breaker.reported(4, false, 5) && !breaker.reported(5, false, 5));
        assert!(breaker.reported(6, false, 5) && breaker.is_open());
        assert_eq!(breaker.pause(), PROBE_US);
        breaker.probed(true, 6);
        assert!(!breaker.is_open());
        breaker.sent(7, 7);
        assert!(breaker.reported(7, false, 8));
        assert_eq!(breaker.pause(), 2 * PROBE_US);
    }

    #[test]
    fn a_pod_is_turned_away_once_in_a_while() {
        let mut breaker = Breaker::default();
        assert!(breaker.turn_away(0, 1) && breaker.turn_away(1, 1));
        assert!(!breaker.turn_away(0, TURNED_AWAY_US));
        assert!(!breaker.turn_away(0, 2 * TURNED_AWAY_US - 1));
        assert!(breaker.turn_away(0, 4 * TURNED_AWAY_US));
    }
}
