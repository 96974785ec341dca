//! A router that places every edge on the one shard, sends canaries, holds the lease and registers everybody.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bus::{Message, Producer};
use domain::command::{Command, Priority, Progress, RedeliveryClass, Request, Route};
use domain::ids::{
    ChargePointId, CommandId, DispatchNumber, Incarnation, LinkNumber, Micros, PodId, Slot, Version,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request as Call, Response, Status, Streaming};
use wire::gateway::link::v1::edge_link_service_server::{EdgeLinkService, EdgeLinkServiceServer};
use wire::gateway::link::v1::{
    AnswerConfirmed, DownItem, Lease, LeaseRefused, LinkRequest, LinkResponse, Placement, Registered,
    down_item, up_item,
};

use super::{Kafka, PATIENCE, SHARD, until};

/// Redis time in these tests never moves.
const NOW_US: u64 = 1_000_000_000_000;

/// The router, as a test sees it.
pub(crate) struct FakeRouter {
    shared: Arc<Shared>,
    address: SocketAddr,
    token: CancellationToken,
    server: JoinHandle<()>,
}

struct Shared {
    heard: Mutex<Vec<up_item::Item>>,
    down: Mutex<Option<mpsc::Sender<Result<LinkResponse, Status>>>>,
    producer: Producer,
    canaries: AtomicBool,
    refuse: Mutex<Option<bool>>,
    versions: AtomicU64,
    lives: AtomicU64,
    links: AtomicU64,
    /// The topic where edges are placed.
    topic: &'static str,
    token: CancellationToken,
}

struct Service(Arc<Shared>);

impl FakeRouter {
    pub(crate) fn start(kafka: &Kafka, port: u16) -> Self {
        Self::start_at(kafka, port, SHARD)
    }

