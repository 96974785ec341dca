//! ListCommands: open and retained commands, page by page.

use domain::command::Status;
use domain::ids::ChargePointId;
use store::CommandFilter;
use tonic_types::FieldViolation;
use wire::gateway::command::v1::{ListCommandsRequest, ListCommandsResponse};
use wire::map::command::{self, Payload};

use crate::engine::Engine;
use crate::error::ApiError;

/// Rows of a page that asks for none.
const PAGE_DEFAULT: u32 = 100;
/// Most rows of a page.
const PAGE_MAX: u32 = 1_000;

/// Reads a page.
pub(super) async fn list(
    engine: &Engine,
    request: &ListCommandsRequest,
) -> Result<ListCommandsResponse, ApiError> {
    let filter = filter(request)?;
    let size = page_size(request.page_size)?;
    let page = engine
        .store
        .list_commands(&filter, token(&request.page_token), size)
        .await?;
    let commands = page
        .commands
        .iter()
        .map(|c| command::command(c, Payload::Hidden))
        .collect();
    Ok(ListCommandsResponse {
        commands,
        next_page_token: page.next.unwrap_or_default(),
    })
}

/// The rows of a page: 0 means the default.
pub(crate) fn page_size(size: u32) -> Result<usize, ApiError> {
    match size {
        0 => Ok(PAGE_DEFAULT as usize),
        1..=PAGE_MAX => Ok(size as usize),
        _ => Err(ApiError::field("page_size", format!("must be 1 to {PAGE_MAX}"))),
    }
}

/// Where a page starts; none for the first.
pub(crate) fn token(token: &str) -> Option<&str> {
    (!token.is_empty()).then_some(token)
}

fn filter(request: &ListCommandsRequest) -> Result<CommandFilter, ApiError> {
    let mut wrong = Vec::new();
    let charge_point = match request.charge_point_id.as_str() {
        "" => None,
        id => ChargePointId::parse(id)
            .map_err(|error| wrong.push(FieldViolation::new("charge_point_id", error.to_string())))
            .ok(),
    };
    let mut statuses: Vec<Status> = Vec::new();
    for state in &request.states {
        match command::status(*state) {
            Ok(status) => statuses.extend(status),
            Err(_) => wrong.push(FieldViolation::new(
                "states",
                format!("has the unknown value {state}"),
            )),
        }
    }
    if wrong.is_empty() {
        Ok(CommandFilter {
            charge_point,
            statuses,
        })
    } else {
        Err(ApiError::Invalid(wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_bounds() {
        assert_eq!(page_size(0).unwrap(), 100);
        assert_eq!(page_size(1_000).unwrap(), 1_000);
        assert!(page_size(1_001).is_err());
    }

    #[test]
    fn unknown_states_and_ill_formed_ids_are_reported_together() {
        let request = ListCommandsRequest {
            charge_point_id: "a b".into(),
            states: vec![4, 99],
            ..Default::default()
        };
        let Err(ApiError::Invalid(wrong)) = filter(&request) else {
            panic!()
        };
        let fields: Vec<_> = wrong.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["charge_point_id", "states"]);
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
