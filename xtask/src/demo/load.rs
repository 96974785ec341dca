//! The platform of the demo: sends commands at a steady rate, to whichever router answers, and repeats a call
//! that failed with the same idempotency key until it knows. A call that comes to nothing is noted, and the others go on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// How long a call is repeated before it counts as one that nobody answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

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
    /// How long a call is repeated before it counts as one that nobody answered.
    pub(super) patience: Duration,
}

/// The routers to call and where to note what they said.
struct Sender {
    clients: Vec<CommandServiceClient<Channel>>,
    ledger: SharedLedger,
    patience: Duration,
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
        let clients = self.routers.iter().map(|router| client(*router));
        let sender = Arc::new(Sender {
            clients: clients.collect::<Result<_>>()?,
            ledger,
            patience: self.patience,
        });
        let mut calls = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        tokio::pin!(until);
        let mut number = 0;
        loop {
            tokio::select! {
                () = &mut until => break,
                _ = tick.tick() => {
                    calls.spawn(Arc::clone(&sender).send(self.request(number), number));
                    number += 1;
                }
                Some(done) = calls.join_next() => done.context("a sender ended abnormally")?,
            }
        }
        while let Some(done) = calls.join_next().await {
            done.context("a sender ended abnormally")?;
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

impl Sender {
    /// Calls one router after the other until one has accepted or refused the command, or the patience has run out.
    async fn send(self: Arc<Self>, (request, unsafe_to_repeat): (SendCommandRequest, bool), number: usize) {
        let asked_us = wall_us();
        let deadline = Instant::now() + self.patience;
        for turn in number.. {
            let mut client = self.clients[turn % self.clients.len()].clone();
            match client.send_command(request.clone()).await {
                Ok(answer) => {
                    let command = Accepted {
                        charge_point: request.charge_point_id,
                        unsafe_to_repeat,
                        asked_us,
                        end: None,
                    };
                    return self.ledger().accept(answer.into_inner().command_id, command);
                }
                Err(status) if is_final(&status) => return self.ledger().refuse(told(&status)),
                Err(status) if Instant::now() > deadline => return self.ledger().give_up(told(&status)),
                // Indeterminate: the key settles it.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's end for people.
fn told(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Whether repeating the call is of no use.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::AlreadyExists | Code::Unimplemented | Code::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_that_no_router_answers_are_noted_each_and_the_load_goes_on() {
        let load = Load {
            routers: vec![crate::net::free_address().unwrap()],
            chargers: vec!["CP-1".to_owned()],
            rate: 100,
            patience: Duration::from_millis(100),
        };
        let ledger = SharedLedger::default();
        let given_up = || ledger.lock().unwrap().unanswered().calls;
        // The first that is given up must end neither the others nor the run.
        let until = async {
            while given_up() < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), load.run(Arc::clone(&ledger), until))
            .await
            .expect("three calls are given up in time")
            .expect("a call without an answer is no error of the run");
        let ledger = ledger.lock().unwrap();
        assert_eq!((ledger.accepted().len(), ledger.refused().calls), (0, 0));
        let last = ledger.unanswered().last.clone().unwrap();
        assert!(last.starts_with("Unavailable"), "{last}");
    }

    #[test]
    fn only_what_another_try_cannot_change_is_a_refusal() {
        for (code, refusal) in [
            (Code::InvalidArgument, true),
            (Code::AlreadyExists, true),
            (Code::Unavailable, false),
            (Code::DeadlineExceeded, false),
            (Code::Cancelled, false),
        ] {
            assert_eq!(is_final(&Status::new(code, "")), refusal, "{code:?}");
        }
    }
}
