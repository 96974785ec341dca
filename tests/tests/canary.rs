//! An edge whose consumer is assigned and gets nothing must not take chargers: nothing could be sent to them.

use std::time::Duration;

use integration::handshake::upgrade;
use integration::wait::stays_silent;
use integration::{BrokerNeed, Companion, System, SystemSpec, command, probe};
use wire::gateway::command::v1::CommandState;

/// How long the edge is watched: several canary rounds.
const A_WHILE: Duration = Duration::from_secs(4);

/// The edge reads the same topics on another broker: metadata, offsets and `assign()` succeed, and no record comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_sees_no_canary_never_becomes_ready_and_says_why() {
    let mut system = System::parts_only(SystemSpec::new("canary").broker(BrokerNeed::Own)).await;
    system.start_router(1).await;
    probe::ready("router-1", system.admin("router-1")).await;
    let elsewhere = system.start_other_broker().await;
    system.start_edge_on(1, elsewhere).await;
    let admin = system.admin("edge-1");
    probe::waits_for("edge-1", admin, "canary").await;
    let became_ready = stays_silent(probe::ready("edge-1", admin), A_WHILE).await;
    assert!(became_ready.is_none(), "the edge is ready without a canary");
    assert_eq!(
        upgrade(system.edge(1), "/ocpp/cp-1", Some("ocpp1.6"), &[])
            .await
            .unwrap()
            .status,
        503
    );
    probe::waits_for("edge-1", admin, "canary").await;

    system.stop("edge-1").await;
    system.start_edge(1).await;
    probe::ready("edge-1", admin).await;
    let companion = Companion::connected(&system.charger_id("cp"), vec![system.edge(1)]).await;
    let id = system.api(1).send(command(&companion.id, "Reset")).await;
    system.api(1).reaches(&id, CommandState::Acknowledged).await;
}

/// A fetch that dies under a running edge withdraws its readiness, and a consumer that is rebuilt brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_canary_withdraws_readiness_until_the_canary_comes_round_again() {
    let spec = SystemSpec::new("stale-canary")
        .broker(BrokerNeed::Own)
        .edge_set("canary.fresh_ms", 2_500)
        .edge_set("canary.rebuild_ms", 3_000);
    let system = System::start(spec).await;
    let admin = system.admin("edge-1");
    system.pause("kafka").await;
    probe::waits_for("edge-1", admin, "canary").await;
    system.resume("kafka");
    probe::ready("edge-1", admin).await;
    let companion = Companion::connected(&system.charger_id("cp"), vec![system.edge(1)]).await;
    let id = system.api(1).send(command(&companion.id, "Reset")).await;
    system.api(1).reaches(&id, CommandState::Acknowledged).await;
}
