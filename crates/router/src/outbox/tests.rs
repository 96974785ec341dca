//! Kafka is away for an hour, in miniature: time is simulated, store and broker are fakes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use bus::{Message, SendError};
use domain::command::{Command, Deadline, Priority, Progress, RedeliveryClass, Request, Status};
use domain::ids::{Incarnation, Micros, PodId};
use domain::slot::{EventInput, OutboxEntry, OutboxKind};
use domain::topics::{COMMAND_RESULTS, DEAD_LETTERS};
use prost::Message as _;
use wire::gateway::record::v1::CommandResult;

mod overtaking;
mod precedence;

use super::*;
use crate::leases::LeaseView;
use crate::precedence::Precedence;
use crate::told::Told;

const SLOTS: u16 = 8;
/// Slots drained at a time here.
const FEW: usize = 4;
const CHARGERS: u64 = 4;
const RESULTS: u64 = 30;
/// What a record of low priority waits for others.
const LINGER: Duration = Duration::from_millis(50);
const HOUR: Duration = Duration::from_secs(3_600);

/// A store and a broker.
#[derive(Default)]
struct World {
    slots: Vec<Mutex<BTreeMap<u64, OutboxEntry>>>,
    precedence: Precedence,
    kafka: AtomicBool,
    /// How long the broker's silence takes to become an error.
    silence: Duration,
    produced: Mutex<Vec<(String, u64)>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    reads: AtomicUsize,
    /// Slots that are being drained, and how many there were at most.
    draining: Mutex<(BTreeSet<u16>, usize)>,
}

impl World {
    /// Every slot has results of several chargers, in turns.
    fn new(silence: Duration) -> Arc<Self> {
        let slot = |slot| {
            let entries =
                (0..RESULTS * CHARGERS).map(|n| (n + 1, entry(slot, n % CHARGERS, n / CHARGERS + 1)));
            Mutex::new(entries.collect())
        };
        Arc::new(Self {
            slots: (0..SLOTS).map(slot).collect(),
            silence,
            ..Self::default()
        })
    }

    fn is_drained(&self) -> bool {
        self.slots.iter().all(|slot| slot.lock().unwrap().is_empty())
    }
}

fn entry(slot: u16, charger: u64, sequence: u64) -> OutboxEntry {
    let request = Request {
        id: CommandId::new(sequence, [1; 10], Slot(slot)),
        charge_point: ChargePointId::parse(&format!("CP-{slot}-{charger}")).unwrap(),
        action: "Reset".into(),
        payload: String::new(),
        priority: Priority::Normal,
        class: RedeliveryClass::Safe,
        max_attempts: 3,
        answer_timeout_us: 1,
        deadline: Deadline::After(1),
        idempotency: None,
        replay_of: None,
    };
    let progress = Progress {
        status: Status::Cancelled,
        result_sequence: sequence,
        ..Progress::accepted()
    };
    let command = Command {
        request,
        created: Micros(1),
        deadline: Micros(2),
        score: 0,
        epoch: String::new(),
        progress,
    };
    OutboxEntry {
        kind: OutboxKind::Ended { dead_letter: false },
        command,
        attempts: vec![],
        ocpp_version: String::new(),
    }
}

impl Ports for World {
    async fn lease(&self, _: &PodId, _: Incarnation) -> Result<LeaseView, ()> {
        Err(())
    }

    fn latest(&self, told: &Told) -> Micros {
        told.redis_now
    }

    async fn produce(&self, message: Message, priority: Priority) -> Result<(), SendError> {
        if priority == Priority::Low {
            tokio::time::sleep(LINGER).await;
        }
        let is_result = &*message.topic == COMMAND_RESULTS;
        assert!(is_result || &*message.topic == DEAD_LETTERS);
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let up = self.kafka.load(Ordering::SeqCst);
        tokio::time::sleep(if up {
            Duration::from_millis(1)
        } else {
            self.silence
        })
        .await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !up {
            let topic = message.topic;
            return Err(SendError::TimedOut { topic });
        }
        if is_result {
            let result = CommandResult::decode(message.payload).unwrap();
            let told = (result.charge_point_id, result.sequence);
            self.produced.lock().unwrap().push(told);
        }
        Ok(())
    }

    async fn give_back(&self, _: EventInput) {}
}

