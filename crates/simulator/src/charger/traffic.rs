//! The CALLs that a charger makes of its own accord, one at a time. Leaves out their payloads' variety: one
//! connector, one token, one register.
//!
//! What bills a session is kept until it is answered and repeated with the same messageId, also after a
//! reconnect. The rest is worth nothing later and is given up.

mod payloads;

use std::collections::VecDeque;
use std::time::Duration;

use ocpp::Version;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Now;
use crate::config::Config;
use crate::dice::Dice;

/// How many CALLs may wait; further periodic ones are left out.
const MAX_WAITING: usize = 16;

/// The wait before a BootNotification is repeated that was not accepted.
const BOOT_RETRY_US: u64 = 5_000_000;

/// Never, in the monotonic clock.
const NEVER: u64 = u64::MAX;

/// An own CALL.
#[derive(Debug, Clone)]
pub(super) struct OwnCall {
    pub(super) message_id: String,
    pub(super) action: &'static str,
    pub(super) payload: String,
    /// Repeated until answered.
    keep: bool,
}

/// What an answer meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Answered {
    /// The action of the CALL, unless the answer belongs to none that is outstanding.
    pub(super) action: Option<&'static str>,
    /// The charger was accepted by this answer.
    pub(super) booted: bool,
}

/// The schedule and the queue.
#[derive(Debug)]
pub(super) struct Traffic {
    version: Version,
    quiet: bool,
    booted: bool,
    is_connected: bool,
    /// Makes messageIds unique over restarts of the simulator.
    nonce: u64,
    next_message: u32,
    waiting: VecDeque<OwnCall>,
    outstanding: Option<Box<(OwnCall, u64)>>,
    call_timeout_us: u64,
    boot_due_us: u64,
    heartbeat: Period,
    meter: Period,
    transaction: Period,
    running: Option<Box<Transaction>>,
    meter_wh: u64,
}

/// Something that repeats.
#[derive(Debug)]
struct Period {
    every_us: u64,
    due_us: u64,
}

/// A transaction under way. The gateway names those of 1.6, so theirs has no id until it answers.
#[derive(Debug)]
struct Transaction {
    id: Option<String>,
    sequence: u64,
}

impl Traffic {
    /// The traffic of a charger that never connected.
    pub(super) fn new(config: &Config, dice: &mut Dice) -> Self {
        Self {
            version: config.version,
            quiet: config.quiet,
            booted: config.quiet,
            is_connected: false,
            nonce: dice.between(0, u64::MAX),
            next_message: 0,
            waiting: VecDeque::new(),
            outstanding: None,
            call_timeout_us: micros(config.call_timeout),
            boot_due_us: NEVER,
            heartbeat: Period::of(config.heartbeat),
            meter: Period::of(config.meter),
            transaction: Period::of(config.transaction),
            running: None,
            meter_wh: 0,
        }
    }

    /// A connection stands: boot if that never succeeded, tell the status, and spread the periods at random.
    pub(super) fn connected(&mut self, now: Now, dice: &mut Dice) {
        self.is_connected = true;
        self.boot_due_us = NEVER;
        if !self.booted {
            self.enqueue_boot();
        }
        if !self.quiet {
            self.enqueue("StatusNotification", payloads::status(self.version, now), false);
        }
        for period in [&mut self.heartbeat, &mut self.meter, &mut self.transaction] {
            period.begin(now, dice);
        }
    }

    /// The connection is gone: only what must not be lost waits for the next one.
    pub(super) fn disconnected(&mut self) {
        self.is_connected = false;
        self.give_up_outstanding();
        self.waiting.retain(|call| call.keep);
        self.waiting.shrink_to_fit();
    }

    /// When something is due; never while not connected.
    pub(super) fn next_due_us(&self) -> u64 {
        if !self.is_connected {
            return NEVER;
        }
        let deadline = self
            .outstanding
            .as_deref()
            .map_or(NEVER, |(_, deadline_us)| *deadline_us);
        let periods = [&self.heartbeat, &self.meter, &self.transaction].map(|period| period.due_us);
        periods.into_iter().fold(deadline.min(self.boot_due_us), u64::min)
    }

    /// Queues what is due; whether an own CALL timed out.
    pub(super) fn due(&mut self, now: Now, dice: &mut Dice) -> bool {
        let late = self
            .outstanding
            .as_deref()
            .is_some_and(|(_, deadline_us)| *deadline_us <= now.mono_us);
        if late {
            let boot = self.give_up_outstanding() == Some("BootNotification");
            self.boot_due_us = if boot {
                now.mono_us + BOOT_RETRY_US
            } else {
                self.boot_due_us
            };
        }
        if self.boot_due_us <= now.mono_us {
            self.boot_due_us = NEVER;
            self.enqueue_boot();
        }
        if self.heartbeat.is_due(now) {
            self.enqueue("Heartbeat", "{}".to_owned(), false);
        }
        if self.meter.is_due(now) {
            self.meter_wh += dice.between(10, 1000);
            self.enqueue_meter_values(now);
        }
        if self.transaction.is_due(now) {
            self.toggle_transaction(now);
        }
        late
    }

    /// The next CALL to write, which is then outstanding. Before the boot is accepted only the boot goes out.
    pub(super) fn take_next(&mut self, now: Now) -> Option<&OwnCall> {
        if self.outstanding.is_some() || !self.is_connected {
            return None;
        }
        let next = self.waiting.front()?;
        if !self.booted && next.action != "BootNotification" {
            return None;
        }
        let call = self.waiting.pop_front()?;
        let deadline_us = now.mono_us.saturating_add(self.call_timeout_us);
        let (call, _) = &**self.outstanding.insert(Box::new((call, deadline_us)));
        Some(call)
    }

