//! Calls of the API, each with its lines in the client's history.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wire::gateway::command::v1::answer::Kind as AnswerKind;
use wire::gateway::command::v1::command_service_client::CommandServiceClient;
use wire::gateway::command::v1::{
    CancelCommandRequest, Command, CommandState, FailureReason, GetCommandRequest, ListCommandsRequest,
    Priority, RedeliveryClass, SendCommandRequest, SendCommandResponse,
};

use super::Ledger;
use super::mix::Order;
use crate::chaos::chronicle::wall_us;

/// How long one call may take before it is repeated elsewhere.
const CALL: Duration = Duration::from_secs(2);

/// How long a call is repeated before the caller gives up on an answer.
const PATIENCE: Duration = Duration::from_secs(12);

/// The pause before a repeated call.
const PAUSE: Duration = Duration::from_millis(150);

type Client = CommandServiceClient<Channel>;

/// A client of each router.
#[derive(Debug)]
pub(in crate::chaos) struct Clients(Vec<Client>);

impl Clients {
    /// Clients that connect when they are first used, and again whenever they must.
    pub(in crate::chaos) fn new(routers: &[SocketAddr]) -> Result<Self> {
        let client = |router: &SocketAddr| {
            let endpoint = Endpoint::from_shared(format!("http://{router}"))?
                .connect_timeout(CALL)
                .timeout(CALL);
            Ok(CommandServiceClient::new(endpoint.connect_lazy()))
        };
        Ok(Self(routers.iter().map(client).collect::<Result<_>>()?))
    }

    /// The router whose turn it is.
    fn of(&self, turn: u64) -> Option<Client> {
        let count = u64::try_from(self.0.len()).unwrap_or(1).max(1);
        self.0.get(usize::try_from(turn % count).unwrap_or(0)).cloned()
    }
}

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    clients: Clients,
    ledger: Arc<Ledger>,
    number: AtomicU64,
}

impl Caller {
    pub(super) fn new(clients: Clients, ledger: Arc<Ledger>) -> Self {
        Self {
            clients,
            ledger,
            number: AtomicU64::new(0),
        }
    }

    /// Sends a command until it knows what became of the call, and does what else the order says.
    pub(super) async fn fulfil(self: Arc<Self>, order: Order) -> Result<()> {
        let request = request(&order);
        let id = self.until_known(&request).await?;
        if order.twice && id.is_some() {
            self.until_known(&request).await?;
        }
        if let (Some(other), true) = (order.reuse, id.is_some()) {
            let reused = SendCommandRequest {
                payload_json: other.to_owned(),
                ..request
            };
            self.until_known(&reused).await?;
        }
        if let (Some(id), Some(after)) = (id, order.cancel_ms) {
            sleep(Duration::from_millis(after)).await;
            self.cancel(id).await?;
        }
        Ok(())
    }

