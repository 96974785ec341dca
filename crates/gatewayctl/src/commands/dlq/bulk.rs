//! Replays and purges of everything that matches, page by page. What was done before a failure is printed before the
//! failure is told: it stays done.

use prost_types::Timestamp;
use tonic::transport::Channel;
use wire::gateway::command::v1::{
    DeadLetterFilter, PurgeDeadLettersRequest, ReplayDeadLettersRequest, ReplayOutcome,
};

use super::super::Session;
use super::super::list::Pages;
use super::{client, conditions};
use crate::cli::dlq::Choice;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::table;
use crate::view::dead_letter::{BulkReplayView, PurgeView, ReplayView};

impl Session<'_> {
    pub(super) async fn replay_many(
        &mut self,
        choice: Choice,
        allow_unsafe: bool,
        deadline: Option<Timestamp>,
    ) -> Result<ExitStatus, Failure> {
        let (dry_run, mut pages) = (choice.dry_run, Pages::new(choice.limit));
        let request = ReplayDeadLettersRequest {
            filter: Some(self.confirmed(choice, "replay")?),
            allow_unsafe,
            deadline,
            dry_run,
            ..ReplayDeadLettersRequest::default()
        };
        let mut outcomes = Vec::new();
        let end = self.replay_pages(&request, &mut pages, &mut outcomes).await;
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| ReplayView::of_many(outcome, dry_run));
        let view = BulkReplayView::new(dry_run, outcomes.collect(), pages.more());
        self.print(&view, table::dead_letter::replays)?;
        end?;
        self.mention_more(view.more)?;
        if !dry_run && view.refused > 0 {
            let all = view.outcomes.len();
            self.note(&format!(
                "gatewayctl: {} of {all} were not replayed",
                view.refused
            ));
            return Ok(ExitStatus::Conflict);
        }
        Ok(ExitStatus::Ok)
    }

    async fn replay_pages(
        &mut self,
        request: &ReplayDeadLettersRequest,
        pages: &mut Pages,
        outcomes: &mut Vec<ReplayOutcome>,
    ) -> Result<(), Failure> {
        while let Some((limit, page_token)) = pages.next() {
            let request = ReplayDeadLettersRequest {
                limit,
                page_token,
                ..request.clone()
            };
            let reply = self
                .ask(request, async |channel: Channel, request| {
                    client(channel).replay_dead_letters(request).await
                })
                .await
                .map_err(Failure::of_an_effect)?
                .into_inner();
            pages.took(reply.outcomes.len(), reply.next_page_token);
            outcomes.extend(reply.outcomes);
        }
        Ok(())
    }

    pub(super) async fn purge_many(&mut self, choice: Choice) -> Result<ExitStatus, Failure> {
        let (dry_run, mut pages) = (choice.dry_run, Pages::new(choice.limit));
        let request = PurgeDeadLettersRequest {
            filter: Some(self.confirmed(choice, "remove")?),
            dry_run,
            ..PurgeDeadLettersRequest::default()
        };
        let mut command_ids = Vec::new();
        let end = self.purge_pages(&request, &mut pages, &mut command_ids).await;
        let view = PurgeView {
            dry_run,
            command_ids,
            more: pages.more(),
        };
        self.print(&view, table::dead_letter::purge)?;
        end?;
        self.mention_more(view.more)
    }

    async fn purge_pages(
        &mut self,
        request: &PurgeDeadLettersRequest,
        pages: &mut Pages,
        command_ids: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let mut repeated = false;
        while let Some((limit, page_token)) = pages.next() {
            let request = PurgeDeadLettersRequest {
                limit,
                page_token,
                ..request.clone()
            };
            let reply = self
                .ask(request, async |channel: Channel, request| {
                    client(channel).purge_dead_letters(request).await
                })
                .await
                .map_err(Failure::of_an_effect)?
                .into_inner();
            repeated |= self.routers.repeated();
            pages.took(reply.command_ids.len(), reply.next_page_token);
            command_ids.extend(reply.command_ids);
        }
        if repeated && !request.dry_run {
            self.note("a call was repeated: a try without answer may have removed more than is listed");
        }
        Ok(())
    }

    /// The filter of a bulk that is meant. It is bounded by now unless the line says otherwise: what ends while the bulk
    /// runs was not looked at, and a replay that expires at once would be found again and again.
    fn confirmed(&self, choice: Choice, verb: &'static str) -> Result<DeadLetterFilter, Failure> {
        if !choice.dry_run && !choice.yes {
            return Err(Failure::Unconfirmed { verb });
        }
        let (after, before) = choice.filter.period.bounds(self.now)?;
        let before = before.or(Some(Timestamp::from(self.now)));
        Ok(conditions(choice.filter, after, before))
    }
}
