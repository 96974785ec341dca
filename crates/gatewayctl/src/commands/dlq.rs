//! `dlq`: lists dead letters, shows one, replays and purges them. Leaves out what a bulk does page by page: that is in
//! `bulk`.

mod bulk;

use prost_types::Timestamp;
use serde::Serialize;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use wire::gateway::command::v1::dead_letter_service_client::DeadLetterServiceClient;
use wire::gateway::command::v1::{
    self as api, DeadLetterFilter, GetDeadLetterRequest, ListDeadLettersRequest, PurgeDeadLettersRequest,
    ReplayDeadLetterRequest, ReplayDeadLetterResponse,
};

use super::list::Pages;
use super::{MAX_MESSAGE_BYTES, Session};
use crate::cli::Extent;
use crate::cli::dlq::{DlqVerb, Filter, PurgeArgs, Reason, ReplayArgs};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::table;
use crate::view::command::state_word;
use crate::view::dead_letter::{DeadLetterView, PurgeView, ReplayView};

/// How the API names the precondition that a replay was refused for.
const SAFE_TO_REPEAT: &str = "SAFE_TO_REPEAT";

/// What `dlq list` prints as JSON.
#[derive(Debug, Serialize)]
struct DeadLetterList {
    dead_letters: Vec<DeadLetterView>,
    /// True if the limit cut the list short.
    more: bool,
}

impl Session<'_> {
    pub(super) async fn dead_letters(&mut self, verb: DlqVerb) -> Result<ExitStatus, Failure> {
        match verb {
            DlqVerb::List { filter, extent } => self.list_dead_letters(filter, &extent).await,
            DlqVerb::Show { command_id } => {
                let view = DeadLetterView::from(self.dead_letter(command_id).await?);
                self.print(&view, table::dead_letter::one)?;
                Ok(ExitStatus::Ok)
            }
            DlqVerb::Replay(args) => self.replay(args).await,
            DlqVerb::Purge(args) => self.purge(args).await,
        }
    }

    async fn list_dead_letters(&mut self, filter: Filter, extent: &Extent) -> Result<ExitStatus, Failure> {
        let (after, before) = filter.period.bounds(self.now)?;
        let filter = conditions(filter, after, before);
        let mut pages = Pages::new(extent.wanted());
        let mut dead_letters = Vec::new();
        while let Some((page_size, page_token)) = pages.next() {
            let request = ListDeadLettersRequest {
                filter: Some(filter.clone()),
                page_size,
                page_token,
            };
            let reply = self
                .ask(request, async |channel, request| {
                    client(channel).list_dead_letters(request).await
                })
                .await?
                .into_inner();
            pages.took(reply.dead_letters.len(), reply.next_page_token);
            dead_letters.extend(reply.dead_letters.into_iter().map(DeadLetterView::from));
        }
        let list = DeadLetterList {
            dead_letters,
            more: pages.more(),
        };
        self.print(&list, |list| table::dead_letter::many(&list.dead_letters))?;
        self.mention_more(list.more)
    }

    async fn dead_letter(&mut self, command_id: String) -> Result<api::DeadLetter, Failure> {
        let reply = self
            .ask(GetDeadLetterRequest { command_id }, async |channel, request| {
                client(channel).get_dead_letter(request).await
            })
            .await?;
        reply
            .into_inner()
            .dead_letter
            .ok_or(Failure::Incomplete { what: "dead letter" })
    }

    async fn replay(&mut self, args: ReplayArgs) -> Result<ExitStatus, Failure> {
        let deadline = args.deadline.timestamp(self.now);
        let choice = args.choice;
        let Some(command_id) = choice.command_id else {
            return self.replay_many(choice, args.allow_unsafe, deadline).await;
        };
        if choice.dry_run {
            return self.rehearse(command_id, args.allow_unsafe).await;
        }
        let request = ReplayDeadLetterRequest {
            command_id: command_id.clone(),
            allow_unsafe: args.allow_unsafe,
            deadline,
        };
        let reply = self
            .ask(request, async |channel, request| {
                client(channel).replay_dead_letter(request).await
            })
            .await;
        if let (Err(Failure::Refused(status)), false) = (&reply, args.allow_unsafe)
            && asks_for_permission(status)
        {
            self.note("--allow-unsafe replays it all the same: the charger may execute it a second time");
        }
        let reply = reply.map_err(Failure::of_an_effect)?;
        let view = replayed(command_id, reply.into_inner());
        self.print(&view, table::dead_letter::replay)?;
        Ok(ExitStatus::Ok)
    }

    /// Says what the replay of one would do; the API rehearses only many.
    async fn rehearse(&mut self, command_id: String, allow_unsafe: bool) -> Result<ExitStatus, Failure> {
        let letter = self.dead_letter(command_id.clone()).await?;
        let class = letter.command.unwrap_or_default().redelivery_class();
        let known = !letter.replayed_as.is_empty();
        let refused = !known && !allow_unsafe && class == api::RedeliveryClass::Unsafe;
        let view = ReplayView {
            dead_letter_id: command_id,
            command_id: known.then_some(letter.replayed_as),
            state: None,
            deduplicated: known,
            problem: refused.then(|| "unsafe to repeat: needs --allow-unsafe".to_owned()),
            dry_run: true,
        };
        self.print(&view, table::dead_letter::replay)?;
        Ok(ExitStatus::Ok)
    }

    async fn purge(&mut self, args: PurgeArgs) -> Result<ExitStatus, Failure> {
        let choice = args.choice;
        let Some(command_id) = choice.command_id else {
            return self.purge_many(choice).await;
        };
        let request = PurgeDeadLettersRequest {
            command_ids: vec![command_id.clone()],
            dry_run: choice.dry_run,
            limit: 1,
            ..PurgeDeadLettersRequest::default()
        };
        let reply = self
            .ask(request, async |channel, request| {
                client(channel).purge_dead_letters(request).await
            })
            .await
            .map_err(Failure::of_an_effect)?
            .into_inner();
        if reply.command_ids.is_empty() {
            // A rehearsal removes nothing, however often it is repeated.
            if choice.dry_run || !self.routers.repeated() {
                return Err(Failure::NoDeadLetter { command_id });
            }
            self.note("it is gone; an earlier try of this call may have removed it");
        }
        let view = PurgeView {
            dry_run: choice.dry_run,
            command_ids: reply.command_ids,
            more: false,
        };
        self.print(&view, table::dead_letter::purge)?;
        Ok(ExitStatus::Ok)
    }
}

