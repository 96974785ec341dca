//! The dead letter API: reading, replaying and purging what failed or expired. Each method is a file; this one
//! joins them to gRPC, and reads the filter that they share.

mod purge;
mod read;
mod replay;

use std::sync::Arc;

use store::DeadLetterFilter;
use tonic::{Request, Response, Status};
use wire::gateway::command::v1::dead_letter_service_server::DeadLetterService;
use wire::gateway::command::v1::{
    self as proto, GetDeadLetterRequest, GetDeadLetterResponse, ListDeadLettersRequest,
    ListDeadLettersResponse, PurgeDeadLettersRequest, PurgeDeadLettersResponse, ReplayDeadLetterRequest,
    ReplayDeadLetterResponse, ReplayDeadLettersRequest, ReplayDeadLettersResponse,
};
use wire::map::dead_letter::read_reason;

use super::answered;
use super::violations::{self, Violations, each_known};
use crate::engine::{Engine, EngineCell};
use crate::error::ApiError;

/// The service.
pub struct DeadLetterApi {
    engine: EngineCell,
}

impl DeadLetterApi {
    /// A service over an engine that may not be there yet.
    #[must_use]
    pub fn new(engine: EngineCell) -> Self {
        Self { engine }
    }

    fn engine(&self) -> Result<&Arc<Engine>, ApiError> {
        self.engine.get().ok_or(ApiError::NotConnected)
    }
}

#[tonic::async_trait]
impl DeadLetterService for DeadLetterApi {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let result = async { read::list(self.engine()?, request.get_ref()).await };
        answered("ListDeadLetters", result.await)
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let result = async { read::get(self.engine()?, &request.get_ref().command_id).await };
        answered("GetDeadLetter", result.await)
    }

    async fn replay_dead_letter(
        &self,
        request: Request<ReplayDeadLetterRequest>,
    ) -> Result<Response<ReplayDeadLetterResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let result = async { replay::one(self.engine()?, &metadata, &request).await };
        answered("ReplayDeadLetter", result.await)
    }

    async fn replay_dead_letters(
        &self,
        request: Request<ReplayDeadLettersRequest>,
    ) -> Result<Response<ReplayDeadLettersResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let result = async { replay::several(self.engine()?, &metadata, &request).await };
        answered("ReplayDeadLetters", result.await)
    }

    async fn purge_dead_letters(
        &self,
        request: Request<PurgeDeadLettersRequest>,
    ) -> Result<Response<PurgeDeadLettersResponse>, Status> {
        let result = async { purge::purge(self.engine()?, request.get_ref()).await };
        answered("PurgeDeadLetters", result.await)
    }
}

/// Reads a filter; what is wrong goes to `wrong`. None filters nothing.
fn filter(filter: Option<&proto::DeadLetterFilter>, wrong: &mut Violations) -> DeadLetterFilter {
    let Some(filter) = filter else {
        return DeadLetterFilter::default();
    };
    let charge_point = wrong.charge_point("filter.charge_point_id", &filter.charge_point_id);
    let action = Some(filter.action.clone()).filter(|action| !action.is_empty());
    if let Some(action) = &action {
        wrong.check("filter.action", violations::action(action));
    }
    let reasons = wrong.ok("filter.reasons", each_known(&filter.reasons, read_reason));
    let (ended_after, ended_before) = wrong.range(
        ("filter.ended_after", filter.ended_after.as_ref()),
        ("filter.ended_before", filter.ended_before.as_ref()),
    );
    DeadLetterFilter {
        charge_point,
        action,
        reasons: reasons.unwrap_or_default(),
        ended_after,
        ended_before,
    }
}

/// The same for a call that changes whatever matches: it must be there, if empty. A caller who forgot his choice must not
/// change everything.
fn chosen(of: Option<&proto::DeadLetterFilter>, wrong: &mut Violations) -> DeadLetterFilter {
    if of.is_none() {
        wrong.check(
            "filter",
            Err("is missing; an empty one stands for every dead letter".into()),
        );
    }
    filter(of, wrong)
}

/// Checks a filter and a limit together.
fn filter_and_limit(
    of: Option<&proto::DeadLetterFilter>,
    (field, limit): (&'static str, u32),
) -> Result<(DeadLetterFilter, usize), ApiError> {
    let mut wrong = Violations::default();
    let filter = filter(of, &mut wrong);
    let limit = wrong.ok(field, super::page::checked_size(limit));
    wrong.or((filter, limit.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use domain::ids::Micros;
    use domain::slot::DeadLetterReason;
    use wire::Timestamp;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[test]
    fn all_that_is_wrong_with_a_filter_is_reported_at_once_under_its_path() {
        let bad = proto::DeadLetterFilter {
            charge_point_id: "a b".into(),
            action: "Re-set".into(),
            reasons: vec![1, 9],
            ended_after: at(-1),
            ended_before: at(-1),
        };
        let Err(ApiError::Invalid(wrong)) = filter_and_limit(Some(&bad), ("limit", 1_001)) else {
            panic!()
        };
        let fields: Vec<_> = wrong.iter().map(|v| v.field.as_str()).collect();
        let expected = [
            "filter.charge_point_id",
            "filter.action",
            "filter.reasons",
            "filter.ended_after",
            "filter.ended_before",
            "limit",
        ];
        assert_eq!(fields, expected);
        let never = proto::DeadLetterFilter {
            ended_after: at(8),
            ended_before: at(7),
            ..Default::default()
        };
        assert!(filter_and_limit(Some(&never), ("limit", 0)).is_err());
    }

    #[test]
    fn an_empty_filter_filters_nothing() {
        for empty in [None, Some(proto::DeadLetterFilter::default())] {
            let (filter, limit) = filter_and_limit(empty.as_ref(), ("limit", 0)).unwrap();
            assert_eq!((filter, limit), (DeadLetterFilter::default(), 100));
        }
        let some = proto::DeadLetterFilter {
            action: "Reset".into(),
            reasons: vec![0, 2],
            ended_after: at(7),
            ..Default::default()
        };
        let (filter, _) = filter_and_limit(Some(&some), ("limit", 1)).unwrap();
        assert_eq!(filter.reasons, [DeadLetterReason::OutcomeUnknown]);
        assert_eq!(
            (filter.action.as_deref(), filter.ended_after),
            (Some("Reset"), Some(Micros(7_000_000)))
        );
    }
}
