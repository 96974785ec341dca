//! `watch`, and the waiting of `send --wait`: follows a command to its terminal state across lost streams.

use std::error::Error;

use tokio::time::{self, Instant};
use tonic::{Status, Streaming};
use wire::gateway::command::v1::{
    Command, CommandState, WatchCommandRequest, WatchCommandResponse, answer::Kind,
};

use super::{Session, client};
use crate::cli::Output;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::routers::{self, backoff};
use crate::table;
use crate::view::command::CommandView;
use crate::view::printable;

/// How one stream of changes came to its end.
enum Stream {
    Ended(Box<Command>),
    /// Broken or closed early; `progressed` if it told anything new before, or held for long.
    Lost {
        reason: String,
        progressed: bool,
    },
}

impl Session<'_> {
    pub(super) async fn watch(&mut self, command_id: String) -> Result<ExitStatus, Failure> {
        let ended = self.follow(command_id, Self::print_change).await?;
        let status = status(&ended);
        let view = CommandView::from(ended);
        if self.output == Output::Table {
            self.print(&view, |view| format!("\n{}", table::command(view)))?;
        }
        self.explain_end(&view, status);
        Ok(status)
    }

    /// Says on standard error why the status is not 0, as for every other failure.
    pub(super) fn explain_end(&mut self, command: &CommandView, status: ExitStatus) {
        let state = command.state.as_deref().unwrap_or_default();
        match (status, command.failure_reason.as_deref()) {
            (ExitStatus::ChargerError, _) => self.note("gatewayctl: the charger answered with a CALLERROR"),
            (ExitStatus::Unanswered, None) => {
                self.note(&format!("gatewayctl: the command has ended as {state}"));
            }
            (ExitStatus::Unanswered, Some(reason)) => {
                self.note(&format!("gatewayctl: the command has ended as {state}: {reason}"));
            }
            _ => {}
        }
    }

    /// Follows the command through as many streams as it takes. `on_change` sees each revision once.
    pub(super) async fn follow(
        &mut self,
        command_id: String,
        mut on_change: impl FnMut(&mut Self, &Command) -> Result<(), Failure>,
    ) -> Result<Command, Failure> {
        let mut seen = None;
        let mut idle_losses = 0;
        loop {
            let stream = self.open_watch(&command_id, seen).await?;
            let (reason, progressed) = match self.follow_stream(stream, &mut seen, &mut on_change).await? {
                Stream::Ended(command) => return Ok(*command),
                Stream::Lost { reason, progressed } => (reason, progressed),
            };
            if progressed {
                idle_losses = 0;
            } else if idle_losses >= self.routers.retries() {
                let cause = Failure::NoRouter {
                    reasons: vec![reason],
                    timed_out: false,
                    reached: true,
                };
                return Err(cause.after_acceptance(command_id));
            } else {
                idle_losses += 1;
            }
            self.note(&format!("{}, asking again", printable(&reason)));
            self.routers.abandon();
            time::sleep(backoff(idle_losses)).await;
        }
    }

    /// Begins a stream of changes at any router. Once something was `seen`, the command is known to go on.
    async fn open_watch(
        &mut self,
        command_id: &str,
        seen: Option<u64>,
    ) -> Result<Streaming<WatchCommandResponse>, Failure> {
        let request = WatchCommandRequest {
            command_id: command_id.to_owned(),
        };
        let opened = self
            .routers
            .stream(self.io.stderr, async |channel| {
                client(channel).watch_command(request.clone()).await
            })
            .await;
        match opened {
            Ok(reply) => Ok(reply.into_inner()),
            Err(failure) if seen.is_some() => Err(failure.after_acceptance(command_id.to_owned())),
            Err(failure) => Err(failure),
        }
    }

    async fn follow_stream(
        &mut self,
        mut stream: Streaming<WatchCommandResponse>,
        seen: &mut Option<u64>,
        on_change: &mut impl FnMut(&mut Self, &Command) -> Result<(), Failure>,
    ) -> Result<Stream, Failure> {
        let begun = Instant::now();
        let mut progressed = false;
        let reason = loop {
            let command = match stream.message().await {
                Ok(Some(change)) => change.command.ok_or(Failure::Incomplete { what: "command" })?,
                Ok(None) => break "the watch was closed early".to_owned(),
                Err(status) if routers::is_open(&status) => break lost_line(&status),
                Err(status) => return Err(Failure::Refused(Box::new(status))),
            };
            // A resumed stream begins with the present state, which may have been shown already.
            if seen.is_none_or(|revision| command.revision > revision) {
                *seen = Some(command.revision);
                progressed = true;
                on_change(self, &command)?;
            }
            if is_terminal(command.state()) {
                return Ok(Stream::Ended(Box::new(command)));
            }
        };
        // A command may wait for hours without a change: a stream that held for long was no failed attempt.
        progressed |= begun.elapsed() > self.routers.timeout();
        Ok(Stream::Lost { reason, progressed })
    }

    fn print_change(&mut self, command: &Command) -> Result<(), Failure> {
        let view = CommandView::from(command.clone());
        self.print(&view, table::change)
    }
}

/// The status for how a command ended.
pub(super) fn status(ended: &Command) -> ExitStatus {
    let kind = ended.answer.as_ref().and_then(|answer| answer.kind.as_ref());
    match (ended.state(), kind) {
        (CommandState::Acknowledged, Some(Kind::Error(_))) => ExitStatus::ChargerError,
        (CommandState::Acknowledged, _) => ExitStatus::Ok,
        _ => ExitStatus::Unanswered,
    }
}

fn is_terminal(state: CommandState) -> bool {
    match state {
        CommandState::Acknowledged
        | CommandState::Failed
        | CommandState::Expired
        | CommandState::Cancelled => true,
        CommandState::Unspecified | CommandState::Pending | CommandState::Sent | CommandState::Delivered => {
            false
        }
    }
}

/// Why a stream broke: what lies at the bottom of it, which is what an operator can act upon.
fn lost_line(status: &Status) -> String {
    let mut cause = status.source();
    while let Some(deeper) = cause.and_then(Error::source) {
        cause = Some(deeper);
    }
    let cause = cause.map_or_else(|| status.message().to_owned(), ToString::to_string);
    format!("the watch broke: {cause}")
}
