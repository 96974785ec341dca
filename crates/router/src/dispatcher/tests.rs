//! Dispatches against fakes of lease, broker and store.

use std::sync::Mutex;

use domain::command::{Deadline, Priority, Progress, RedeliveryClass, Request, Route, Status};
use domain::dispatch::Lease;
use domain::ids::{ChargePointId, CommandId, DispatchNumber, LinkNumber, Slot, Version};

use super::*;

/// What a run did, in order.
#[derive(Debug, Default)]
struct Log {
    produced: Vec<(String, Option<i32>)>,
    given_back: Vec<EventInput>,
}

struct Fake {
    lease: Result<Option<Lease>, ()>,
    /// What time it is at every server: so much after it told its time.
    passed: u64,
    takes: Result<(), SendError>,
    log: Mutex<Log>,
}

impl Ports for Fake {
    async fn lease(&self, _: &PodId, _: Incarnation) -> Result<LeaseView, ()> {
        let lease = self.lease.clone()?;
        Ok(LeaseView {
            lease,
            told: told(LEASES_NOW),
        })
    }

    fn latest(&self, told: &Told) -> Micros {
        told.redis_now.plus(self.passed)
    }

    async fn produce(&self, message: Message, _priority: Priority) -> Result<(), SendError> {
        self.log
            .lock()
            .unwrap()
            .produced
            .push((message.topic.to_string(), message.partition));
        self.takes.clone()
    }

    async fn give_back(&self, event: EventInput) {
        self.log.lock().unwrap().given_back.push(event);
    }
}

/// What the server of the leases and that of the slot say that time it is: their clocks differ by much.
const LEASES_NOW: u64 = 50;
const SLOT_NOW: u64 = 1_000_050;

fn told(redis_now: u64) -> Told {
    Told {
        redis_now: Micros(redis_now),
        asked_us: 0,
    }
}

fn pod() -> PodId {
    PodId::parse("edge-0").unwrap()
}

fn lease() -> Lease {
    Lease {
        pod: pod(),
        incarnation: Incarnation(7),
        link: LinkNumber(1),
        expires: Micros(100),
        suspect: false,
        draining: false,
        consumes: Consumes {
            topic: "commands-down-shard-2".into(),
            normal: 1,
            urgent: 9,
        },
        floor: Version(0),
    }
}

fn claimed(priority: Priority) -> Claimed {
    let progress = Progress {
        status: Status::Sent,
        dispatch: DispatchNumber(40),
        timer: Micros(SLOT_NOW + 10),
        route: Some(Route {
            pod: pod(),
            incarnation: Incarnation(7),
            version: Version(3),
        }),
        ..Progress::accepted()
    };
    let request = Request {
        id: CommandId::new(1, [1; 10], Slot(0)),
        charge_point: ChargePointId::parse("CP-1").unwrap(),
        action: "Reset".into(),
        payload: "{}".into(),
        priority,
        class: RedeliveryClass::Safe,
        max_attempts: 3,
        answer_timeout_us: 1,
        deadline: Deadline::After(1),
        idempotency: None,
        replay_of: None,
    };
    let (created, deadline) = (Micros(1), Micros(500));
    Claimed {
        command: Command {
            request,
            created,
            deadline,
            score: 1,
            epoch: String::new(),
            progress,
        },
    }
}

async fn dispatched(fake: Fake, priority: Priority) -> Log {
    let (dispatcher, ends) = Dispatcher::new(Traces::new(&chassis::TelemetryConfig::default()));
    let fake = Arc::new(fake);
    dispatcher.dispatch(Batch {
        claimed: vec![claimed(priority)],
        told: told(SLOT_NOW),
        origin: None,
    });
    drop(dispatcher);
    for end in ends {
        run(end, CancellationToken::new(), Arc::clone(&fake)).await;
    }
    Arc::into_inner(fake).unwrap().log.into_inner().unwrap()
}

fn fake(lease: Result<Option<Lease>, ()>, takes: Result<(), SendError>) -> Fake {
    Fake {
        lease,
        passed: 0,
        takes,
        log: Mutex::default(),
    }
}

#[tokio::test]
async fn a_live_lease_names_topic_and_lane() {
    let log = dispatched(fake(Ok(Some(lease())), Ok(())), Priority::High).await;
    assert_eq!(log.produced, [("commands-down-shard-2".to_owned(), Some(1))]);
    assert!(log.given_back.is_empty());
    let log = dispatched(fake(Ok(Some(lease())), Ok(())), Priority::Urgent).await;
    assert_eq!(log.produced, [("commands-down-shard-2".to_owned(), Some(9))]);
}

#[tokio::test]
async fn without_a_live_lease_the_claim_is_given_back_with_its_fence_and_nothing_is_produced() {
    let other = Lease {
        incarnation: Incarnation(8),
        ..lease()
    };
    let suspect = Lease {
        suspect: true,
        ..lease()
    };
    for lease in [None, Some(other), Some(suspect)] {
        let log = dispatched(fake(Ok(lease), Ok(())), Priority::Normal).await;
        assert!(log.produced.is_empty());
        let event = log.given_back[0].event;
        assert_eq!(
            (event.kind, event.dispatch, event.version),
            (EventKind::Undelivered, DispatchNumber(40), Version(3))
        );
    }
}

#[tokio::test]
async fn what_kafka_did_not_take_is_given_back() {
    let log = dispatched(
        fake(Ok(Some(lease())), Err(SendError::QueueFull)),
        Priority::Normal,
    )
    .await;
    assert_eq!((log.produced.len(), log.given_back.len()), (1, 1));
}

#[tokio::test]
async fn an_unreadable_lease_leaves_the_claim_to_its_lease() {
    let log = dispatched(fake(Err(()), Ok(())), Priority::Normal).await;
    assert_eq!((log.produced.len(), log.given_back.len()), (0, 0));
}

#[tokio::test]
async fn a_claim_older_than_its_own_lease_is_given_back_by_the_clock_of_the_server_that_claimed() {
    let stopped = Fake {
        passed: 9,
        ..fake(Ok(Some(lease())), Ok(()))
    };
    assert_eq!(dispatched(stopped, Priority::Normal).await.produced.len(), 1);
    let too_long = Fake {
        passed: 10,
        ..fake(Ok(Some(lease())), Ok(()))
    };
    let log = dispatched(too_long, Priority::Normal).await;
    assert_eq!((log.produced.len(), log.given_back.len()), (0, 1));
}

#[tokio::test]
async fn a_lease_ends_by_the_time_that_came_with_it() {
    let ends = |expires| Lease {
        expires: Micros(expires),
        ..lease()
    };
    let log = dispatched(fake(Ok(Some(ends(LEASES_NOW + 1))), Ok(())), Priority::Normal).await;
    assert_eq!(log.produced.len(), 1);
    let log = dispatched(fake(Ok(Some(ends(LEASES_NOW))), Ok(())), Priority::Normal).await;
    assert_eq!((log.produced.len(), log.given_back.len()), (0, 1));
}
