//! The circuit breaker toward Kafka: a router that is cut off from Kafka, while its peers need not be, stops taking
//! work that they could do.
//!
//! Open, it hands Kafka nothing but canaries, so that what it claims goes back to its queue at once; it begins to drain
//! no outbox, takes only timers that nobody else took, and sends each edge elsewhere, since an edge hears no canaries
//! by it; one that comes back within a minute found nobody better and stays, whatever opens meanwhile. It accepts
//! commands all the same. Where Kafka is away for everybody, every router is open and parks, as it must anyway.
//!
//! A failure counts only if nothing was confirmed since that record was sent: what fails beside confirmations is the
//! matter of a partition, not of this router. A confirmation closes it at once. So does an answer to the probe, but
//! that proves no more than that Kafka answers; each time it proves too little, the next pause is twice as long.
//! Left out: what becomes of a record that was under way when it opened; its own report tells.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::SendError;
use chassis::{MonoClock, Problems};
use domain::ids::PodId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::{BREAKER_OPEN, BREAKER_OPENINGS};
use crate::producers::Producers;

/// How long an open router leaves a timer to its peers, who look at each about once a second.
const LEFT_TO_PEERS_US: u64 = 1_500_000;
/// A pod that comes back within this time after it was turned away last, or came back, found no better router.
const TURNED_AWAY_US: u64 = 60_000_000;
/// How often it looks for a silence.
const LOOK: Duration = Duration::from_millis(250);
/// The longest pause before a probe, unless a longer one is configured.
const LONGEST_PAUSE_MS: u64 = 30_000;
/// Who looks so much later stood still itself, and cannot tell.
const STOOD_STILL_US: u64 = 1_000_000;

/// When the breaker opens, and how it finds out that it may close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// So many records in a row that Kafka did not take, while it took no other, open it.
    pub failures: u32,
    /// It opens when records wait and none was confirmed for so long.
    pub silence_ms: u64,
    /// How long an open one waits before it asks Kafka for a sign of life. Twice as long, up to 30 s, after each such
    /// sign that no confirmation followed.
    pub probe_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 3,
            silence_ms: 2_000,
            probe_ms: 1_000,
        }
    }
}

impl BreakerConfig {
    pub(crate) fn validate(&self, problems: &mut Problems) {
        problems.range("breaker.failures", self.failures, 1..=1_000_000);
        problems.range("breaker.silence_ms", self.silence_ms, 100..=600_000);
        problems.range("breaker.probe_ms", self.probe_ms, 100..=600_000);
    }
}

/// The breaker.
#[derive(Debug)]
pub struct Breaker {
    config: BreakerConfig,
    clock: MonoClock,
    open: watch::Sender<bool>,
    seen: Mutex<Seen>,
    turned_away: Mutex<HashMap<PodId, u64>>,
}

/// What was seen of Kafka.
#[derive(Debug, Default)]
struct Seen {
    /// Records without a report that were sent since it closed last.
    waiting: u64,
    /// When one was confirmed last, or when the first of those that wait was sent.
    progress_us: u64,
    /// Failures in a row.
    failed: u32,
    /// When somebody looked last.
    looked_us: u64,
    /// What a failure is compared with.
    signs: Signs,
    /// Times that it closed by the probe since something was confirmed.
    unproven: u32,
}

/// The signs of life so far. Counts, because two times of a clock may be the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Signs {
    /// Records that were confirmed.
    confirmed: u64,
    /// Times that the probe closed it.
    answered: u64,
}

/// A record on its way; what is dropped without a report waits no more, and says nothing of Kafka.
#[derive(Debug)]
pub struct Sent<'a> {
    breaker: &'a Breaker,
    /// What there was when it was sent.
    before: Signs,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        let mut seen = self.breaker.seen();
        if seen.signs.answered == self.before.answered {
            seen.waiting -= 1;
        }
    }
}

