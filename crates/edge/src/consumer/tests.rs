//! Records told apart, and a consumer that is assigned and deaf.

use std::sync::atomic::{AtomicUsize, Ordering};

use domain::ids::{ChargePointId, Incarnation, Version};
use prost::Message as _;
use tokio::sync::mpsc;
use wire::gateway::record::v1::{Kick, ShardRecord, shard_record};

use super::*;
use crate::testing::{Bench, PATIENCE, until};

/// Lanes that give what a test puts in.
struct Scripted {
    records: mpsc::Receiver<Event>,
    opened: Arc<AtomicUsize>,
    rebuilt: Arc<AtomicUsize>,
}

impl LaneSource for Scripted {
    async fn open(&mut self, _: [Lane; 2]) -> Result<(), BusError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn next(&mut self) -> Event {
        match self.records.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    async fn rebuild(&mut self) -> Result<(), BusError> {
        self.rebuilt.fetch_add(1, Ordering::SeqCst);
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

fn placement(link_number: u64) -> Placement {
    Placement {
        topic: "commands-down-shard-1".into(),
        normal_partition: 3,
        urgent_partition: 11,
        link_number,
    }
}

struct Started {
    bench: Bench,
    records: mpsc::Sender<Event>,
    placement: watch::Sender<Option<Placement>>,
    fresh: watch::Receiver<bool>,
    opened: Arc<AtomicUsize>,
    rebuilt: Arc<AtomicUsize>,
    token: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start() -> Started {
    let bench = Bench::new();
    let (records, inbox) = mpsc::channel(16);
    let (opened, rebuilt) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let source = Scripted {
        records: inbox,
        opened: Arc::clone(&opened),
        rebuilt: Arc::clone(&rebuilt),
    };
    let (placement, placed) = watch::channel(None);
    let limits = CanaryLimits {
        fresh_ms: 3_000,
        rebuild_ms: 5_000,
    };
    let (consumer, fresh) = Consumer::new(Arc::clone(&bench.hub), pod(), source, limits, placed);
    let token = CancellationToken::new();
    let task = tokio::spawn(consumer.run(token.clone()));
    Started {
        bench,
        records,
        placement,
        fresh,
        opened,
        rebuilt,
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
    assert_eq!(read(canary(3, 9)), Ok(Read::Canary(LinkNumber(9))));
    assert_eq!(read(record(3, kick("edge-2"))), Ok(Read::Foreign));
    let expected = Input::Kick {
        incarnation: Incarnation(7),
        charge_point: ChargePointId::parse("CP-1").unwrap(),
        version: Version(5),
    };
    assert_eq!(read(record(3, kick("edge-1"))), Ok(Read::Input(expected)));
    for poison in [vec![0xff; 40], Vec::new(), b"{\"json\":1}".to_vec()] {
        assert!(read(record(3, poison)).is_err());
    }
}

#[tokio::test]
async fn a_consumer_that_is_assigned_and_deaf_never_becomes_ready_and_is_replaced() {
    let s = start();
    s.placement.send_replace(Some(placement(1)));
    until(|| s.opened.load(Ordering::SeqCst) == 1).await;
    until(|| {
        s.bench.hand.advance(Duration::from_secs(6));
        s.rebuilt.load(Ordering::SeqCst) >= 3
    })
    .await;
    assert!(!*s.fresh.borrow() && !s.bench.hub.readiness.is_ready());
    s.token.cancel();
    s.task.await.unwrap();
}

#[tokio::test]
async fn canaries_on_both_lanes_make_ready_and_their_silence_withdraws_it() {
    let mut s = start();
    s.placement.send_replace(Some(placement(4)));
    s.records.send(canary(3, 4)).await.unwrap();
    s.records.send(canary(11, 3)).await.unwrap();
    s.records.send(canary(11, 4)).await.unwrap();
    tokio::time::timeout(PATIENCE, s.fresh.wait_for(|fresh| *fresh))
        .await
        .unwrap()
        .unwrap();
    assert!(s.bench.hub.readiness.is_ready());
    s.bench.hand.advance(Duration::from_millis(3_001));
    tokio::time::timeout(PATIENCE, s.fresh.wait_for(|fresh| !*fresh))
        .await
        .unwrap()
        .unwrap();
    assert!(!s.bench.hub.readiness.is_ready());
    s.token.cancel();
    s.task.await.unwrap();
}

#[tokio::test]
async fn poison_is_passed_over_and_what_follows_is_taken() {
    let s = start();
    s.placement.send_replace(Some(placement(1)));
    for payload in [vec![0xff; 40], Vec::new(), kick("edge-2"), kick("edge-1")] {
        s.records.send(record(3, payload)).await.unwrap();
    }
    use wire::gateway::link::v1::up_item::Item;
    let note = s
        .bench
        .told(|item| {
            if let Item::NoteDone(n) = item {
                Some(n.note)
            } else {
                None
            }
        })
        .await;
    assert_eq!(note, "kick:7:5");
    s.token.cancel();
    s.task.await.unwrap();
}

#[tokio::test]
async fn the_same_place_by_a_new_link_goes_on_and_another_place_begins_anew() {
    let s = start();
    s.placement.send_replace(Some(placement(1)));
    until(|| s.opened.load(Ordering::SeqCst) == 1).await;
    s.placement.send_replace(Some(placement(2)));
    s.records.send(canary(3, 2)).await.unwrap();
    s.records.send(canary(11, 2)).await.unwrap();
    until(|| *s.fresh.borrow()).await;
    assert_eq!(s.opened.load(Ordering::SeqCst), 1);
    s.placement.send_replace(Some(Placement {
        normal_partition: 4,
        urgent_partition: 12,
        ..placement(3)
    }));
    until(|| s.opened.load(Ordering::SeqCst) == 2 && !*s.fresh.borrow()).await;
    s.token.cancel();
    s.task.await.unwrap();
}