    /// Places every edge on this topic.
    pub(crate) fn start_at(kafka: &Kafka, port: u16, topic: &'static str) -> Self {
        let producer = Producer::new(&kafka.broker.config()).unwrap();
        let token = CancellationToken::new();
        let shared = Arc::new(Shared {
            heard: Mutex::default(),
            down: Mutex::default(),
            producer,
            canaries: AtomicBool::new(true),
            refuse: Mutex::default(),
            versions: AtomicU64::new(100),
            lives: AtomicU64::new(0),
            links: AtomicU64::new(1),
            topic,
            token: token.clone(),
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let service = EdgeLinkServiceServer::new(Service(Arc::clone(&shared)));
        let end = token.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_shutdown(address, end)
                .await
                .unwrap();
        });
        Self {
            shared,
            address,
            token,
            server,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Dies; its port.
    pub(crate) async fn stop(self) -> u16 {
        self.token.cancel();
        self.shared.down.lock().unwrap().take();
        tokio::time::timeout(PATIENCE, self.server)
            .await
            .unwrap()
            .unwrap();
        self.address.port()
    }

    pub(crate) fn mute_canaries(&self) {
        self.shared.canaries.store(false, Ordering::SeqCst);
    }

    pub(crate) fn unmute_canaries(&self) {
        self.shared.canaries.store(true, Ordering::SeqCst);
    }

    pub(crate) fn refuse_next_renewal(&self, superseded: bool) {
        *self.shared.refuse.lock().unwrap() = Some(superseded);
    }

    /// Sends commands to this life of the pod, though it is linked elsewhere.
    pub(crate) fn live_as(&self, life: u64) {
        self.shared.lives.store(life, Ordering::SeqCst);
    }

    pub(crate) fn has_heard(&self, wanted: impl Fn(&up_item::Item) -> bool) -> bool {
        self.shared.heard.lock().unwrap().iter().any(wanted)
    }

    pub(crate) async fn heard(&self, wanted: impl Fn(&up_item::Item) -> bool) {
        until(|| self.has_heard(&wanted)).await;
    }

    /// The version that a charger was registered with.
    pub(crate) async fn registered(&self, charge_point: &str) -> u64 {
        self.heard(|item| matches!(item, up_item::Item::Register(r) if r.charge_point_id == charge_point))
            .await;
        self.shared.versions.load(Ordering::SeqCst)
    }

    pub(crate) async fn say(&self, item: down_item::Item) {
        let down = self.shared.down.lock().unwrap().clone().unwrap();
        down.send(Ok(reply(vec![item]))).await.unwrap();
    }

    /// Sends a safe command by Kafka; its id.
    pub(crate) async fn command(&self, charge_point: &str, version: u64, number: u8) -> String {
        let id = CommandId::new(1, [number; 10], Slot(0));
        let request = Request {
            id,
            charge_point: ChargePointId::parse(charge_point).unwrap(),
            action: "ClearCache".into(),
            payload: "{}".into(),
            priority: Priority::Normal,
            class: RedeliveryClass::Safe,
            max_attempts: 3,
            answer_timeout_us: 30_000_000,
            deadline: domain::command::Deadline::After(1),
            idempotency: None,
            replay_of: None,
        };
        let route = Route {
            pod: PodId::parse("edge-1").unwrap(),
            incarnation: Incarnation(self.shared.lives.load(Ordering::SeqCst)),
            version: Version(version),
        };
        let progress = Progress {
            route: Some(route),
            dispatch: DispatchNumber(u64::from(number)),
            ..Progress::accepted()
        };
        let deadline = Micros(NOW_US + 300_000_000);
        let command = Command {
            request,
            created: Micros(NOW_US),
            deadline,
            score: 1,
            epoch: String::new(),
            progress,
        };
        let (_, _, record) = wire::map::record::claimed(&command).unwrap();
        self.shared.produce(&record.encode_to_vec(), 0).await;
        id.to_string()
    }

    /// Puts something on the normal lane.
    pub(crate) async fn produce(&self, bytes: &[u8]) {
        self.shared.produce(bytes, 0).await;
    }
}

impl Shared {
    async fn produce(&self, bytes: &[u8], partition: i32) {
        let message = Message::new(self.topic, bytes.to_vec()).partition(partition);
        let sent = self.producer.send(&message).unwrap();
        sent.await.unwrap();
    }

    /// Canaries on both lanes while the link lasts; a broker that is down gets them later.
    async fn canaries(self: Arc<Self>, link: u64) {
        for number in 0.. {
            if self.canaries.load(Ordering::SeqCst) {
                let record =
                    wire::map::record::canary(&PodId::parse("edge-1").unwrap(), LinkNumber(link), number);
                for lane in [0, 1] {
                    let message = Message::new(self.topic, record.encode_to_vec()).partition(lane);
                    drop(self.producer.send(&message));
                }
            }
            if self
                .token
                .run_until_cancelled(tokio::time::sleep(Duration::from_millis(200)))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// The answer to an item, if it gets one at once.
    fn answer(self: &Arc<Self>, item: &up_item::Item) -> Option<down_item::Item> {
        Some(match item {
            up_item::Item::Hello(hello) => {
                self.lives.fetch_max(hello.incarnation, Ordering::SeqCst);
                let link_number = self.links.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Arc::clone(self).canaries(link_number));
                let topic = self.topic.to_owned();
                down_item::Item::Placement(Placement {
                    topic,
                    normal_partition: 0,
                    urgent_partition: 1,
                    link_number,
                })
            }
            up_item::Item::TakeIncarnation(take) => {
                let incarnation = self.lives.fetch_add(1, Ordering::SeqCst) + 1;
                down_item::Item::Lease(lease(take.request, incarnation))
            }
            up_item::Item::RenewLease(renew) => match self.refuse.lock().unwrap().take() {
                Some(superseded) => down_item::Item::LeaseRefused(LeaseRefused {
                    request: renew.request,
                    superseded,
                }),
                None => down_item::Item::Lease(lease(renew.request, renew.incarnation)),
            },
            up_item::Item::Register(r) => down_item::Item::Registered(Registered {
                charge_point_id: r.charge_point_id.clone(),
                sequence: r.sequence,
                version: self.versions.fetch_add(1, Ordering::SeqCst) + 1,
            }),
            up_item::Item::Answer(a) => down_item::Item::AnswerConfirmed(AnswerConfirmed {
                command_id: a.command_id.clone(),
                charge_point_id: a.charge_point_id.clone(),
            }),
            _ => return None,
        })
    }
}

#[tonic::async_trait]
impl EdgeLinkService for Service {
    type LinkStream = ReceiverStream<Result<LinkResponse, Status>>;

    async fn link(&self, call: Call<Streaming<LinkRequest>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = call.into_inner();
        let (down, outgoing) = mpsc::channel(64);
        *self.0.down.lock().unwrap() = Some(down.clone());
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let token = shared.token.clone();
            while let Some(Ok(Some(request))) = token.run_until_cancelled(incoming.message()).await {
                for item in request.items.into_iter().filter_map(|up| up.item) {
                    let answer = shared.answer(&item);
                    shared.heard.lock().unwrap().push(item);
                    if let Some(answer) = answer
                        && down.send(Ok(reply(vec![answer]))).await.is_err()
                    {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

fn lease(request: u64, incarnation: u64) -> Lease {
    Lease {
        request,
        incarnation,
        lease_ms: 10_000,
        store_epoch: "e1".into(),
        passed_over: false,
    }
}

fn reply(items: Vec<down_item::Item>) -> LinkResponse {
    let items = items
        .into_iter()
        .map(|item| DownItem { item: Some(item) })
        .collect();
    LinkResponse {
        items,
        redis_now_us: NOW_US,
    }
}
