//! The platform of the demo: sends commands at a steady rate, to whichever router answers, and repeats a call
//! that failed with the same idempotency key until it knows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use uuid::Uuid;
use wire::gateway::command::v1::command_service_client::CommandServiceClient;
use wire::gateway::command::v1::{Priority, SendCommandRequest};

use super::ledger::{Accepted, Ledger};
use super::wall_us;

/// How long one call may take before it is repeated elsewhere.
const CALL: Duration = Duration::from_secs(2);

/// How long a call is repeated before the command counts as refused.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ledger as the tasks share it.
pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// The routers.
    pub(super) routers: Vec<SocketAddr>,
    /// The chargers.
    pub(super) chargers: Vec<String>,
    /// Commands a second.
    pub(super) rate: u32,
}

/// One kind of command in the mix.
struct Sample {
    action: &'static str,
    payload: &'static str,
    unsafe_to_repeat: bool,
}

/// A fifth of it is unsafe to repeat.
const MIX: [Sample; 5] = [
    Sample {
        action: "TriggerMessage",
        payload: r#"{"requestedMessage":"Heartbeat"}"#,
        unsafe_to_repeat: false,
    },
    Sample {
        action: "UnlockConnector",
        payload: r#"{"connectorId":1}"#,
        unsafe_to_repeat: true,
    },
    Sample {
        action: "ChangeConfiguration",
        payload: r#"{"key":"HeartbeatInterval","value":"300"}"#,
        unsafe_to_repeat: false,
    },
    Sample {
        action: "GetConfiguration",
        payload: "{}",
        unsafe_to_repeat: false,
    },
    Sample {
        action: "ChangeAvailability",
        payload: r#"{"connectorId":0,"type":"Operative"}"#,
        unsafe_to_repeat: false,
    },
];

impl Load {
    /// Sends until `until` resolves, then waits for the calls under way.
    pub(super) async fn run(self, ledger: SharedLedger, until: impl Future<Output = ()>) -> Result<()> {
        let clients: Vec<_> = self
            .routers
            .iter()
            .map(|router| client(*router))
            .collect::<Result<_>>()?;
        let clients = Arc::new(clients);
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        tokio::pin!(until);
        let mut number = 0;
        loop {
            tokio::select! {
                () = &mut until => break,
                _ = tick.tick() => {
                    calls.spawn(send(Arc::clone(&clients), self.request(number), number, Arc::clone(&ledger)));
                    number += 1;
                }
                Some(done) = calls.join_next() => done.context("a sender ended abnormally")??,
            }
        }
        while let Some(done) = calls.join_next().await {
            done.context("a sender ended abnormally")??;
        }
        Ok(())
    }

    fn request(&self, number: usize) -> (SendCommandRequest, bool) {
        let sample = &MIX[number % MIX.len()];
        // A stride that is coprime to every round number spreads the load over all chargers.
        let charger = self.chargers.get(number * 7_919 % self.chargers.len().max(1));
        let request = SendCommandRequest {
            charge_point_id: charger.cloned().unwrap_or_default(),
            action: sample.action.to_owned(),
            payload_json: sample.payload.to_owned(),
            priority: Priority::Normal.into(),
            idempotency_key: Uuid::new_v4().to_string(),
            ..SendCommandRequest::default()
        };
        (request, sample.unsafe_to_repeat)
    }
}

/// A client of one router that connects when it is first used, and again whenever it must.
pub(super) fn client(router: SocketAddr) -> Result<CommandServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{router}"))?
        .connect_timeout(CALL)
        .timeout(CALL);
    Ok(CommandServiceClient::new(endpoint.connect_lazy()))
}

async fn send(
    clients: Arc<Vec<CommandServiceClient<Channel>>>,
    (request, unsafe_to_repeat): (SendCommandRequest, bool),
    number: usize,
    ledger: SharedLedger,
) -> Result<()> {
    let asked_us = wall_us();
    let deadline = Instant::now() + PATIENCE;
    for turn in number.. {
        let mut client = clients[turn % clients.len()].clone();
        match client.send_command(request.clone()).await {
            Ok(answer) => {
                let command = Accepted {
                    charge_point: request.charge_point_id,
                    unsafe_to_repeat,
                    asked_us,
                    end: None,
                };
                let id = answer.into_inner().command_id;
                ledger
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .accept(id, command);
                return Ok(());
            }
            Err(status) if is_final(&status) || Instant::now() > deadline => {
                return Err(status).context("a command was refused");
            }
            // Indeterminate: the key settles it.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(())
}

/// Whether repeating the call is of no use.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::AlreadyExists | Code::Unimplemented | Code::PermissionDenied
    )
}
