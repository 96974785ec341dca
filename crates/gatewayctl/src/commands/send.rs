//! `send`: accepts a command, under a key that makes its repetition harmless, and waits for its end if asked to.

use serde::Serialize;
use uuid::Uuid;
use wire::gateway::command::v1::{self as api, Command, SendCommandRequest, SendCommandResponse};

use super::{Session, client, payload, watch};
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
            self.note(&format!("idempotency key {}", request.idempotency_key));
        }
        let view = self.accept(request).await?;
        let gone = view.deduplicated && view.state.is_none();
        if gone {
            self.note("the key's command is kept no longer; nothing was sent now, which another key does");
        }
        if wait && !gone {
            return self.wait_for(view).await;
        }
        self.print(&view, send_table)?;
        Ok(ExitStatus::Ok)
    }

    /// Builds the request once: every repetition carries the same key and the same deadline.
    fn request(&mut self, args: SendArgs) -> Result<SendCommandRequest, Failure> {
        let payload_json = payload::read(args.payload.as_deref(), self.io.stdin)?;
        let deadline = args.until.timestamp(self.now);
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
            .ask(request, async |channel, request| {
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
            Err(cause @ Failure::NoRouter { reached: false, .. }) => Err(Failure::NotSent {
                cause: Box::new(cause),
            }),
            Err(cause @ Failure::NoRouter { .. }) => Err(Failure::Indeterminate {
                idempotency_key,
                cause: Box::new(cause),
            }),
            Err(failure) => Err(failure),
        }
    }

    /// Follows an accepted command, and tells meanwhile how far it is. It is printed also when following fails: it was
    /// accepted.
    async fn wait_for(&mut self, mut view: SendView) -> Result<ExitStatus, Failure> {
        self.note(&format!("accepted as {}", view.command_id));
        let mut deadline_told = false;
        let outcome = self
            .follow(view.command_id.clone(), |session, command| {
                session.tell_progress(command, &mut deadline_told);
                Ok(())
            })
            .await;
        let ended = match outcome {
            Ok(ended) => ended,
            Err(failure) => {
                self.print(&view, send_table)?;
                return Err(failure.after_acceptance(view.command_id));
            }
        };
        let status = watch::status(&ended);
        let command = CommandView::from(ended);
        view.state.clone_from(&command.state);
        view.command = Some(command.clone());
        self.print(&view, send_table)?;
        self.explain_end(&command, status);
        Ok(status)
    }

    /// Says where a command is that is waited for, and once until when that may take.
    fn tell_progress(&mut self, command: &Command, deadline_told: &mut bool) {
        let view = CommandView::from(command.clone());
        if let (false, Some(deadline)) = (*deadline_told, &view.deadline) {
            *deadline_told = true;
            self.note(&format!("waiting for its end; its deadline is {deadline}"));
        }
        self.note(&table::change(&view));
    }
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
