//! The scripted router's dead letters.

use tonic::{Request, Response, Status};
use wire::gateway::command::v1::dead_letter_service_server::DeadLetterService;
use wire::gateway::command::v1::{
    GetDeadLetterRequest, GetDeadLetterResponse, ListDeadLettersRequest, ListDeadLettersResponse,
    PurgeDeadLettersRequest, PurgeDeadLettersResponse, ReplayDeadLetterRequest, ReplayDeadLetterResponse,
    ReplayDeadLettersRequest, ReplayDeadLettersResponse,
};

use super::{Answers, Service, next};

/// What the router will answer about dead letters, and what it was asked.
#[derive(Default)]
pub(crate) struct DeadLetters {
    pub(crate) list: Answers<ListDeadLettersResponse>,
    pub(crate) get: Answers<GetDeadLetterResponse>,
    pub(crate) replay: Answers<ReplayDeadLetterResponse>,
    pub(crate) replay_many: Answers<ReplayDeadLettersResponse>,
    pub(crate) purge: Answers<PurgeDeadLettersResponse>,
    pub(crate) listed: Vec<ListDeadLettersRequest>,
    pub(crate) replayed: Vec<ReplayDeadLetterRequest>,
    pub(crate) replayed_many: Vec<ReplayDeadLettersRequest>,
    pub(crate) purged: Vec<PurgeDeadLettersRequest>,
}

#[tonic::async_trait]
impl DeadLetterService for Service {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let letters = &mut self.script().dead_letters;
        letters.listed.push(request.into_inner());
        next(&mut letters.list)?.map(Response::new)
    }

    async fn get_dead_letter(
        &self,
        _: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        next(&mut self.script().dead_letters.get)?.map(Response::new)
    }

    async fn replay_dead_letter(
        &self,
        request: Request<ReplayDeadLetterRequest>,
    ) -> Result<Response<ReplayDeadLetterResponse>, Status> {
        let letters = &mut self.script().dead_letters;
        letters.replayed.push(request.into_inner());
        next(&mut letters.replay)?.map(Response::new)
    }

    async fn replay_dead_letters(
        &self,
        request: Request<ReplayDeadLettersRequest>,
    ) -> Result<Response<ReplayDeadLettersResponse>, Status> {
        let letters = &mut self.script().dead_letters;
        letters.replayed_many.push(request.into_inner());
        next(&mut letters.replay_many)?.map(Response::new)
    }

    async fn purge_dead_letters(
        &self,
        request: Request<PurgeDeadLettersRequest>,
    ) -> Result<Response<PurgeDeadLettersResponse>, Status> {
        let letters = &mut self.script().dead_letters;
        letters.purged.push(request.into_inner());
        next(&mut letters.purge)?.map(Response::new)
    }
}