    /// Takes the answer to an own CALL; `result` is `None` for a CALLERROR.
    pub(super) fn answered(&mut self, id: &str, result: Option<&RawValue>, now: Now) -> Answered {
        let Some(call) = self
            .outstanding
            .take_if(|outstanding| outstanding.0.message_id == id)
        else {
            return Answered::default();
        };
        let (call, _) = *call;
        let action = Some(call.action);
        let result: Value = result
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        match call.action {
            "BootNotification" if result["status"] == "Accepted" => {
                self.booted = true;
                return Answered { action, booted: true };
            }
            "BootNotification" => self.boot_due_us = now.mono_us + BOOT_RETRY_US,
            "StartTransaction" => match (&mut self.running, &result["transactionId"]) {
                (Some(running), Value::Number(id)) => running.id = Some(id.to_string()),
                _ => self.running = None,
            },
            _ => {}
        }
        Answered {
            action,
            booted: false,
        }
    }

    /// Frees the place of the outstanding CALL; one that must not be lost goes to the front of the queue.
    fn give_up_outstanding(&mut self) -> Option<&'static str> {
        let (call, _) = *self.outstanding.take()?;
        let action = call.action;
        if call.keep {
            self.waiting.push_front(call);
        }
        Some(action)
    }

    /// Puts a boot before everything else.
    fn enqueue_boot(&mut self) {
        let call = self.call("BootNotification", payloads::boot(self.version), false);
        self.waiting.push_front(call);
    }

    /// Puts a CALL at the end, unless it is dispensable and too many wait.
    fn enqueue(&mut self, action: &'static str, payload: String, keep: bool) {
        if keep || self.waiting.len() < MAX_WAITING {
            let call = self.call(action, payload, keep);
            self.waiting.push_back(call);
        }
    }

    /// A CALL with a fresh messageId.
    fn call(&mut self, action: &'static str, payload: String, keep: bool) -> OwnCall {
        self.next_message += 1;
        let message_id = format!("{:016x}-{}", self.nonce, self.next_message);
        OwnCall {
            message_id,
            action,
            payload,
            keep,
        }
    }

    /// Meter values, within the transaction if one runs.
    fn enqueue_meter_values(&mut self, now: Now) {
        if self.waiting.len() >= MAX_WAITING {
            return;
        }
        let (version, meter_wh) = (self.version, self.meter_wh);
        let (action, payload, keep) = match (&mut self.running, version.is_2x()) {
            (Some(running), true) => {
                running.sequence += 1;
                let id = running.id.as_deref().unwrap_or_default();
                let payload = payloads::transaction_event("Updated", id, running.sequence, meter_wh, now);
                ("TransactionEvent", payload, true)
            }
            (running, _) => {
                let id = running.as_ref().and_then(|running| running.id.as_deref());
                (
                    "MeterValues",
                    payloads::meter_values(version, id, meter_wh, now),
                    id.is_some(),
                )
            }
        };
        self.enqueue(action, payload, keep);
    }

    /// Starts a transaction, or ends the one that runs.
    fn toggle_transaction(&mut self, now: Now) {
        if self.waiting.len() >= MAX_WAITING {
            return;
        }
        let meter_wh = self.meter_wh;
        match (self.running.take().map(|running| *running), self.version) {
            (None, Version::V16) => {
                self.running = Some(Box::new(Transaction {
                    id: None,
                    sequence: 0,
                }));
                self.enqueue("StartTransaction", payloads::start(meter_wh, now), true);
            }
            (None, Version::V201 | Version::V21) => {
                let id = format!("{:016x}-t{}", self.nonce, self.next_message);
                let payload = payloads::transaction_event("Started", &id, 0, meter_wh, now);
                self.running = Some(Box::new(Transaction {
                    id: Some(id),
                    sequence: 0,
                }));
                self.enqueue("TransactionEvent", payload, true);
            }
            (Some(Transaction { id: Some(id), .. }), Version::V16) => {
                self.enqueue("StopTransaction", payloads::stop(&id, meter_wh, now), true);
            }
            (
                Some(Transaction {
                    id: Some(id),
                    sequence,
                }),
                _,
            ) => {
                let payload = payloads::transaction_event("Ended", &id, sequence + 1, meter_wh, now);
                self.enqueue("TransactionEvent", payload, true);
            }
            // The gateway has not named it yet: it ends at the next turn.
            (Some(unnamed @ Transaction { id: None, .. }), _) => self.running = Some(Box::new(unnamed)),
        }
    }
}

impl Period {
    /// A period that has not begun; zero means never.
    fn of(every: Duration) -> Self {
        Self {
            every_us: micros(every),
            due_us: NEVER,
        }
    }

    /// Begins at a random point of the period, so that a crowd does not act in step.
    fn begin(&mut self, now: Now, dice: &mut Dice) {
        if self.every_us > 0 {
            self.due_us = now.mono_us + dice.between(self.every_us / 2, self.every_us);
        }
    }

    /// Whether the time has come; if so, the next time is set.
    fn is_due(&mut self, now: Now) -> bool {
        let due = self.due_us <= now.mono_us;
        if due {
            self.due_us = now.mono_us + self.every_us;
        }
        due
    }
}

/// A duration in the unit of the clock.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}
