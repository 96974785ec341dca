//! An edge that dies or stops at the worst moments of a command's way to its charger and back: the charger goes to the
//! other edge, nothing is lost, nothing unsafe is doubled, and what the edge does on waking changes nothing.
//!
//! The moments are fail points, which builds for development have. Left out: a kill at no particular moment
//! (`failover`) and the routers' moments (`takeover`).

use std::time::Duration;

use integration::api::{safe_command, unsafe_command};
use integration::wait::{eventually, fault_lasts};
use integration::{Api, Companion, System, SystemSpec, probe};
use wire::gateway::command::v1::{CommandState, FailureReason};

/// A pod lease that a test can outwait.
const LEASE_MS: u64 = 3_000;

/// Counts the lives that an edge has taken.
const LIVES: &str = "gateway_edge_incarnations_total";

/// A moment at which the edge dies or stops, and what it means for the command that is in its hands then.
#[derive(Debug, Clone, Copy)]
struct Moment {
    point: &'static str,
    /// It comes while the charger connects, not on a command's way.
    while_connecting: bool,
    /// How often the charger has got the command by then.
    received: usize,
    /// Whether the platform must count an unsafe command as possibly written.
    in_doubt: bool,
}

const AFTER_CONSUME: Moment = Moment {
    point: "edge.after_consume",
    while_connecting: false,
    received: 0,
    in_doubt: false,
};
const BEFORE_WRITE: Moment = Moment {
    point: "edge.before_write",
    in_doubt: true,
    ..AFTER_CONSUME
};
const AFTER_WRITE: Moment = Moment {
    point: "edge.after_write",
    received: 1,
    ..BEFORE_WRITE
};
const BEFORE_ACK: Moment = Moment {
    point: "edge.before_ack",
    ..AFTER_WRITE
};
const BEFORE_REGISTER: Moment = Moment {
    point: "edge.before_register",
    while_connecting: true,
    ..AFTER_CONSUME
};

/// What the edge does at its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Dies,
    Stops,
}

/// A charger and what was sent to it.
#[derive(Debug)]
struct Case {
    id: String,
    /// The charger's lives: the second is that of one that went to the other edge because nothing answered it.
    chargers: Vec<Companion>,
    /// The command in the edge's hands.
    in_hand: String,
    in_hand_is_unsafe: bool,
    /// Sent while the edge is away.
    later_safe: String,
    later_unsafe: String,
}

async fn system(name: &'static str, moment: Moment, halt: Halt) -> System {
    let action = match halt {
        Halt::Dies => "exit",
        Halt::Stops => "stop",
    };
    let spec = SystemSpec::new(name)
        .edges(2)
        .edge_failpoints(&format!("{}={action}", moment.point))
        .router_set("delivery.pod_lease_ms", LEASE_MS)
        .router_set("delivery.grant_ms", 2_000)
        .router_set("delivery.answer_timeout_ms", 3_000)
        .router_set("delivery.backoff_base_ms", 100)
        .edge_set("pod.renew_ms", LEASE_MS / 4);
    System::start(spec).await
}

/// A charger of the first edge and the command that this edge has in its hands at its moment.
async fn taken(system: &System, moment: Moment, halt: Halt, is_unsafe: bool) -> (Companion, String) {
    let api = system.api(1);
    let id = system.charger_id(if is_unsafe { "unsafe" } else { "safe" });
    let request = match is_unsafe {
        true => unsafe_command(&id, "Reset"),
        false => safe_command(&id, "Reset"),
    };
    let homes = match halt {
        // It insists on the first edge: one that has just come back may not take it at once.
        Halt::Dies => [vec![system.edge(1); 20], vec![system.edge(2)]].concat(),
        Halt::Stops => vec![system.edge(1)],
    };
    if moment.while_connecting {
        let in_hand = api.send(request).await;
        return (Companion::start(&id, homes), in_hand);
    }
    let charger = Companion::connected(&id, homes).await;
    let first = system.pod(1);
    api.connection_where(&id, "is on the first edge", |at| {
        at.connected && at.pod_id == first
    })
    .await;
    (charger, api.send(request).await)
}

/// Brings the first edge to its moment with a command in its hands, and the charger to the second edge.
async fn halted(system: &System, moment: Moment, halt: Halt, is_unsafe: bool) -> Case {
    let api = system.api(1);
    let (charger, in_hand) = taken(system, moment, halt, is_unsafe).await;
    match halt {
        Halt::Dies => assert!(system.ended("edge-1").await.contains("SIGABRT")),
        Halt::Stops => system.stopped("edge-1").await,
    }
    let id = charger.id.clone();
    let later_safe = api.send(safe_command(&id, "ClearCache")).await;
    let later_unsafe = api.send(unsafe_command(&id, "UnlockConnector")).await;
    let mut chargers = vec![charger];
    if halt == Halt::Stops {
        // A stopped edge keeps its connections open: this charger has seen no answer for too long.
        chargers[0].cut();
        chargers.push(Companion::connected(&id, vec![system.edge(2)]).await);
    }
    api.connection_where(&id, "is on the second edge", |connection| {
        connection.connected && connection.pod_id == system.pod(2)
    })
    .await;
    Case {
        id,
        chargers,
        in_hand,
        in_hand_is_unsafe: is_unsafe,
        later_safe,
        later_unsafe,
    }
}

