//! What the verbs do: each asks a router, prints, and says with which status to end. Leaves out the grammar (`cli`),
//! the looks (`view`, `table`) and the choice of a router (`routers`).

mod conn;
mod dlq;
mod list;
mod payload;
mod send;
mod watch;

use std::io::Write;
use std::time::SystemTime;

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use wire::gateway::command::v1::command_service_client::CommandServiceClient;
use wire::gateway::command::v1::{CancelCommandRequest, Command, CommandState, GetCommandRequest};

use crate::Io;
use crate::cli::{Cli, ConnVerb, Output, Verb};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::routers::{self, Routers};
use crate::settings::Settings;
use crate::table;
use crate::view::command::CommandView;

/// A page of a long list may carry answers of many kilobytes each.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// One run of the program, with its routers and streams.
pub(crate) struct Session<'a> {
    routers: Routers,
    output: Output,
    now: SystemTime,
    io: Io<'a>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(settings: &Settings, now: SystemTime, io: Io<'a>) -> Result<Self, Failure> {
        Ok(Self {
            routers: Routers::new(settings)?,
            output: settings.output,
            now,
            io,
        })
    }

    /// Does what the verb says.
    pub(crate) async fn perform(&mut self, verb: Verb) -> Result<ExitStatus, Failure> {
        match verb {
            Verb::Send(args) => self.send(args).await,
            Verb::Get { command_id } => {
                let command = self.fetch(command_id).await?;
                self.print_command(command)
            }
            Verb::Watch { command_id } => self.watch(command_id).await,
            Verb::List(args) => self.list(args).await,
            Verb::Cancel { command_id } => self.cancel(command_id).await,
            Verb::Conn(ConnVerb::Get { charge_point }) => self.connection(charge_point).await,
            Verb::Conn(ConnVerb::List { pod, extent }) => self.connections(pod, &extent).await,
            Verb::Dlq(verb) => self.dead_letters(verb).await,
            Verb::Completion { shell } => completion(shell, self.io.stdout),
        }
    }

    /// Asks whichever router answers; who waits long is told why.
    async fn ask<M: Clone, T>(
        &mut self,
        message: M,
        operation: impl AsyncFnMut(Channel, Request<M>) -> Result<T, Status>,
    ) -> Result<T, Failure> {
        self.routers.call(self.io.stderr, message, operation).await
    }

    async fn fetch(&mut self, command_id: String) -> Result<Command, Failure> {
        let request = GetCommandRequest { command_id };
        let reply = self
            .ask(request, async |channel, request| {
                client(channel).get_command(request).await
            })
            .await?;
        reply
            .into_inner()
            .command
            .ok_or(Failure::Incomplete { what: "command" })
    }

    async fn cancel(&mut self, command_id: String) -> Result<ExitStatus, Failure> {
        let request = CancelCommandRequest {
            command_id: command_id.clone(),
        };
        let reply = self
            .ask(request, async |channel, request| {
                client(channel).cancel_command(request).await
            })
            .await;
        let command = match reply {
            Ok(reply) => reply
                .into_inner()
                .command
                .ok_or(Failure::Incomplete { what: "command" })?,
            // The first sending may have cancelled it and lost its answer: then the second finds it ended.
            Err(Failure::Refused(status))
                if status.code() == Code::FailedPrecondition && self.routers.repeated() =>
            {
                let command = self.fetch(command_id).await?;
                if command.state() != CommandState::Cancelled {
                    return Err(Failure::Refused(status));
                }
                command
            }
            Err(failure) => return Err(failure),
        };
        self.print_command(command)
    }

    fn print_command(&mut self, command: Command) -> Result<ExitStatus, Failure> {
        let view = CommandView::from(command);
        self.print(&view, table::command)?;
        Ok(ExitStatus::Ok)
    }

    /// Prints one result in the format that was asked for.
    fn print<T: Serialize + ?Sized>(
        &mut self,
        value: &T,
        as_table: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        let text = match self.output {
            Output::Json => serde_json::to_string(value)?,
            Output::Table => as_table(value),
        };
        writeln!(self.io.stdout, "{text}")?;
        self.io.stdout.flush()?;
        Ok(())
    }

    /// Tells the operator something that is not a result.
    fn note(&mut self, text: &str) {
        routers::tell(self.io.stderr, text);
    }
}

/// Prints a completion script.
pub(crate) fn completion(shell: Shell, stdout: &mut dyn Write) -> Result<ExitStatus, Failure> {
    // Written to memory first: the generator panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatewayctl", &mut script);
    stdout.write_all(&script)?;
    stdout.flush()?;
    Ok(ExitStatus::Ok)
}

/// The command API over a channel.
fn client(channel: Channel) -> CommandServiceClient<Channel> {
    CommandServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES)
}