impl Outlet for World {
    fn slots(&self) -> u16 {
        SLOTS
    }

    async fn enter(&self, haste: Haste) -> Entry<'_> {
        self.precedence.enter(haste).await
    }

    async fn read(&self, slot: Slot, after: u64) -> Result<DrainReply, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let entries = self.slots[usize::from(slot.0)].lock().unwrap();
        let entries = entries
            .range(after + 1..)
            .take(LIMIT)
            .map(|(n, e)| (*n, e.clone()));
        Ok(DrainReply {
            held: true,
            entries: entries.collect(),
            notes: vec![],
        })
    }

    async fn trim(&self, slot: Slot, left: &Left) -> Result<bool, StoreError> {
        let mut entries = self.slots[usize::from(slot.0)].lock().unwrap();
        entries.retain(|number, _| !left.entries.contains(number));
        Ok(!entries.is_empty())
    }

    fn headers(&self, _: CommandId) -> Headers {
        Headers::new()
    }
}

/// Whether it comes so far within this simulated time.
async fn comes(within: Duration, so_far: impl Fn() -> bool) -> bool {
    let come = async {
        while !so_far() {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    };
    timeout(within, come).await.is_ok()
}

async fn until_read(world: &World) {
    let read = comes(Duration::from_secs(1), || world.reads.load(Ordering::SeqCst) > 0);
    assert!(read.await, "it reads");
}

fn plan() -> Plan {
    Plan::new(SLOTS, (FEW, FEW), Duration::ZERO)
}

/// Lets Kafka be away for an hour, during which every slot is woken each second, and waits until all has left.
async fn an_hour_without_kafka(world: &Arc<World>) -> usize {
    let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
    let drains = tokio::spawn(serve(
        Arc::clone(world),
        Arc::clone(&wakes),
        token.clone(),
        plan(),
    ));
    let until = Instant::now() + HOUR;
    let wake_all = || (0..SLOTS).for_each(|slot| wakes.wake(Slot(slot), Haste::Now));
    while Instant::now() < until {
        wake_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(world.produced.lock().unwrap().is_empty());
    let reads = world.reads.load(Ordering::SeqCst);
    world.kafka.store(true, Ordering::SeqCst);
    while !world.is_drained() {
        assert!(
            Instant::now() < until + Duration::from_secs(120),
            "it did not recover"
        );
        wake_all();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    token.cancel();
    drains.await.unwrap();
    reads
}

/// Each charger's results in the order in which they were produced, without those that came twice.
fn by_charger(world: &World) -> BTreeMap<String, Vec<u64>> {
    let mut chargers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (charger, sequence) in world.produced.lock().unwrap().iter() {
        let seen = chargers.entry(charger.clone()).or_default();
        if seen.last().is_none_or(|last| last < sequence) {
            seen.push(*sequence);
        }
    }
    chargers
}

#[tokio::test(start_paused = true)]
async fn after_an_hour_without_kafka_every_result_leaves_in_its_chargers_order() {
    let world = World::new(Duration::from_secs(5));
    an_hour_without_kafka(&world).await;
    let chargers = by_charger(&world);
    assert_eq!(chargers.len() as u64, u64::from(SLOTS) * CHARGERS);
    for (charger, sequences) in chargers {
        // Dropping sequences not above the last seen loses nothing.
        assert_eq!(sequences, (1..=RESULTS).collect::<Vec<_>>(), "{charger}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_kafka_costs_neither_memory_nor_a_busy_loop() {
    let world = World::new(Duration::ZERO);
    let reads = an_hour_without_kafka(&world).await;
    // A slot whose drain failed rests for a second at least, from the fourth failure on.
    let most = usize::from(SLOTS) * (3_600 + 8);
    assert!(reads <= most, "{reads} drains in an hour");
    let in_flight = world.most_in_flight.load(Ordering::SeqCst);
    assert!(in_flight <= FEW * LIMIT, "{in_flight} records at a time");
}

#[test]
fn a_wake_is_taken_once_and_a_new_router_looks_at_every_slot() {
    let wakes = Wakes::new(3);
    assert_eq!(wakes.take(), [0, 1, 2].map(|n| (Slot(n), Haste::Now)));
    assert!(wakes.take().is_empty());
    wakes.wake(Slot(1), Haste::Now);
    wakes.wake(Slot(1), Haste::Patient);
    wakes.wake(Slot(2), Haste::Patient);
    wakes.wake(Slot(9), Haste::Now);
    assert_eq!(wakes.take(), [(Slot(1), Haste::Now), (Slot(2), Haste::Patient)]);
    assert!(wakes.take().is_empty());
}

/// Entries that this router holds at a time, whatever waits in the store.
#[tokio::test(start_paused = true)]
async fn no_more_slots_than_the_bound_are_drained_at_a_time_and_none_waits_for_the_slowest() {
    let world = Arc::new(World {
        kafka: AtomicBool::new(true),
        ..Arc::into_inner(World::new(Duration::ZERO)).unwrap()
    });
    let slow = Slow(Arc::clone(&world));
    let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
    let drains = tokio::spawn(serve(Arc::new(slow), Arc::clone(&wakes), token.clone(), plan()));
    let others_drained = || (1..SLOTS).all(|n| world.slots[usize::from(n)].lock().unwrap().is_empty());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !others_drained() {
        assert!(Instant::now() < deadline, "the others wait for the slowest");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!world.is_drained());
    assert_eq!(world.draining.lock().unwrap().1, FEW);
    token.cancel();
    drains.await.unwrap();
}

/// The same world, whose first slot is never read to the end.
struct Slow(Arc<World>);

impl Ports for Slow {
    async fn lease(&self, pod: &PodId, incarnation: Incarnation) -> Result<LeaseView, ()> {
        self.0.lease(pod, incarnation).await
    }

    fn latest(&self, told: &Told) -> Micros {
        self.0.latest(told)
    }

    async fn produce(&self, message: Message, priority: Priority) -> Result<(), SendError> {
        self.0.produce(message, priority).await
    }

    async fn give_back(&self, event: EventInput) {
        self.0.give_back(event).await;
    }
}

impl Outlet for Slow {
    fn slots(&self) -> u16 {
        SLOTS
    }

    async fn enter(&self, haste: Haste) -> Entry<'_> {
        self.0.enter(haste).await
    }

    async fn read(&self, slot: Slot, after: u64) -> Result<DrainReply, StoreError> {
        {
            let mut draining = self.0.draining.lock().unwrap();
            draining.0.insert(slot.0);
            draining.1 = draining.0.len().max(draining.1);
        }
        if slot == Slot(0) {
            std::future::pending::<()>().await;
        }
        let read = self.0.read(slot, after).await;
        if read.as_ref().is_ok_and(|r| r.entries.is_empty()) {
            self.0.draining.lock().unwrap().0.remove(&slot.0);
        }
        read
    }

    async fn trim(&self, slot: Slot, left: &Left) -> Result<bool, StoreError> {
        self.0.draining.lock().unwrap().0.remove(&slot.0);
        self.0.trim(slot, left).await
    }

    fn headers(&self, id: CommandId) -> Headers {
        self.0.headers(id)
    }
}

#[tokio::test(start_paused = true)]
async fn the_records_of_an_entry_wait_for_none_of_each_other_and_it_stays_until_all_are_there() {
    let world = World::new(Duration::from_secs(5));
    let mut ended = entry(0, 0, 1);
    ended.kind = OutboxKind::Ended { dead_letter: true };
    let gone = send::entries(&*world, vec![(7, ended.clone())]).await;
    assert_eq!(gone, [] as [u64; 0], "Kafka is away");
    world.kafka.store(true, Ordering::SeqCst);
    assert_eq!(send::entries(&*world, vec![(7, ended)]).await, [7]);
    assert_eq!(world.most_in_flight.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn the_results_of_a_charger_do_not_each_wait_for_others() {
    let world = World::new(Duration::from_secs(5));
    world.kafka.store(true, Ordering::SeqCst);
    let low = |sequence| {
        let mut low = entry(0, 0, sequence);
        low.command.request.priority = Priority::Low;
        (sequence, low)
    };
    let begun = Instant::now();
    assert_eq!(send::entries(&*world, vec![low(1)]).await, [1]);
    assert!(begun.elapsed() >= LINGER, "one alone does");
    let begun = Instant::now();
    assert_eq!(
        send::entries(&*world, (2..102).map(low).collect()).await.len(),
        100
    );
    assert!(begun.elapsed() < LINGER * 10);
}