impl Case {
    /// How often the charger got a command, over all its lives.
    fn received(&self, command: &str) -> usize {
        self.chargers
            .iter()
            .map(|life| life.times_received(command))
            .sum()
    }

    /// Waits until all commands have ended, each as it must.
    async fn ends_well(&self, api: &Api, moment: Moment) {
        for id in [&self.later_safe, &self.later_unsafe] {
            api.reaches(id, CommandState::Acknowledged).await;
            assert!(self.received(id) >= 1, "{id} is acknowledged, yet never arrived");
        }
        assert_eq!(self.received(&self.later_unsafe), 1, "unsafe to repeat");
        let id = &self.in_hand;
        if !self.in_hand_is_unsafe {
            api.reaches(id, CommandState::Acknowledged).await;
            // What the dead edge wrote was never answered for: the command was written again.
            assert!(self.received(id) > moment.received, "{}", self.received(id));
        } else if moment.in_doubt {
            let ended = api.reaches(id, CommandState::Failed).await;
            assert_eq!(
                (ended.failure_reason(), ended.attempts),
                (FailureReason::OutcomeUnknown, 1)
            );
            assert_eq!(self.received(id), moment.received, "unsafe to repeat");
        } else {
            api.reaches(id, CommandState::Acknowledged).await;
            assert_eq!(self.received(id), 1, "unsafe to repeat");
        }
    }
}

/// The first edge dies at its moment, once with a safe command in its hands and, in its next life, with an unsafe one.
async fn dies(name: &'static str, moment: Moment) {
    let mut system = system(name, moment, Halt::Dies).await;
    let api = system.api(1);
    let safe = halted(&system, moment, Halt::Dies, false).await;
    safe.ends_well(&api, moment).await;
    system.start_edge(1).await;
    system.all_ready().await;
    let case = halted(&system, moment, Halt::Dies, true).await;
    case.ends_well(&api, moment).await;
}

/// The first edge stops at its moment for longer than its lease, with an unsafe command in its hands, and wakes when
/// all is settled.
async fn stops(name: &'static str, moment: Moment) {
    let system = system(name, moment, Halt::Stops).await;
    let api = system.api(1);
    let case = halted(&system, moment, Halt::Stops, true).await;
    case.ends_well(&api, moment).await;
    fault_lasts(Duration::from_millis(LEASE_MS)).await;
    wakes(&system).await;
    let last = api.send(safe_command(&case.id, "ClearCache")).await;
    api.reaches(&last, CommandState::Acknowledged).await;
    case.ends_well(&api, moment).await;
}

/// Wakes the first edge as often as it stops, until it has noticed what it missed and lives anew.
async fn wakes(system: &System) {
    let admin = system.admin("edge-1");
    eventually("edge-1 has taken a new life", async || {
        system.resume("edge-1");
        let (status, _) = probe::readiness(admin).await?;
        (status == 200 && probe::try_metric(admin, LIVES).await? >= 2.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_dies_after_it_consumed_a_record() {
    dies("edge-dies-consumed", AFTER_CONSUME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_dies_before_it_writes_a_call() {
    dies("edge-dies-unwritten", BEFORE_WRITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_dies_after_it_wrote_a_call_and_told_nobody() {
    dies("edge-dies-written", AFTER_WRITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_dies_with_an_answer_that_it_passed_on_to_nobody() {
    dies("edge-dies-answered", BEFORE_ACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_dies_before_it_registers_a_charger() {
    dies("edge-dies-connected", BEFORE_REGISTER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_stops_after_it_consumed_a_record_and_wakes_later() {
    stops("edge-stops-consumed", AFTER_CONSUME).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_stops_before_it_writes_a_call_and_wakes_later() {
    stops("edge-stops-unwritten", BEFORE_WRITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_stops_after_it_wrote_a_call_and_wakes_later() {
    stops("edge-stops-written", AFTER_WRITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_stops_with_an_answer_in_hand_and_wakes_later() {
    stops("edge-stops-answered", BEFORE_ACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_stops_before_it_registers_a_charger_and_wakes_later() {
    stops("edge-stops-connected", BEFORE_REGISTER).await;
}