impl Sent<'_> {
    /// Its report came.
    pub fn reported<T>(self, report: &Result<T, SendError>) {
        match report {
            Ok(_) => self.breaker.confirmed(),
            // These say something of the record, and Kafka said it.
            Err(SendError::TooLarge { .. } | SendError::UnknownTopic { .. }) => {}
            Err(_) => self.breaker.failed(self.before),
        }
    }
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(config: BreakerConfig, clock: MonoClock) -> Self {
        Self {
            config,
            clock,
            open: watch::Sender::new(false),
            seen: Mutex::default(),
            turned_away: Mutex::default(),
        }
    }

    /// True while this router should leave to others what needs Kafka.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// A record is about to go out; refused while the breaker is open.
    pub fn send(&self) -> Result<Sent<'_>, SendError> {
        if self.is_open() {
            return Err(SendError::Refused {
                reason: "the circuit breaker toward Kafka is open".to_owned(),
                queued: false,
            });
        }
        Ok(self.sent())
    }

    /// A record goes out whatever the state is.
    pub fn sent(&self) -> Sent<'_> {
        let mut seen = self.seen();
        if seen.waiting == 0 {
            seen.progress_us = self.clock.now_us();
        }
        seen.waiting += 1;
        Sent {
            breaker: self,
            before: seen.signs,
        }
    }

    /// For how long a timer must have been due before this router takes it.
    #[must_use]
    pub fn leaves_timers_us(&self) -> u64 {
        if self.is_open() { LEFT_TO_PEERS_US } else { 0 }
    }

    /// Hears of openings from now on.
    #[must_use]
    pub fn openings(&self) -> Openings {
        Openings(self.open.subscribe())
    }

    /// Whether an edge that links should try another router first: once, while the breaker is open.
    pub fn turns_away(&self, pod: &PodId) -> bool {
        self.is_open() && self.turn_away(pod)
    }

    /// Whether an edge is to be sent elsewhere, which is remembered; false if it was a short while ago, and came back.
    pub fn turn_away(&self, pod: &PodId) -> bool {
        let now_us = self.clock.now_us();
        let mut pods = lock(&self.turned_away);
        pods.retain(|_, at| now_us.saturating_sub(*at) < TURNED_AWAY_US);
        pods.insert(pod.clone(), now_us).is_none()
    }

    /// Opens it on a silence, and closes it once `probe` succeeds, until `token` is cancelled. It does not probe where a
    /// confirmation closes it first.
    pub async fn run<F: Future<Output = bool>>(
        &self,
        token: CancellationToken,
        mut probe: impl FnMut() -> F,
    ) {
        let look = async {
            loop {
                if self.is_open() {
                    if !self.closes_within(self.pause()).await && probe().await {
                        self.answered();
                    }
                } else {
                    tokio::time::sleep(LOOK).await;
                    self.look();
                }
            }
        };
        token.run_until_cancelled(look).await;
    }

    /// Opens it if records wait and nothing is confirmed.
    fn look(&self) {
        let now_us = self.clock.now_us();
        let silent = {
            let mut seen = self.seen();
            if now_us.saturating_sub(seen.looked_us) > STOOD_STILL_US {
                seen.progress_us = now_us;
            }
            seen.looked_us = now_us;
            seen.waiting > 0 && now_us.saturating_sub(seen.progress_us) >= self.config.silence_ms * 1_000
        };
        if silent {
            self.trip("no record was confirmed of late");
        }
    }

    /// How long to wait before the next probe.
    fn pause(&self) -> Duration {
        let (first, unproven) = (self.config.probe_ms, self.seen().unproven);
        let doubled = first.saturating_mul(2_u64.saturating_pow(unproven));
        Duration::from_millis(doubled.min(LONGEST_PAUSE_MS.max(first)))
    }

    /// Waits for so long, or until it is closed, which it tells.
    async fn closes_within(&self, pause: Duration) -> bool {
        let mut open = self.open.subscribe();
        tokio::time::timeout(pause, open.wait_for(|open| !*open))
            .await
            .is_ok()
    }

    /// A record was confirmed: Kafka takes what this router writes.
    fn confirmed(&self) {
        {
            let mut seen = self.seen();
            (seen.failed, seen.unproven, seen.progress_us) = (0, 0, self.clock.now_us());
            seen.signs.confirmed += 1;
        }
        if self.is_open() {
            self.close();
        }
    }

    /// A record failed that was sent when there had been these signs of life.
    fn failed(&self, before: Signs) {
        let failed = {
            let mut seen = self.seen();
            if seen.signs != before {
                return;
            }
            seen.failed = seen.failed.saturating_add(1);
            seen.failed
        };
        if failed >= self.config.failures {
            self.trip("records failed one after the other");
        }
    }

    fn trip(&self, why: &str) {
        if self.open.send_if_modified(|open| !std::mem::replace(open, true)) {
            metrics::gauge!(BREAKER_OPEN).set(1.0);
            metrics::counter!(BREAKER_OPENINGS).increment(1);
            tracing::warn!("Kafka is left to the other routers: {why}");
        }
    }

    /// Kafka answered the probe. It proves little: the next failure opens the breaker again. What was sent before counts
    /// no more.
    fn answered(&self) {
        if !self.is_open() {
            return;
        }
        {
            let mut seen = self.seen();
            seen.signs.answered += 1;
            seen.waiting = 0;
            seen.failed = self.config.failures.saturating_sub(1);
            seen.unproven = seen.unproven.saturating_add(1);
        }
        self.close();
    }

    fn close(&self) {
        if self.open.send_if_modified(|open| std::mem::replace(open, false)) {
            metrics::gauge!(BREAKER_OPEN).set(0.0);
            tracing::info!("Kafka is back");
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

/// Hears of openings; of one that was over before it was asked, nothing.
#[derive(Debug)]
pub struct Openings(watch::Receiver<bool>);

impl Openings {
    /// Waits for the next opening. Cancel safe.
    pub async fn next(&mut self) {
        while self.0.changed().await.is_ok() {
            if *self.0.borrow_and_update() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// A sign of life of Kafka: it tells where a topic is.
pub(crate) async fn answers(producers: &Producers, topic: &str) -> bool {
    let answer = producers.warm(&[topic]).await;
    answer
        .inspect_err(|error| tracing::debug!(%error, "Kafka gives no sign of life"))
        .is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
