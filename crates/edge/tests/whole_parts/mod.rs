//! What the tests of the whole edge are made of: Kafka, a router, an edge, a charger.

#![allow(dead_code, reason = "each test binary uses its part of the parts")]

mod router;

use std::net::TcpListener;
use std::time::Duration;

use bus::{EmbeddedBroker, Event, Lane, LaneConsumer, StartAt};
use chassis::metrics::Metrics;
use chassis::{Context, MonoClock};
use edge::{App, EdgeConfig};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

pub(crate) use router::FakeRouter;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The topic of the only shard.
pub(crate) const SHARD: &str = "commands-down-shard-0";
/// The topic of another.
pub(crate) const OTHER_SHARD: &str = "commands-down-shard-1";

/// The embedded broker with the topics of one shard.
pub(crate) struct Kafka {
    pub(crate) broker: EmbeddedBroker,
    metrics: Metrics,
}

impl Kafka {
    pub(crate) fn start() -> Self {
        let topics = [(SHARD, 2), (OTHER_SHARD, 2)];
        Self::with(&topics)
    }

    /// With these shard topics.
    pub(crate) fn with(topics: &[(&str, i32)]) -> Self {
        let metrics = chassis::metrics::install().unwrap();
        let topics = [topics, &[(domain::topics::EVENTS_UP, 1)]].concat();
        let broker = EmbeddedBroker::start(&topics).unwrap();
        Self { broker, metrics }
    }

    /// The value of a counter without labels; tests of one process share it.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        text.lines().find_map(value).unwrap_or(0)
    }

    /// The first events, at most `most`, once there are at least two.
    pub(crate) async fn events(&self, most: usize) -> Vec<serde_json::Value> {
        let lanes = [Lane::new(domain::topics::EVENTS_UP, 0)];
        let mut consumer = LaneConsumer::start(&self.broker.config(), &lanes, StartAt::Beginning)
            .await
            .unwrap();
        let mut events = Vec::new();
        while events.len() < most.min(2) {
            if let Event::Record(record) = tokio::time::timeout(PATIENCE, consumer.recv()).await.unwrap() {
                assert_eq!(record.key.as_deref(), Some(b"CP-1".as_slice()));
                events.push(serde_json::from_slice(&record.payload).unwrap());
            }
        }
        consumer.close().await.unwrap();
        events
    }
}

/// An edge in this process.
pub(crate) struct Edge {
    context: Context,
    task: JoinHandle<()>,
}

impl Edge {
    pub(crate) async fn start(kafka: &Kafka, router: &FakeRouter) -> Self {
        Self::start_with(kafka, &[router.address()]).await
    }

    pub(crate) async fn start_with(kafka: &Kafka, routers: &[String]) -> Self {
        let mut config = EdgeConfig {
            routers: routers.to_vec(),
            kafka: kafka.broker.config(),
            ..EdgeConfig::default()
        };
        config.ocpp.listen = ([127, 0, 0, 1], 0).into();
        config.pod.renew_ms = 200;
        config.link.retry_max_ms = 100;
        let context = Context::new(MonoClock::system(), CancellationToken::new());
        let app = App::bind(config, context.clone()).await.unwrap();
        let task = tokio::spawn(app.run(context.token.clone()));
        Self { context, task }
    }

    pub(crate) async fn ready(&self) {
        let ready = self.context.readiness.wait_ready();
        let waited = tokio::time::timeout(PATIENCE, ready).await;
        assert!(waited.is_ok(), "{:?}", self.context.readiness.snapshot());
    }

    /// The conditions that are waited for.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let all = self.context.readiness.snapshot();
        all.into_iter()
            .filter(|c| c.waiting.is_some())
            .map(|c| c.name.into_owned())
            .collect()
    }

    /// Why a condition is waited for.
    pub(crate) fn reason(&self, condition: &str) -> Option<String> {
        let all = self.context.readiness.snapshot();
        all.into_iter()
            .find(|c| c.name == condition)
            .and_then(|c| c.waiting)
    }

    /// Connects a charger, or gives the HTTP status of the refusal.
    pub(crate) async fn charger(&self, id: &str, subprotocol: &'static str) -> Result<Charger, u16> {
        self.dial(id, Some(subprotocol))
            .await
            .map_err(|error| match error {
                WsError::Http(response) => response.status().as_u16(),
                other => panic!("{other}"),
            })
    }

    /// Connects without any OCPP version.
    pub(crate) async fn charger_without_protocol(&self, id: &str) -> Charger {
        self.dial(id, None).await.unwrap()
    }

    pub(crate) fn begin_drain(&self) {
        self.context.token.cancel();
    }

    /// Waits for the end; an error if a task failed.
    pub(crate) async fn ended(self) -> Result<(), String> {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        self.context
            .tasks
            .join(PATIENCE)
            .await
            .map_err(|failure| failure.to_string())
    }

    pub(crate) async fn stop(self) -> Result<(), String> {
        self.begin_drain();
        self.ended().await
    }

    async fn dial(&self, id: &str, subprotocol: Option<&'static str>) -> Result<Charger, WsError> {
        let address = self.context.addresses.get("ocpp").unwrap();
        let mut request = format!("ws://{address}/ocpp/{id}").into_client_request()?;
        if let Some(name) = subprotocol {
            request
                .headers_mut()
                .insert("Sec-WebSocket-Protocol", name.parse().unwrap());
        }
        let (ws, response) = tokio_tungstenite::connect_async(request).await?;
        let named = response
            .headers()
            .get("Sec-WebSocket-Protocol")
            .map(|value| value.to_str().unwrap());
        assert_eq!(named, subprotocol);
        Ok(Charger { ws })
    }
}

/// An edge that knows one router.
pub(crate) async fn linked(kafka: &Kafka) -> (FakeRouter, Edge) {
    let router = FakeRouter::start(kafka, free_port());
    let edge = Edge::start(kafka, &router).await;
    (router, edge)
}

/// The same when it is ready and a charger is connected, with that charger's version.
pub(crate) async fn connected(kafka: &Kafka) -> (FakeRouter, Edge, Charger, u64) {
    let (router, edge) = linked(kafka).await;
    edge.ready().await;
    let charger = edge.charger("CP-1", "ocpp1.6").await.unwrap();
    let version = router.registered("CP-1").await;
    (router, edge, charger, version)
}

/// A charger.
#[derive(Debug)]
pub(crate) struct Charger {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Charger {
    pub(crate) async fn say(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn hear_any(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.ws.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn hear(&mut self) -> String {
        self.hear_any().await.into_text().unwrap().to_string()
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits until something holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}
