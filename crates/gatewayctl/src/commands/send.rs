//! `send`: accepts a command, under a key that makes its repetition harmless, and waits for its end if asked to.

use std::io::Read;

use prost_types::Timestamp;
use serde::Serialize;
use uuid::Uuid;
use wire::gateway::command::v1::{self as api, SendCommandRequest, SendCommandResponse};

use super::{Session, client, watch};
use crate::cli::{Class, Priority, SendArgs};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::table;
use crate::view::command::{CommandView, state_word};

/// What `send` prints; with `--wait` the state is the last one seen, and `command` holds the rest.
#[derive(Debug, Serialize)]
struct SendView {
    command_id: String,
    state: Option<String>,
    deduplicated: bool,
    idempotency_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandView>,
}

impl Session<'_> {
    pub(super) async fn send(&mut self, args: SendArgs) -> Result<ExitStatus, Failure> {
        let (wait, generated) = (args.wait, args.idempotency_key.is_none());
        let request = self.request(args)?;
        if generated {
            // Said before the call: whoever interrupts it can still settle what became of it.
            self.note(&format!("idempotency key {}", request.idempotency_key))?;
        }
        let view = self.accept(request).await?;
        if wait {
            return self.wait_for(view).await;
        }
        self.print(&view, send_table)?;
        Ok(ExitStatus::Ok)
    }

    /// Builds the request once: every repetition carries the same key and the same deadline.
    fn request(&mut self, args: SendArgs) -> Result<SendCommandRequest, Failure> {
        let payload_json = read_payload(args.payload.as_deref(), self.io.stdin)?;
        let deadline = match args.deadline {
            Some(span) => Some(Timestamp::from(self.now + span.0)),
            None => args.deadline_at,
        };
        let idempotency_key = args.idempotency_key.unwrap_or_else(|| Uuid::now_v7().to_string());
        Ok(SendCommandRequest {
            charge_point_id: args.charge_point,
            action: args.action,
            payload_json,
            priority: priority(args.priority).into(),
            deadline,
            idempotency_key,
            redelivery_class: class(args.class).into(),
        })
    }

    async fn accept(&mut self, request: SendCommandRequest) -> Result<SendView, Failure> {
        let idempotency_key = request.idempotency_key.clone();
        let reply = self
            .routers
            .call(request, async |channel, request| {
                client(channel).send_command(request).await
            })
            .await;
        match reply {
            Ok(reply) => {
                let SendCommandResponse {
                    command_id,
                    state,
                    deduplicated,
                } = reply.into_inner();
                Ok(SendView {
                    command_id,
                    state: state_word(state),
                    deduplicated,
                    idempotency_key,
                    command: None,
                })
            }
            Err(cause @ Failure::NoRouter { .. }) => Err(Failure::Indeterminate {
                idempotency_key,
                cause: Box::new(cause),
            }),
            Err(failure) => Err(failure),
        }
    }

    /// Follows an accepted command. It is printed also when following fails: it was accepted.
    async fn wait_for(&mut self, mut view: SendView) -> Result<ExitStatus, Failure> {
        let outcome = self.follow(view.command_id.clone(), |_, _| Ok(())).await;
        let ended = match outcome {
            Ok(ended) => ended,
            Err(failure) => {
                self.print(&view, send_table)?;
                return Err(failure);
            }
        };
        let status = watch::status(&ended);
        let command = CommandView::from(ended);
        view.state.clone_from(&command.state);
        view.command = Some(command.clone());
        self.print(&view, send_table)?;
        self.explain_end(&command, status)?;
        Ok(status)
    }
}

/// The payload's text. Whether it is a JSON object is for the router to judge.
fn read_payload(argument: Option<&str>, stdin: &mut dyn Read) -> Result<String, Failure> {
    let mut text = String::new();
    match argument {
        None => {}
        Some("-") => {
            stdin
                .read_to_string(&mut text)
                .map_err(|source| Failure::ReadPayload {
                    origin: "standard input".to_owned(),
                    source,
                })?;
        }
        Some(argument) => match argument.strip_prefix('@') {
            Some(path) => {
                text = std::fs::read_to_string(path).map_err(|source| Failure::ReadPayload {
                    origin: path.to_owned(),
                    source,
                })?;
            }
            None => text.push_str(argument),
        },
    }
    Ok(text)
}

fn send_table(view: &SendView) -> String {
    let head = table::fields(vec![
        ("command", view.command_id.clone()),
        ("state", view.state.clone().unwrap_or_default()),
        ("idempotency key", view.idempotency_key.clone()),
        (
            "accepted before",
            if view.deduplicated { "yes" } else { "no" }.to_owned(),
        ),
    ]);
    match &view.command {
        Some(command) => format!("{head}\n\n{}", table::command(command)),
        None => head,
    }
}

fn priority(priority: Priority) -> api::Priority {
    match priority {
        Priority::Low => api::Priority::Low,
        Priority::Normal => api::Priority::Normal,
        Priority::High => api::Priority::High,
        Priority::Urgent => api::Priority::Urgent,
    }
}

fn class(class: Option<Class>) -> api::RedeliveryClass {
    match class {
        None => api::RedeliveryClass::Unspecified,
        Some(Class::Safe) => api::RedeliveryClass::Safe,
        Some(Class::Unsafe) => api::RedeliveryClass::Unsafe,
    }
}
