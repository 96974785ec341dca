//! A Redis primary that is killed for good under load: with durability `replicated` its replica takes over, and
//! nothing that was accepted is lost, no end that was seen is taken back, nothing unsafe is repeated.

use futures_util::future::join_all;
use integration::api::{is_end, safe_command, unsafe_command};
use integration::redis_kinds::FIRST_MASTER;
use integration::{Api, BrokerNeed, Companion, System, SystemSpec, eventually};
use wire::gateway::command::v1::{CommandState, SendCommandRequest};
use xtask::parts::sentinel::FIRST_PRIMARY;

/// Chargers, commands for each before the kill, while the master is away where that is known, and after it.
const CHARGERS: usize = 6;
const BEFORE: usize = 6;
const MEANWHILE: usize = 3;
const AFTER: usize = 14;

fn spec(name: &'static str) -> SystemSpec {
    SystemSpec::new(name).routers(2).edges(2).broker(BrokerNeed::Any)
}

/// The chargers and what was accepted for them.
struct Load {
    chargers: Vec<Companion>,
    ids: Vec<(usize, String)>,
}

async fn start_services(system: &mut System) -> Load {
    for number in [1, 2] {
        system.start_router(number).await;
        system.start_edge(number).await;
    }
    system.all_ready().await;
    let mut chargers = Vec::new();
    for number in 0..CHARGERS {
        let id = system.charger_id(&format!("cp-{number}"));
        chargers.push(Companion::connected(&id, vec![system.edge(1 + number % 2)]).await);
        system.api(1).connected(&id).await;
    }
    Load {
        chargers,
        ids: Vec::new(),
    }
}

/// A third is unsafe to repeat. The key settles what became of a call that failed.
fn request(charger: &str, round: usize) -> SendCommandRequest {
    let request = if round.is_multiple_of(3) {
        unsafe_command(charger, "Reset")
    } else {
        safe_command(charger, "ClearCache")
    };
    SendCommandRequest {
        idempotency_key: format!("round {round}"),
        ..request
    }
}

/// Sends until it is accepted, by the routers in turn.
async fn accepted(apis: &[Api; 2], request: &SendCommandRequest) -> String {
    let mut turn = 0;
    eventually(
        format_args!("{} is accepted", request.idempotency_key),
        async || {
            turn += 1;
            let sent = apis[turn % 2].try_send(request.clone()).await;
            sent.ok().map(|response| response.command_id)
        },
    )
    .await
}

/// A charger, a round, and the command's id if the caller was told that it is accepted.
type Told = (usize, usize, Option<String>);

impl Load {
    async fn send(&mut self, system: &System, rounds: std::ops::Range<usize>) {
        let apis = [system.api(1), system.api(2)];
        for round in rounds {
            for number in 0..CHARGERS {
                let id = accepted(&apis, &request(&self.chargers[number].id, round)).await;
                self.ids.push((number, id));
            }
        }
    }

    /// Sends each command once, by the routers in turn, and all of a round at a time, since some hang; what the
    /// callers were told, if it was yes.
    async fn try_send(&self, system: &System, rounds: std::ops::Range<usize>) -> Vec<Told> {
        let mut told = Vec::new();
        for round in rounds {
            let calls = self.chargers.iter().enumerate().map(async |(number, charger)| {
                let api = system.api(1 + (round + number) % 2);
                let sent = api.try_send(request(&charger.id, round)).await;
                (number, round, sent.ok().map(|response| response.command_id))
            });
            told.extend(join_all(calls).await);
        }
        told
    }

    /// Asks for each again under its key: who was told yes is told the same, and who was told nothing learns what
    /// became of the command.
    async fn settle(&mut self, system: &System, told: Vec<Told>) {
        let apis = [system.api(1), system.api(2)];
        for (number, round, id) in told {
            let settled = accepted(&apis, &request(&self.chargers[number].id, round)).await;
            assert_eq!(
                id.as_ref().unwrap_or(&settled),
                &settled,
                "the key names another command"
            );
            self.ids.push((number, settled));
        }
    }

    /// Every command is acknowledged, and every charger confirms it.
    async fn all_acknowledged(&self, api: &Api) {
        for (number, id) in &self.ids {
            let command = eventually(format_args!("command {id} ends"), async || {
                let found = api.try_get(id).await.ok()?;
                is_end(found.state()).then_some(found)
            })
            .await;
            assert_eq!(command.state(), CommandState::Acknowledged, "{command:?}");
            let received = self.chargers[*number].times_received(id);
            assert!(received >= 1, "{id} is acknowledged and was never received");
            if command.redelivery_class() == wire::gateway::command::v1::RedeliveryClass::Unsafe {
                assert_eq!(received, 1, "{id} is unsafe to repeat");
            }
        }
    }
}

async fn survives_the_loss_of(system: &mut System, primary: &str) {
    let mut load = start_services(system).await;
    load.send(system, 0..BEFORE).await;
    load.all_acknowledged(&system.api(2)).await;
    let versions = versions(system, &load).await;
    // These are on their way when the primary dies.
    load.send(system, BEFORE..BEFORE + 1).await;
    system.kill9(primary).await;
    load.send(system, BEFORE + 1..BEFORE + AFTER).await;
    load.all_acknowledged(&system.api(1)).await;
    for (charger, before) in load.chargers.iter().zip(versions) {
        let now = system.api(1).connected(&charger.id).await.version;
        assert!(
            now >= before,
            "the version of {} fell from {before} to {now}",
            charger.id
        );
    }
}

async fn versions(system: &System, load: &Load) -> Vec<u64> {
    let mut versions = Vec::new();
    for charger in &load.chargers {
        versions.push(system.api(1).connected(&charger.id).await.version);
    }
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_failover_under_load_costs_no_accepted_command() {
    let mut system = System::parts_only(spec("sentinel-failover")).await;
    system.use_sentinels().await;
    survives_the_loss_of(&mut system, FIRST_PRIMARY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_master_failover_under_load_costs_no_accepted_command() {
    let mut system = System::parts_only(spec("cluster-failover")).await;
    let nodes = system.use_replicated_cluster().await;
    let mut load = start_services(&mut system).await;
    load.send(&system, 0..BEFORE).await;
    load.all_acknowledged(&system.api(2)).await;
    load.send(&system, BEFORE..BEFORE + 1).await;
    // What lies on the other masters goes on meanwhile; here calls fail, and their fate is open. A new master takes
    // over, and takes writes again when a replica listens to it: the old master, restarted.
    let meanwhile = BEFORE + 1..BEFORE + 1 + MEANWHILE;
    let told = system
        .lose_first_master(&nodes, async |system| {
            load.try_send(system, meanwhile.clone()).await
        })
        .await;
    system.restart_part(FIRST_MASTER).await;
    load.settle(&system, told).await;
    load.send(&system, meanwhile.end..BEFORE + AFTER).await;
    load.all_acknowledged(&system.api(1)).await;
}
