//! What all parts of the edge share: the shards, the clock, the way to the router and the way up.
//!
//! Leaves out the tasks that drive it. There is no directory of chargers: the hash of the identity names the shard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use chassis::{MonoClock, Readiness, history};
use domain::command::RedeliveryClass;
use domain::edge::{EdgeSettings, EdgeTime, Failed, Input, Socket, Terms};
use domain::ids::{ChargePointId, CommandId, Version, stable_hash};
use ocpp::AnswerPolicy;
use serde_json::json;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::clock::EdgeClock;
use crate::complaints::Complaints;
use crate::config::EdgeConfig;
use crate::link::LinkQueue;
use crate::metrics::Meters;
use crate::shard::{Mailbox, Shard};
use crate::upstream::Upstream;

/// The shared parts of one edge.
pub struct Hub {
    /// The parts that the connections are divided into.
    pub shards: Box<[Shard]>,
    /// The edge's time.
    pub clock: EdgeClock,
    /// What waits for the router.
    pub queue: LinkQueue,
    /// The way to Kafka.
    pub upstream: Upstream,
    /// What connections need of the configuration.
    pub limits: Limits,
    /// What is counted often.
    pub meters: Meters,
    /// What chargers did wrong.
    pub complaints: Complaints,
    /// Whether the edge may take chargers.
    pub readiness: Readiness,
    open: AtomicUsize,
}

/// What connections need of the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How the WebSocket library buffers.
    pub websocket: WebSocketConfig,
    /// Bounds of a message.
    pub frame: ocpp::Limits,
    /// The edge's own answers.
    pub answers: AnswerPolicy,
    /// Open connections.
    pub max_connections: usize,
    /// How long a closed connection may linger.
    pub close_linger_ms: u64,
    /// How long a CALL waits where its record does not say.
    pub call_timeout_ms: u64,
    /// How long a charger may take nothing of what is written to it.
    pub write_timeout_ms: u64,
    /// Whether spans are exported, so that what chargers say begins one.
    pub traced: bool,
}

impl Hub {
    /// The shared parts by a configuration.
    #[must_use]
    pub fn new(config: &EdgeConfig, mono: MonoClock, upstream: Upstream, readiness: Readiness) -> Self {
        let count = config.ocpp.shards.max(1);
        let shard = |index| Shard::new(EdgeSettings::default(), index as u64, count as u64);
        Self {
            shards: (0..count).map(shard).collect(),
            complaints: Complaints::logged(mono.clone()),
            clock: EdgeClock::new(mono),
            queue: LinkQueue::new(
                config.link.max_queue,
                Duration::from_millis(config.link.low_priority_linger_ms),
            ),
            upstream,
            limits: Limits::of(config),
            meters: Meters::new(),
            readiness,
            open: AtomicUsize::new(0),
        }
    }

    /// Gives a charger's shard an input.
    pub fn input(&self, charge_point: &ChargePointId, input: Input) {
        self.shard(charge_point)
            .input(self.clock.now(), input, &self.queue);
    }

    /// Gives an input to every shard.
    pub fn input_all(&self, input: &Input) {
        for shard in &self.shards {
            shard.input(self.clock.now(), input.clone(), &self.queue);
        }
    }

    /// Gives an input of a router to its shard: that of the charger `about`, where the router named one. A version that
    /// a registration brought goes into the history.
    pub fn take(&self, about: Option<ChargePointId>, input: Input) {
        let registered = match &input {
            Input::Registered { charge_point, .. } if history::is_on() => Some(charge_point.clone()),
            _ => None,
        };
        match about {
            Some(charge_point) => self.input(&charge_point, input),
            None => self.route(input),
        }
        let Some(charge_point) = registered else { return };
        if let Some((socket, version)) = self.shard(&charge_point).holds(&charge_point) {
            history::note(
                "version",
                || json!({ "cp": charge_point.as_str(), "socket": socket.0, "version": version.0 }),
            );
        }
    }

    /// Gives an input to the shard that it is about. One that names a command and nothing else goes to all: the shards
    /// that do not know the command pass it over.
    pub fn route(&self, input: Input) {
        match &input {
            Input::Opened { charge_point, .. }
            | Input::Closed { charge_point, .. }
            | Input::Wrote { charge_point, .. }
            | Input::NotWritten { charge_point, .. }
            | Input::Answer { charge_point, .. }
            | Input::CallTimeout { charge_point, .. }
            | Input::Registered { charge_point, .. }
            | Input::RegisterRefused { charge_point, .. }
            | Input::Kick { charge_point, .. }
            | Input::Cancel { charge_point, .. }
            | Input::Failed(Failed::Register(charge_point)) => {
                let shard = self.shard(charge_point);
                shard.input(self.clock.now(), input, &self.queue);
            }
            Input::Record { command, .. } => {
                let shard = self.shard(&command.charge_point);
                shard.input(self.clock.now(), input, &self.queue);
            }
            Input::ConnectionsRenewed { request, .. } | Input::Failed(Failed::Renewal(request)) => {
                let index = usize::try_from(request % self.shards.len() as u64).unwrap_or_default();
                if let Some(shard) = self.shards.get(index) {
                    shard.input(self.clock.now(), input, &self.queue);
                }
            }
            Input::Grant { .. }
            | Input::IntentRefused { .. }
            | Input::NonWriteConfirmed { .. }
            | Input::AnswerConfirmed { .. }
            | Input::Failed(Failed::Command(_))
            | Input::LinkUp
            | Input::LinkDown
            | Input::IncarnationTaken(_)
            | Input::LeaseLapsed
            | Input::LeaseRenewed
            | Input::EpochChanged
            | Input::Tick => self.input_all(&input),
        }
    }

