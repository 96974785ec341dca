//! A second drain beside one whose records are on their way.

use super::*;

/// The same world, in which nothing of one charger reaches Kafka before it is let go.
struct Held {
    world: Arc<World>,
    let_go: tokio::sync::Semaphore,
    /// Reads behind what is on its way fail.
    is_blind: AtomicBool,
    /// What a read waits for.
    reads: tokio::sync::Semaphore,
    /// Whether the lease was given back, by each trim.
    trims: Mutex<Vec<bool>>,
}

impl Held {
    const CHARGER: &str = "CP-0-0";

    /// One result of the charger that is held.
    fn new() -> Arc<Self> {
        let world = World {
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            kafka: AtomicBool::new(true),
            ..World::default()
        };
        let held = Self {
            world: Arc::new(world),
            let_go: tokio::sync::Semaphore::new(0),
            is_blind: AtomicBool::new(false),
            reads: tokio::sync::Semaphore::new(1_000),
            trims: Mutex::default(),
        };
        held.add(1, 0, 1);
        Arc::new(held)
    }

    fn add(&self, number: u64, charger: u64, sequence: u64) {
        let mut entries = self.world.slots[0].lock().unwrap();
        entries.insert(number, entry(0, charger, sequence));
    }

    fn make_low(&self, number: u64) {
        let mut entries = self.world.slots[0].lock().unwrap();
        entries.get_mut(&number).unwrap().command.request.priority = Priority::Low;
    }

    fn produced(&self) -> Vec<(String, u64)> {
        self.world.produced.lock().unwrap().clone()
    }
}

impl Ports for Held {
    async fn lease(&self, pod: &PodId, incarnation: Incarnation) -> Result<LeaseView, ()> {
        self.world.lease(pod, incarnation).await
    }

    fn latest(&self, told: &Told) -> Micros {
        self.world.latest(told)
    }

    async fn produce(&self, message: Message, priority: Priority) -> Result<(), SendError> {
        if message.key.as_deref() == Some(Self::CHARGER.as_bytes()) {
            drop(self.let_go.acquire().await);
        }
        self.world.produce(message, priority).await
    }

    async fn give_back(&self, _: EventInput) {}
}

impl Outlet for Held {
    fn slots(&self) -> u16 {
        SLOTS
    }

    async fn enter(&self, haste: Haste) -> Entry<'_> {
        self.world.enter(haste).await
    }

    async fn read(&self, slot: Slot, after: u64) -> Result<DrainReply, StoreError> {
        drop(self.reads.acquire().await);
        if after > 0 && self.is_blind.load(Ordering::SeqCst) {
            return Err(StoreError::OutOfMemory);
        }
        self.world.read(slot, after).await
    }

    async fn trim(&self, slot: Slot, left: &Left) -> Result<bool, StoreError> {
        self.trims.lock().unwrap().push(left.last);
        self.world.trim(slot, left).await
    }

    fn headers(&self, id: CommandId) -> Headers {
        self.world.headers(id)
    }
}

/// Drains it; what is first read is on its way afterwards.
struct Draining {
    held: Arc<Held>,
    wakes: Arc<Wakes>,
    token: CancellationToken,
    drains: tokio::task::JoinHandle<()>,
}

impl Draining {
    async fn begun(held: Arc<Held>) -> Self {
        let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
        let drains = serve(Arc::clone(&held), Arc::clone(&wakes), token.clone(), plan());
        let drains = tokio::spawn(drains);
        a_second().await;
        assert_eq!(held.produced(), []);
        Self {
            held,
            wakes,
            token,
            drains,
        }
    }

    async fn wake(&self) {
        self.wakes.wake(Slot(0), Haste::Now);
        a_second().await;
    }

    async fn let_go(&self) {
        self.held.let_go.add_permits(9);
        a_second().await;
    }

    async fn ended(self) -> Arc<Held> {
        self.token.cancel();
        self.drains.await.unwrap();
        self.held
    }
}

/// Of simulated time.
async fn a_second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn of(charger: &str, sequence: u64) -> (String, u64) {
    (charger.to_owned(), sequence)
}

