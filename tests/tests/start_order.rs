//! Redis, Kafka, router and edge start in any order: each waits for its parts, says so, and all end ready.

use integration::tools::Tools;
use integration::{BrokerNeed, Companion, System, SystemSpec, command, probe};
use wire::gateway::command::v1::CommandState;
use xtask::progress::say;

/// The processes of a system, in no order.
const PROCESSES: [&str; 4] = ["redis", "kafka", "router-1", "edge-1"];

/// Every order of `rest`, each behind `before`.
fn orders(before: &[&'static str], rest: &[&'static str]) -> Vec<Vec<&'static str>> {
    if rest.is_empty() {
        return vec![before.to_vec()];
    }
    let mut all = Vec::new();
    for &next in rest {
        let others: Vec<_> = rest.iter().copied().filter(|other| *other != next).collect();
        all.extend(orders(&[before, &[next]].concat(), &others));
    }
    all
}

async fn start(system: &mut System, process: &str) {
    match process {
        "router-1" => system.start_router(1).await,
        "edge-1" => system.start_edge(1).await,
        part => system.restart_part(part).await,
    }
}

/// Starts everything anew in one order and lets a command go all the way.
async fn comes_up(system: &mut System, order: &[&str]) {
    say(format!("order: {order:?}"));
    for process in order {
        start(system, process).await;
    }
    system.all_ready().await;
    let companion = Companion::connected(&system.charger_id("cp"), vec![system.edge(1)]).await;
    let id = system.api(1).send(command(&companion.id, "Reset")).await;
    system.api(1).reaches(&id, CommandState::Acknowledged).await;
    for process in PROCESSES {
        system.kill9(process).await;
    }
}

async fn all_down(need: BrokerNeed, name: &'static str) -> System {
    let mut system = System::parts_only(SystemSpec::new(name).broker(need)).await;
    system.stop("redis").await;
    system.stop("kafka").await;
    system
}

/// Half of all orders; the halves run beside each other.
async fn half_of_all_orders(name: &'static str, first: [&'static str; 2]) {
    let mut system = all_down(BrokerNeed::Embedded, name).await;
    let orders = orders(&[], &PROCESSES)
        .into_iter()
        .filter(|order| first.contains(&order[0]));
    let mut tried = 0;
    for order in orders {
        comes_up(&mut system, &order).await;
        tried += 1;
    }
    assert_eq!(tried, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_that_begins_with_a_part_ends_ready() {
    half_of_all_orders("parts-first", ["redis", "kafka"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_that_begins_with_a_service_ends_ready() {
    half_of_all_orders("services-first", ["router-1", "edge-1"]).await;
}

/// The real broker takes seconds to start, so with it each process is first once and last once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_real_broker_each_process_may_be_the_first_and_the_last() {
    if !Tools::get().await.broker_is_durable() {
        say("skipped: there is no Apache Kafka here, and the embedded broker had its turn");
        return;
    }
    let mut system = all_down(BrokerNeed::Own, "real-order").await;
    for turn in 0..PROCESSES.len() {
        let mut order = PROCESSES;
        order.rotate_left(turn);
        comes_up(&mut system, &order).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_says_what_it_waits_for_until_it_is_there() {
    let mut system = all_down(BrokerNeed::Embedded, "what-for").await;
    system.start_edge(1).await;
    let (edge, router) = (system.admin("edge-1"), system.admin("router-1"));
    probe::waits_for("edge-1", edge, "router").await;
    system.start_router(1).await;
    probe::waits_for("router-1", router, "redis").await;
    system.restart_part("redis").await;
    probe::waits_for("router-1", router, "kafka").await;
    system.restart_part("kafka").await;
    system.all_ready().await;
}