    /// A charger connected; its place among the connections, or none if there is no room.
    #[must_use]
    pub fn try_enter(&self) -> bool {
        let most = self.limits.max_connections;
        let entered = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                (open < most).then_some(open + 1)
            });
        entered.is_ok()
    }

    /// Gives a place back.
    pub fn leave(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many places are taken.
    #[must_use]
    pub fn entered(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// A connection begins.
    pub fn open(&self, charge_point: &ChargePointId, version: ocpp::Version) -> Socket {
        self.meters.connections.increment(1);
        self.meters.active.increment(1.0);
        self.upstream.connected(charge_point, version);
        let shard = self.shard(charge_point);
        let socket = shard.open(self.clock.now(), charge_point, version.subprotocol(), &self.queue);
        history::note(
            "open",
            || json!({ "cp": charge_point.as_str(), "socket": socket.0 }),
        );
        socket
    }

    /// A connection ended.
    pub fn close(&self, charge_point: &ChargePointId, socket: Socket, unwritten: Vec<CommandId>) {
        self.meters.active.decrement(1.0);
        self.shard(charge_point)
            .close(self.clock.now(), charge_point, socket, unwritten, &self.queue);
    }

    /// A connection rests: its waker stays here, its mail is taken.
    pub fn sync(
        &self,
        charge_point: &ChargePointId,
        socket: Socket,
        waker: &Waker,
        seen: bool,
    ) -> Option<Box<Mailbox>> {
        let now_s = u32::try_from(self.clock.mono_ms() / 1_000).unwrap_or(u32::MAX);
        self.shard(charge_point)
            .sync(socket, waker, seen.then_some(now_s))
    }

    /// The last look before a CALL is written: if it may be, the time at which that was so.
    #[must_use]
    pub fn may_write(&self, charge_point: &ChargePointId, id: CommandId) -> Option<EdgeTime> {
        let now = self.clock.now();
        self.shard(charge_point).may_write(id, now).then_some(now)
    }

    /// Notes in the history that a CALL is about to be written, under which terms, and by which time it may be. That is
    /// the time of the look: one read here would tell of a process that stood still in between.
    pub fn note_write(
        &self,
        charge_point: &ChargePointId,
        socket: Socket,
        (id, now): (CommandId, EdgeTime),
        terms: &Terms,
    ) {
        history::note("write", || {
            json!({
                "id": id.to_string(), "cp": charge_point.as_str(), "socket": socket.0,
                "version": terms.version.0, "dispatch": terms.dispatch.0, "inc": terms.incarnation.0,
                "attempt": terms.attempt, "unsafe": terms.class == RedeliveryClass::Unsafe,
                "nonce": terms.nonce.map(|nonce| nonce.0), "priority": terms.priority.number(),
                "deadline_us": terms.deadline.0, "redis_upper_us": now.redis_upper.0,
                "lease_until_m_us": self.clock.machine_us(now.lease_until_mono_us),
            })
        });
    }

    /// Notes that the socket took no byte of what [`Hub::note_write`] announced.
    pub fn note_unwritten(&self, charge_point: &ChargePointId, socket: Socket, id: CommandId) {
        history::note(
            "unwritten",
            || json!({ "id": id.to_string(), "cp": charge_point.as_str(), "socket": socket.0 }),
        );
    }

    /// The highest connection version that this edge holds.
    #[must_use]
    pub fn floor(&self) -> Version {
        self.shards.iter().map(Shard::floor).max().unwrap_or_default()
    }

    /// The shard of a charger.
    #[must_use]
    pub fn shard(&self, charge_point: &ChargePointId) -> &Shard {
        let index = stable_hash(charge_point.as_str().as_bytes()) % self.shards.len() as u64;
        // The remainder is an index; an edge has at least one shard.
        &self.shards[usize::try_from(index).unwrap_or_default()]
    }
}

impl Limits {
    fn of(config: &EdgeConfig) -> Self {
        let ocpp = &config.ocpp;
        Self {
            websocket: WebSocketConfig::default()
                .read_buffer_size(ocpp.read_buffer_bytes)
                .write_buffer_size(0)
                .max_write_buffer_size(ocpp.max_write_buffer_bytes)
                .max_message_size(Some(ocpp.max_message_bytes))
                .max_frame_size(Some(ocpp.max_message_bytes)),
            frame: ocpp::Limits {
                max_bytes: ocpp.max_message_bytes,
                ..ocpp::Limits::default()
            },
            answers: AnswerPolicy::from(&config.answers),
            max_connections: ocpp.max_connections,
            close_linger_ms: ocpp.close_linger_ms,
            call_timeout_ms: ocpp.call_timeout_ms,
            write_timeout_ms: ocpp.write_timeout_ms,
            traced: config.telemetry.otlp_endpoint.is_some(),
        }
    }
}