    /// Calls again and again while the outcome is indeterminate; one without a key is never repeated.
    async fn until_known(&self, request: &SendCommandRequest) -> Result<Option<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.send(request).await? {
                Ok(answer) => {
                    self.ledger.accept(answer.command_id.clone());
                    return Ok(Some(answer.command_id));
                }
                Err(status) => {
                    let over = Instant::now() > deadline || request.idempotency_key.is_empty();
                    if over || !is_indeterminate(&status) {
                        return Ok(None);
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// One call, with its two lines.
    async fn send(&self, request: &SendCommandRequest) -> Result<Result<SendCommandResponse, Status>> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut client = self.clients.of(number).context("there is no router")?;
        let chronicle = &self.ledger.chronicle;
        let key = &request.idempotency_key;
        chronicle.note("call", call_fields(number, request))?;
        let answer = client
            .send_command(request.clone())
            .await
            .map(tonic::Response::into_inner);
        let fields = match &answer {
            Ok(answer) => json!({
                "n": number, "key": key, "ok": true, "id": answer.command_id, "dedup": answer.deduplicated,
            }),
            Err(status) => json!({
                "n": number, "key": key, "ok": false, "code": code_name(status.code()), "why": status.message(),
            }),
        };
        chronicle.note("reply", fields)?;
        Ok(answer)
    }

    /// Takes a command back, if anybody hears it.
    async fn cancel(&self, id: String) -> Result<()> {
        for turn in 0..3 {
            let mut client = self.clients.of(turn).context("there is no router")?;
            let request = CancelCommandRequest {
                command_id: id.clone(),
            };
            match client.cancel_command(request).await {
                Err(status) if is_indeterminate(&status) => sleep(PAUSE).await,
                _ => break,
            }
        }
        Ok(())
    }
}

/// Whether any router says that there are commands that have not ended; an error while none answers.
pub(in crate::chaos) async fn open_commands(routers: &[SocketAddr]) -> Result<bool> {
    let states = [CommandState::Pending, CommandState::Sent, CommandState::Delivered];
    let request = ListCommandsRequest {
        states: states.iter().map(|state| i32::from(*state)).collect(),
        page_size: 1,
        ..ListCommandsRequest::default()
    };
    let mut client = Clients::new(routers)?.of(0).context("there is no router")?;
    let mut page = request.clone();
    // A page may be empty and not the last one.
    loop {
        let answer = client.list_commands(page.clone()).await?.into_inner();
        if !answer.commands.is_empty() {
            return Ok(true);
        }
        if answer.next_page_token.is_empty() {
            return Ok(false);
        }
        page.page_token = answer.next_page_token;
    }
}

/// Reads every accepted command a last time into the client's history.
pub(in crate::chaos) async fn final_reads(routers: &[SocketAddr], ledger: &Ledger) -> Result<()> {
    let clients = Clients::new(routers)?;
    for (turn, id) in (0..).zip(ledger.accepted()) {
        let fields = final_read(&clients, turn, &id).await?;
        ledger.chronicle.note("get", fields)?;
    }
    Ok(())
}

async fn final_read(clients: &Clients, turn: u64, id: &str) -> Result<Value> {
    let mut last = None;
    for again in 0..20 {
        let mut client = clients.of(turn + again).context("there is no router")?;
        let request = GetCommandRequest {
            command_id: id.to_owned(),
        };
        match client.get_command(request).await {
            Ok(answer) => {
                let command = answer
                    .into_inner()
                    .command
                    .context("an answer without a command")?;
                return Ok(get_fields(&command));
            }
            Err(status) if status.code() == Code::NotFound => {
                return Ok(
                    json!({ "id": id, "state": "NOT_FOUND", "attempts": 0, "possibly_written": false }),
                );
            }
            Err(status) => last = Some(status),
        }
        sleep(PAUSE).await;
    }
    bail!("the command {id} cannot be read: {last:?}")
}

fn request(order: &Order) -> SendCommandRequest {
    let deadline = UNIX_EPOCH + Duration::from_micros(wall_us()) + Duration::from_millis(order.deadline_ms);
    SendCommandRequest {
        charge_point_id: order.charger.clone(),
        action: order.action.to_owned(),
        payload_json: order.payload.to_owned(),
        priority: order.priority.into(),
        deadline: Some(deadline.into()),
        idempotency_key: order.key.clone(),
        redelivery_class: order.class.into(),
    }
}

fn call_fields(number: u64, request: &SendCommandRequest) -> Value {
    let deadline_us = request.deadline.map_or(0, |at| {
        u64::try_from(at.seconds).unwrap_or(0) * 1_000_000 + u64::try_from(at.nanos).unwrap_or(0) / 1_000
    });
    json!({
        "n": number,
        "key": request.idempotency_key,
        "cp": request.charge_point_id,
        "action": request.action,
        "unsafe": request.redelivery_class() == RedeliveryClass::Unsafe,
        "priority": match request.priority() {
            Priority::Low => 0,
            Priority::Unspecified | Priority::Normal => 1,
            Priority::High => 2,
            Priority::Urgent => 3,
        },
        "deadline_us": deadline_us,
        "payload_hash": format!("{:016x}", fnv(request.payload_json.as_bytes())),
    })
}

fn get_fields(command: &Command) -> Value {
    let state = command.state();
    let answer = command.answer.as_ref().and_then(|answer| answer.kind.as_ref());
    let answer = answer.map(|kind| match kind {
        AnswerKind::ResultJson(text) => json!({ "result": text }),
        AnswerKind::Error(error) => json!({ "error": { "code": error.code } }),
    });
    let ended_us = command.ended_at.map(|at| {
        u64::try_from(at.seconds).unwrap_or(0) * 1_000_000 + u64::try_from(at.nanos).unwrap_or(0) / 1_000
    });
    let reason = match command.failure_reason() {
        FailureReason::Unspecified => None,
        FailureReason::NoAnswer => Some("NO_ANSWER"),
        FailureReason::OutcomeUnknown => Some("OUTCOME_UNKNOWN"),
    };
    json!({
        "id": command.command_id,
        "state": state.as_str_name().trim_start_matches("COMMAND_STATE_"),
        "reason": reason,
        "answer": answer,
        "attempts": command.attempts,
        "possibly_written": command.possibly_written,
        "ended_us": ended_us,
    })
}

/// Whether the call may have taken effect, so that only repeating it tells.
fn is_indeterminate(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
    )
}

/// The code as the API's documents spell it.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// A hash that stands for a payload in the history (FNV-1a).
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_spelled_as_in_the_documents() {
        assert_eq!(code_name(Code::AlreadyExists), "ALREADY_EXISTS");
        assert_eq!(code_name(Code::Unavailable), "UNAVAILABLE");
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fnv(b"{}"), fnv(b"{ }"));
    }
}
