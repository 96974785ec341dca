//! What the tests of this crate share: a hub without Kafka, and chargers over a pipe.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::{ManualClock, MonoClock, Readiness};
use domain::command::{Priority, RedeliveryClass};
use domain::edge::{Input, RoutedCommand};
use domain::ids::{
    ChargePointId, CommandId, DispatchNumber, Incarnation, Micros, PodId, Sequence, Slot, Version,
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wire::gateway::link::v1::up_item::Item;

use crate::complaints::Complaints;
use crate::config::EdgeConfig;
use crate::connection::{Connection, Outlet};
use crate::hub::Hub;
use crate::shard::Sweep;
use crate::upstream::{Confirmation, EventSink, NotTaken, Upstream};

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The life of the pod in tests.
pub(crate) const LIFE: Incarnation = Incarnation(7);

/// A sink that keeps events, and confirms them when it is told to.
pub(crate) struct FakeSink {
    pub(crate) events: Mutex<VecDeque<serde_json::Value>>,
    /// The headers that each event would have.
    pub(crate) headers: Mutex<Vec<bus::Headers>>,
    verdict: watch::Sender<Option<bool>>,
    full: AtomicBool,
}

impl FakeSink {
    /// `verdict` is what becomes of events: durable, lost, or nothing yet.
    pub(crate) fn new(verdict: Option<bool>) -> Arc<Self> {
        let (events, headers, full) = Default::default();
        Arc::new(Self {
            events,
            headers,
            verdict: watch::channel(verdict).0,
            full,
        })
    }

    pub(crate) fn decide(&self, durable: bool) {
        self.verdict.send_replace(Some(durable));
    }

    pub(crate) fn fill(&self) {
        self.full.store(true, Ordering::SeqCst);
    }

    pub(crate) fn types(&self) -> Vec<String> {
        self.events
            .lock()
            .unwrap()
            .iter()
            .map(|e| e["eventType"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl EventSink for FakeSink {
    fn send(&self, charge_point_id: &str, event: Vec<u8>) -> Result<Confirmation, NotTaken> {
        if self.full.load(Ordering::SeqCst) {
            return Err(NotTaken);
        }
        self.send_and_forget(charge_point_id, event);
        let mut verdict = self.verdict.subscribe();
        Ok(Box::pin(async move {
            let decided = verdict.wait_for(Option::is_some).await.map(|verdict| *verdict);
            decided.ok().flatten().unwrap_or(false)
        }))
    }

    fn send_and_forget(&self, _: &str, event: Vec<u8>) {
        self.headers.lock().unwrap().push(crate::trace::headers());
        self.events
            .lock()
            .unwrap()
            .push_back(serde_json::from_slice(&event).unwrap());
    }
}

/// A hub with a link, a lease and a life, whose clock stands until it is moved.
pub(crate) struct Bench {
    pub(crate) hub: Arc<Hub>,
    pub(crate) sink: Arc<FakeSink>,
    pub(crate) hand: ManualClock,
    /// What was said of chargers, each as `charger reason`.
    pub(crate) complaints: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&EdgeConfig::default(), Some(true))
    }

    pub(crate) fn with(config: &EdgeConfig, verdict: Option<bool>) -> Self {
        let (clock, hand) = MonoClock::manual();
        hand.advance(Duration::from_secs(1));
        let sink = FakeSink::new(verdict);
        let upstream = Upstream::new(Arc::clone(&sink) as _, PodId::parse("edge-1").unwrap());
        let mut hub = Hub::new(config, clock.clone(), upstream, Readiness::new(clock.clone()));
        let complaints = Arc::<Mutex<Vec<String>>>::default();
        let said = Arc::clone(&complaints);
        hub.complaints = Complaints::told(clock, move |complaint| {
            let line = format!("{} {}", complaint.charge_point_id, complaint.reason);
            said.lock().unwrap().push(line);
        });
        hub.clock.learn(hub.clock.mono_us(), Micros(1_000_000_000));
        hub.clock.hold_lease(3_600_000_000);
        hub.queue.open();
        hub.input_all(&Input::LinkUp);
        hub.input_all(&Input::IncarnationTaken(LIFE));
        Self {
            hub: Arc::new(hub),
            sink,
            hand,
            complaints,
        }
    }

    /// Connects a charger by its task; its registration is answered with this version.
    pub(crate) async fn connect(&self, id: &str, ocpp: ocpp::Version, version: u64) -> Charger {
        self.connect_through(id, ocpp, version, 256 * 1024).await
    }

    /// The same through a pipe that holds so many bytes.
    pub(crate) async fn connect_through(
        &self,
        id: &str,
        ocpp: ocpp::Version,
        version: u64,
        bytes: usize,
    ) -> Charger {
        let (near, far) = tokio::io::duplex(bytes);
        let near = Outlet::new(near);
        let ws = WebSocketStream::from_raw_socket(near, Role::Server, Some(self.hub.limits.websocket)).await;
        let charge_point = ChargePointId::parse(id).unwrap();
        let connection = Connection::new(ws, Arc::clone(&self.hub), charge_point.clone(), ocpp).unwrap();
        let task = tokio::spawn(connection);
        let registered = self.items().into_iter().find_map(|item| match item {
            Item::Register(r) if r.charge_point_id == id => Some(Sequence(r.sequence)),
            _ => None,
        });
        let (sequence, version) = (registered.unwrap(), Version(version));
        self.hub.route(Input::Registered {
            charge_point,
            sequence,
            version,
        });
        let ws = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        Charger { ws, task }
    }

    /// Sweeps all shards.
    pub(crate) fn sweep(&self, sweep: Sweep) {
        for shard in &self.hub.shards {
            shard.sweep(sweep);
        }
    }

    /// What was said to the router since the last call.
    pub(crate) fn items(&self) -> Vec<Item> {
        self.hub
            .queue
            .take_batch()
            .into_iter()
            .filter_map(|up| up.item)
            .collect()
    }

    /// Waits until the router was told something.
    pub(crate) async fn told<T>(&self, mut wanted: impl FnMut(Item) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = self.items().into_iter().find_map(&mut wanted) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }

    /// Brings a command as if from Kafka.
    pub(crate) fn command(
        &self,
        charge_point: &str,
        n: u8,
        version: u64,
        class: RedeliveryClass,
    ) -> CommandId {
        let id = CommandId::new(1, [n; 10], Slot(0));
        let command = RoutedCommand {
            id,
            charge_point: ChargePointId::parse(charge_point).unwrap(),
            action: "ChangeAvailability".into(),
            payload: r#"{"connectorId":0}"#.into(),
            priority: Priority::Normal,
            class,
            deadline: self.hub.clock.now().redis_upper.plus(300_000_000),
            dispatch: DispatchNumber(u64::from(n)),
            version: Version(version),
            attempt: 1,
            answer_timeout_us: 30_000_000,
        };
        self.hub.route(Input::Record {
            incarnation: LIFE,
            command,
        });
        id
    }
}

/// Waits until something holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// The far end of a connection.
pub(crate) struct Charger {
    pub(crate) ws: WebSocketStream<DuplexStream>,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Charger {
    pub(crate) async fn say(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    /// The next message of the edge.
    pub(crate) async fn hear(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.ws.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn hear_text(&mut self) -> String {
        self.hear().await.into_text().unwrap().to_string()
    }

    /// Asks and hears the answer.
    pub(crate) async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        self.hear_text().await
    }

    /// The code with which the edge closes.
    pub(crate) async fn hear_close(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.hear().await {
                return frame.unwrap().code.into();
            }
        }
    }
}