/// The router would replay it if the call allowed that it is unsafe to repeat.
fn asks_for_permission(status: &Status) -> bool {
    let failed = status.get_details_precondition_failure();
    failed.is_some_and(|failed| failed.violations.iter().any(|one| one.r#type == SAFE_TO_REPEAT))
}

/// The filter as the API has it.
fn conditions(filter: Filter, after: Option<Timestamp>, before: Option<Timestamp>) -> DeadLetterFilter {
    DeadLetterFilter {
        charge_point_id: filter.charger.unwrap_or_default(),
        action: filter.action.unwrap_or_default(),
        reasons: filter
            .reasons
            .into_iter()
            .map(|reason| api::DeadLetterReason::from(reason).into())
            .collect(),
        ended_after: after,
        ended_before: before,
    }
}

fn replayed(dead_letter_id: String, reply: ReplayDeadLetterResponse) -> ReplayView {
    ReplayView {
        dead_letter_id,
        command_id: Some(reply.command_id),
        state: state_word(reply.state),
        deduplicated: reply.deduplicated,
        problem: None,
        dry_run: false,
    }
}

/// The dead letters' API over a channel.
fn client(channel: Channel) -> DeadLetterServiceClient<Channel> {
    DeadLetterServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

impl From<Reason> for api::DeadLetterReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::NoAnswer => Self::NoAnswer,
            Reason::OutcomeUnknown => Self::OutcomeUnknown,
            Reason::Expired => Self::Expired,
        }
    }
}
