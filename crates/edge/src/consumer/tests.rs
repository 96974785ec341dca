//! Records told apart, and a consumer that is assigned and deaf.

mod moves;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bus::{BusError, Lane};
use domain::ids::{ChargePointId, Incarnation, Version};
use prost::Message as _;
use tokio::sync::mpsc;
use wire::gateway::record::v1::{Cancel, Kick, RoutedCommand, ShardRecord, shard_record};

use super::*;
use crate::testing::{Bench, PATIENCE, until};

/// What a test says of all lanes: the records of each place, what was opened, replaced and closed.
#[derive(Default)]
struct Stage {
    records: Mutex<BTreeMap<Lane, mpsc::UnboundedReceiver<Event>>>,
    senders: Mutex<BTreeMap<Lane, mpsc::UnboundedSender<Event>>>,
    opened: AtomicUsize,
    rebuilt: AtomicUsize,
    closed: Mutex<Vec<Lane>>,
    /// Places that cannot be opened.
    missing: Mutex<Vec<String>>,
}

/// Lanes that give what a test puts in.
struct Scripted {
    stage: Arc<Stage>,
    inbox: Option<(Lane, mpsc::UnboundedReceiver<Event>)>,
}

impl LaneSource for Scripted {
    fn another(&self) -> Self {
        Self {
            stage: Arc::clone(&self.stage),
            inbox: None,
        }
    }