#[tokio::test(start_paused = true)]
async fn a_result_in_haste_overtakes_those_of_other_chargers_that_are_on_their_way_but_none_of_its_own() {
    let draining = Draining::begun(Held::new()).await;
    draining.held.add(2, 0, 2);
    draining.held.add(3, 1, 1);
    draining.wake().await;
    assert_eq!(draining.held.produced(), [of("CP-0-1", 1)]);
    draining.let_go().await;
    let held = draining.ended().await;
    let all = [of("CP-0-1", 1), of(Held::CHARGER, 1), of(Held::CHARGER, 2)];
    assert_eq!(held.produced(), all, "each once, each charger's in its order");
    assert_eq!(
        *held.trims.lock().unwrap(),
        [false, true, true],
        "the lease is given back by the last of each set of drains"
    );
}

#[tokio::test(start_paused = true)]
async fn whatever_a_second_drain_finds_the_lease_is_given_back_once_by_the_last() {
    for is_blind in [false, true] {
        let draining = Draining::begun(Held::new()).await;
        draining.held.is_blind.store(is_blind, Ordering::SeqCst);
        draining.wake().await;
        assert_eq!(*draining.held.trims.lock().unwrap(), [] as [bool; 0]);
        draining.let_go().await;
        let held = draining.ended().await;
        assert_eq!(held.produced(), [of(Held::CHARGER, 1)], "blind: {is_blind}");
        assert_eq!(*held.trims.lock().unwrap(), [true], "blind: {is_blind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_under_way_at_the_end_is_still_sent_and_its_lease_given_back() {
    let held = Held::new();
    held.let_go.add_permits(9);
    let reads = held.reads.available_permits();
    held.reads.forget_permits(reads);
    let draining = Draining::begun(held).await;
    draining.token.cancel();
    tokio::task::yield_now().await;
    draining.held.reads.add_permits(reads);
    let held = draining.ended().await;
    assert_eq!(held.produced(), [of(Held::CHARGER, 1)]);
    assert_eq!(*held.trims.lock().unwrap(), [true]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_waits_to_trim_is_still_under_way_for_one_that_overtakes_it() {
    let held = Held::new();
    held.let_go.add_permits(9);
    let (wakes, token) = (Arc::new(Wakes::new(SLOTS)), CancellationToken::new());
    wakes.take();
    let drains = serve(Arc::clone(&held), Arc::clone(&wakes), token.clone(), plan());
    let drains = tokio::spawn(drains);
    wakes.wake(Slot(0), Haste::Patient);
    until_read(&held.world).await;
    let hasty = held.world.precedence.enter(Haste::Now).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(held.produced(), [of(Held::CHARGER, 1)]);
    held.add(2, 1, 1);
    wakes.wake(Slot(0), Haste::Now);
    a_second().await;
    drop(hasty);
    token.cancel();
    drains.await.unwrap();
    assert_eq!(held.produced(), [of(Held::CHARGER, 1), of("CP-0-1", 1)]);
    assert_eq!(*held.trims.lock().unwrap(), [false, true]);
}

#[tokio::test(start_paused = true)]
async fn what_is_low_overtakes_nothing_and_nothing_of_its_charger_passes_it() {
    let draining = Draining::begun(Held::new()).await;
    draining.held.add(2, 1, 1);
    draining.held.add(3, 1, 2);
    draining.held.add(4, 2, 1);
    draining.held.make_low(2);
    draining.wake().await;
    assert_eq!(draining.held.produced(), [of("CP-0-2", 1)]);
    draining.let_go().await;
    let held = draining.ended().await;
    let others = [of(Held::CHARGER, 1), of("CP-0-1", 1), of("CP-0-1", 2)];
    assert_eq!(held.produced()[1..], others);
}

#[tokio::test(start_paused = true)]
async fn what_is_low_and_was_left_behind_is_not_forgotten() {
    let draining = Draining::begun(Held::new()).await;
    draining.held.add(2, 1, 1);
    draining.held.make_low(2);
    draining.wake().await;
    draining.let_go().await;
    let held = draining.ended().await;
    assert_eq!(held.produced(), [of(Held::CHARGER, 1), of("CP-0-1", 1)]);
}
