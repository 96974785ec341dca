//! ListDeadLetters and GetDeadLetter.

use domain::ids::CommandId;
use domain::slot::DeadLetter;
use store::FoundDeadLetter;
use wire::gateway::command::v1::{GetDeadLetterResponse, ListDeadLettersRequest, ListDeadLettersResponse};
use wire::map::dead_letter::dead_letter;

use super::filter_and_limit;
use crate::api::get::parse;
use crate::api::page::{self, Pages};
use crate::engine::Engine;
use crate::error::ApiError;

/// Reads a page.
pub(super) async fn list(
    engine: &Engine,
    request: &ListDeadLettersRequest,
) -> Result<ListDeadLettersResponse, ApiError> {
    let (filter, size) = filter_and_limit(request.filter.as_ref(), ("page_size", request.page_size))?;
    let pages = Pages::of("ListDeadLetters", &filter);
    let after = pages.read(&request.page_token)?;
    let (mut rows, bytes) = (size, engine.config.grpc.page_bytes());
    loop {
        let page = engine.store.list_dead_letters(&filter, after, rows).await?;
        let response = ListDeadLettersResponse {
            dead_letters: page.dead_letters.iter().map(dead_letter).collect(),
            next_page_token: pages.next(page.next),
        };
        match page::fewer_rows(bytes, rows, &response) {
            None => return Ok(response),
            Some(fewer) => rows = fewer,
        }
    }
}

/// Reads one.
pub(super) async fn get(engine: &Engine, id: &str) -> Result<GetDeadLetterResponse, ApiError> {
    let letter = find(engine, parse(id)?).await?;
    Ok(GetDeadLetterResponse {
        dead_letter: Some(dead_letter(&letter)),
    })
}

/// Reads a dead letter that must be there.
pub(super) async fn find(engine: &Engine, id: CommandId) -> Result<DeadLetter, ApiError> {
    if id.slot(engine.store.slots()).is_none() {
        return Err(unknown(id));
    }
    match engine.store.get_dead_letter(id).await?.value {
        FoundDeadLetter::Found(letter) => Ok(*letter),
        FoundDeadLetter::NotADeadLetter => Err(ApiError::NotADeadLetter(id)),
        FoundDeadLetter::NotFound => Err(unknown(id)),
    }
}

/// There is no such command.
pub(super) fn unknown(id: CommandId) -> ApiError {
    ApiError::NotFound {
        kind: "command",
        name: id.to_string(),
    }
}