    async fn open(&mut self, lanes: [Lane; 2]) -> Result<(), BusError> {
        let lane = lanes[0].clone();
        if self
            .stage
            .missing
            .lock()
            .unwrap()
            .contains(&lane.topic.to_string())
        {
            return Err(BusError::MissingTopics(vec![lane.topic.to_string()]));
        }
        let inbox = self.stage.records.lock().unwrap().remove(&lane);
        self.inbox = Some((lane, inbox.unwrap()));
        self.stage.opened.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn next(&mut self) -> Event {
        match &mut self.inbox {
            Some((_, inbox)) => match inbox.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    async fn rebuild(&mut self) -> Result<(), BusError> {
        self.stage.rebuilt.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn close(self) -> Result<(), BusError> {
        let lane = self.inbox.map(|(lane, _)| lane);
        self.stage.closed.lock().unwrap().extend(lane);
        Ok(())
    }
}

fn pod() -> PodId {
    PodId::parse("edge-1").unwrap()
}

fn record(partition: i32, payload: Vec<u8>) -> Event {
    Event::Record(Record {
        topic: Arc::from("commands-down-shard-1"),
        partition,
        offset: 0,
        key: None,
        payload: payload.into(),
        headers: bus::Headers::default(),
        timestamp_ms: None,
    })
}

fn canary(partition: i32, link: u64) -> Event {
    record(
        partition,
        wire::map::record::canary(&pod(), LinkNumber(link), 1).encode_to_vec(),
    )
}

fn kick(to: &str) -> Vec<u8> {
    let kick = Kick {
        charge_point_id: "CP-1".into(),
        version: 5,
        newer_version: 6,
    };
    let body = Some(shard_record::Body::Kick(kick));
    ShardRecord {
        pod_id: to.into(),
        incarnation: 7,
        body,
    }
    .encode_to_vec()
}

/// Well-formed protobuf for this pod that says nothing which can be done.
fn ill_formed() -> Vec<Vec<u8>> {
    let (good, bad) = ("CP-1".to_owned(), "no charger ".repeat(100));
    let bodies = [
        None,
        Some(shard_record::Body::Kick(Kick {
            charge_point_id: bad,
            ..Kick::default()
        })),
        Some(shard_record::Body::Cancel(Cancel {
            charge_point_id: good.clone(),
            command_id: "no id".into(),
            deadline_us: 1,
        })),
        Some(shard_record::Body::Command(RoutedCommand {
            charge_point_id: good.clone(),
            ..RoutedCommand::default()
        })),
        Some(shard_record::Body::Command(RoutedCommand {
            command_id: domain::ids::CommandId::new(1, [1; 10], domain::ids::Slot(0)).to_string(),
            charge_point_id: good,
            priority: 99,
            ..RoutedCommand::default()
        })),
    ];
    let record = |body| ShardRecord {
        pod_id: "edge-1".into(),
        incarnation: 7,
        body,
    };
    bodies
        .into_iter()
        .map(|body| record(body).encode_to_vec())
        .collect()
}

fn placement(link_number: u64) -> Placement {
    Placement {
        topic: "commands-down-shard-1".into(),
        normal_partition: 3,
        urgent_partition: 11,
        link_number,
    }
}

fn place(placement: &Placement) -> Option<Consumes> {
    Some(consumes(placement))
}

/// Another place than that of [`placement`].
fn elsewhere(link_number: u64) -> Placement {
    Placement {
        topic: "commands-down-shard-2".into(),
        ..placement(link_number)
    }
}

struct Started {
    bench: Bench,
    stage: Arc<Stage>,
    placement: watch::Sender<Option<Placement>>,
    published: watch::Sender<Option<Consumes>>,
    proven: watch::Receiver<Option<Consumes>>,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Started {
    /// Puts a record on a place's lanes.
    fn put(&self, at: &Placement, event: Event) {
        let lane = Lane::new(at.topic.as_str(), at.normal_partition);
        self.stage.senders.lock().unwrap()[&lane].send(event).unwrap();
    }

    /// Canaries on both lanes of a place.
    fn sing(&self, at: &Placement) {
        for partition in [at.normal_partition, at.urgent_partition] {
            let Event::Record(record) = canary(partition, at.link_number) else {
                panic!();
            };
            let topic = Arc::from(at.topic.as_str());
            self.put(at, Event::Record(Record { topic, ..record }));
        }
    }

    /// Says where to consume, and prepares its lanes.
    fn place(&self, at: &Placement) {
        let lane = Lane::new(at.topic.as_str(), at.normal_partition);
        let (sender, records) = mpsc::unbounded_channel();
        self.stage.senders.lock().unwrap().insert(lane.clone(), sender);
        self.stage.records.lock().unwrap().insert(lane, records);
        self.placement.send_replace(Some(at.clone()));
    }

    fn opened(&self) -> usize {
        self.stage.opened.load(Ordering::SeqCst)
    }

    async fn proves(&mut self, at: Option<Consumes>) {
        tokio::time::timeout(PATIENCE, self.proven.wait_for(|proven| *proven == at))
            .await
            .unwrap()
            .unwrap();
    }

    /// Waits until a kick that was put somewhere has been taken.
    async fn kicked(&self) {
        use wire::gateway::link::v1::up_item::Item;
        let done = |item| {
            if let Item::NoteDone(n) = item {
                Some(n.note)
            } else {
                None
            }
        };
        assert_eq!(self.bench.told(done).await, "kick:7:5");
    }

    async fn stop(self) {
        self.token.cancel();
        self.task.await.unwrap();
    }
}

fn start() -> Started {
    let (bench, stage) = (Bench::new(), Arc::<Stage>::default());
    let (placement, placed) = watch::channel(None);
    let (published, publish) = watch::channel(None);
    let (prove, proven) = watch::channel(None);
    let settings = ConsumerSettings {
        limits: CanaryLimits {
            fresh_ms: 3_000,
            rebuild_ms: 5_000,
        },
        drain: Duration::from_secs(10),
    };
    let ports = ConsumerPorts {
        placement: placed,
        published: publish,
        proven: prove,
    };
    let pattern = Scripted {
        stage: Arc::clone(&stage),
        inbox: None,
    };
    let consumer = Consumer::new(Arc::clone(&bench.hub), pod(), pattern, settings, ports);
    let token = CancellationToken::new();
    let task = tokio::spawn(consumer.run(token.clone()));
    Started {
        bench,
        stage,
        placement,
        published,
        proven,
        token,
        task,
    }
}

#[test]
fn records_are_told_apart() {
    let read = |event: Event| match event {
        Event::Record(record) => read(&record, &pod()),
        Event::Failed { .. } => panic!(),
    };
    assert_eq!(read(canary(3, 9)), Ok(Read::Canary(LinkNumber(9), 1)));
    assert_eq!(read(record(3, kick("edge-2"))), Ok(Read::Foreign));
    let expected = Input::Kick {
        incarnation: Incarnation(7),
        charge_point: ChargePointId::parse("CP-1").unwrap(),
        version: Version(5),
    };
    assert_eq!(read(record(3, kick("edge-1"))), Ok(Read::Input(expected)));
    let poison = [
        vec![0xff; 40],
        Vec::new(),
        b"{\"json\":1}".to_vec(),
        vec![7; 2 * 1024 * 1024],
    ];
    for payload in poison.into_iter().chain(ill_formed()) {
        assert!(read(record(3, payload)).is_err());
    }
}

#[tokio::test]
async fn a_consumer_that_is_assigned_and_deaf_never_becomes_ready_and_is_replaced() {
    let s = start();
    s.place(&placement(1));
    until(|| s.opened() == 1).await;
    until(|| {
        s.bench.hand.advance(Duration::from_secs(6));
        s.stage.rebuilt.load(Ordering::SeqCst) >= 3
    })
    .await;
    assert!(s.proven.borrow().is_none() && !s.bench.hub.readiness.is_ready());
    s.stop().await;
}

#[tokio::test]
async fn canaries_on_both_lanes_make_ready_and_their_silence_withdraws_it() {
    let mut s = start();
    s.place(&placement(4));
    s.put(&placement(4), canary(3, 4));
    s.put(&placement(4), canary(11, 3));
    s.put(&placement(4), canary(11, 4));
    s.proves(place(&placement(4))).await;
    assert!(s.bench.hub.readiness.is_ready());
    s.bench.hand.advance(Duration::from_millis(3_001));
    s.proves(None).await;
    assert!(!s.bench.hub.readiness.is_ready());
    s.stop().await;
}

#[tokio::test]
async fn poison_is_passed_over_and_what_follows_is_taken() {
    let s = start();
    s.place(&placement(1));
    let mut poison = vec![
        vec![0xff; 40],
        Vec::new(),
        vec![7; 2 * 1024 * 1024],
        kick("edge-2"),
        kick("no pod id"),
    ];
    poison.extend(ill_formed());
    for payload in poison.into_iter().chain([kick("edge-1")]) {
        s.put(&placement(1), record(3, payload));
    }
    s.kicked().await;
    s.stop().await;
}

#[tokio::test]
async fn the_same_place_by_a_new_link_goes_on() {
    let mut s = start();
    s.place(&placement(1));
    until(|| s.opened() == 1).await;
    s.placement.send_replace(Some(placement(2)));
    s.sing(&placement(2));
    s.proves(place(&placement(1))).await;
    assert_eq!(s.opened(), 1);
    s.stop().await;
}
