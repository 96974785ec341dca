//! `list`, and the reading of pages that `conn list` shares with it.

use serde::Serialize;
use wire::gateway::command::v1::{self as api, ListCommandsRequest};

use super::{Session, client};
use crate::cli::{ListArgs, State};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::table;
use crate::view::command::CommandView;

/// Small enough that a page of commands with long answers stays a modest message.
const PAGE: u32 = 200;

/// What `list` prints as JSON.
#[derive(Debug, Serialize)]
struct CommandList {
    commands: Vec<CommandView>,
    /// True if the limit cut the list short.
    more: bool,
}

/// How much of a list is still wanted, and where its next page begins.
pub(super) struct Pages {
    wanted: Option<u32>,
    token: String,
    finished: bool,
}

impl Session<'_> {
    pub(super) async fn list(&mut self, args: ListArgs) -> Result<ExitStatus, Failure> {
        let states: Vec<i32> = args
            .states
            .into_iter()
            .map(|state| api::CommandState::from(state).into())
            .collect();
        let charge_point_id = args.charger.unwrap_or_default();
        let (created_after, created_before) = args.period.bounds(self.now)?;
        let mut pages = Pages::new(args.extent.wanted());
        let mut commands = Vec::new();
        while let Some((page_size, page_token)) = pages.next() {
            let request = ListCommandsRequest {
                charge_point_id: charge_point_id.clone(),
                states: states.clone(),
                page_size,
                page_token,
                created_after,
                created_before,
            };
            let reply = self
                .ask(request, async |channel, request| {
                    client(channel).list_commands(request).await
                })
                .await?
                .into_inner();
            pages.took(reply.commands.len(), reply.next_page_token);
            commands.extend(reply.commands.into_iter().map(CommandView::from));
        }
        let list = CommandList {
            commands,
            more: pages.more(),
        };
        self.print(&list, |list| table::commands(&list.commands))?;
        self.mention_more(list.more)
    }

    /// Tells that the list is longer; the JSON says so itself.
    pub(super) fn mention_more(&mut self, more: bool) -> Result<ExitStatus, Failure> {
        if more && self.output == crate::cli::Output::Table {
            self.note("there may be more: use --limit or --all");
        }
        Ok(ExitStatus::Ok)
    }
}

impl Pages {
    /// Of so many entries; of all for none.
    pub(super) fn new(wanted: Option<u32>) -> Self {
        Self {
            wanted,
            token: String::new(),
            finished: false,
        }
    }

    /// The size and the token of the next page, if one is wanted.
    pub(super) fn next(&self) -> Option<(u32, String)> {
        let wanted = self.wanted.unwrap_or(PAGE).min(PAGE);
        (!self.finished && wanted > 0).then(|| (wanted, self.token.clone()))
    }

    /// Notes what a page held. A token that does not move would never end the list, so it ends it.
    pub(super) fn took(&mut self, entries: usize, next: String) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(entries));
        self.finished = next.is_empty() || next == self.token;
        self.token = next;
    }

    /// Whether the list goes on behind what was read.
    pub(super) fn more(&self) -> bool {
        !self.finished
    }
}

impl From<State> for api::CommandState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Sent => Self::Sent,
            State::Delivered => Self::Delivered,
            State::Acknowledged => Self::Acknowledged,
            State::Failed => Self::Failed,
            State::Expired => Self::Expired,
            State::Cancelled => Self::Cancelled,
        }
    }
}
