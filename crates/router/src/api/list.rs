//! ListCommands: open and retained commands, page by page.

use store::CommandFilter;
use wire::gateway::command::v1::{ListCommandsRequest, ListCommandsResponse};
use wire::map::command::{self, Payload};

use super::page::{self, Pages};
use super::violations::{Violations, each_known};
use crate::engine::Engine;
use crate::error::ApiError;

/// Reads a page.
pub(super) async fn list(
    engine: &Engine,
    request: &ListCommandsRequest,
) -> Result<ListCommandsResponse, ApiError> {
    let filter = filter(request)?;
    let size = page::size("page_size", request.page_size)?;
    let pages = Pages::of("ListCommands", &filter);
    let after = pages.read(&request.page_token)?;
    let (mut rows, bytes) = (size, engine.config.grpc.page_bytes());
    loop {
        let page = engine.store.list_commands(&filter, after, rows).await?;
        let shown = page.commands.iter().map(|c| command::command(c, Payload::Hidden));
        let response = ListCommandsResponse {
            commands: shown.collect(),
            next_page_token: pages.next(page.next),
        };
        match page::fewer_rows(bytes, rows, &response) {
            None => return Ok(response),
            Some(fewer) => rows = fewer,
        }
    }
}

fn filter(request: &ListCommandsRequest) -> Result<CommandFilter, ApiError> {
    let mut wrong = Violations::default();
    let charge_point = wrong.charge_point("charge_point_id", &request.charge_point_id);
    let statuses = wrong.ok("states", each_known(&request.states, command::status));
    let (created_after, created_before) = wrong.range(
        ("created_after", request.created_after.as_ref()),
        ("created_before", request.created_before.as_ref()),
    );
    wrong.or(CommandFilter {
        charge_point,
        statuses: statuses.unwrap_or_default(),
        created_after,
        created_before,
    })
}

#[cfg(test)]
mod tests {
    use domain::command::Status;
    use domain::ids::Micros;
    use wire::Timestamp;

    use super::*;

    #[test]
    fn unknown_states_and_ill_formed_ids_are_reported_together() {
        let request = ListCommandsRequest {
            charge_point_id: "a b".into(),
            states: vec![4, 99],
            created_after: Some(at(7)),
            created_before: Some(at(7)),
            ..Default::default()
        };
        let Err(ApiError::Invalid(wrong)) = filter(&request) else {
            panic!()
        };
        let fields: Vec<_> = wrong.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["charge_point_id", "states", "created_before"]);
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn a_range_of_time_is_from_the_first_to_before_the_second() {
        let request = ListCommandsRequest {
            created_after: Some(at(7)),
            created_before: Some(at(8)),
            ..Default::default()
        };
        let filter = filter(&request).unwrap();
        assert_eq!(
            (filter.created_after, filter.created_before),
            (Some(Micros(7_000_000)), Some(Micros(8_000_000)))
        );
    }

    #[test]
    fn unspecified_states_filter_nothing() {
        let request = ListCommandsRequest {
            states: vec![0, 5],
            ..Default::default()
        };
        assert_eq!(filter(&request).unwrap().statuses, [Status::Failed]);
    }
}
