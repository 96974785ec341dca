//! Dead letters end to end: what they tell, on Kafka and by the API; listing, replaying and purging them; and what
//! is wrong with a request about them. Timeouts are short here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: a failure is a panic"
)]

mod reading;
mod replaying;
mod wrong;

use std::sync::LazyLock;

use integration::api::from_now;
use integration::{Api, Charger, System, SystemSpec, World};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use wire::gateway::command::v1::dead_letter_service_client::DeadLetterServiceClient;
use wire::gateway::command::v1::{
    CommandState, DeadLetter, DeadLetterFilter, GetDeadLetterRequest, ListDeadLettersRequest,
    ReplayDeadLetterRequest, ReplayDeadLetterResponse, SendCommandRequest,
};

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let spec = SystemSpec::new("dead-letters")
        .routers(2)
        .router_set("delivery.attempts", 2)
        .router_set("delivery.answer_timeout_ms", 700)
        .router_set("delivery.backoff_base_ms", 50)
        .router_set("delivery.grant_ms", 1_000)
        .router_set("delivery.pod_lease_ms", 3_000)
        .router_set("delivery.max_open_per_charger", 4)
        // Nobody listens there: the context of traces travels all the same.
        .router_set("telemetry.otlp_endpoint", "http://127.0.0.1:1")
        .edge_set("pod.renew_ms", 800);
    World::start(spec)
});

type Client = DeadLetterServiceClient<Channel>;

fn client(api: &Api) -> Client {
    DeadLetterServiceClient::new(api.channel.clone())
}

/// A filter for one charger.
fn of(charge_point_id: &str) -> DeadLetterFilter {
    DeadLetterFilter {
        charge_point_id: charge_point_id.to_owned(),
        ..DeadLetterFilter::default()
    }
}

async fn get(api: &Api, id: &str) -> Result<DeadLetter, Status> {
    let command_id = id.to_owned();
    let response = client(api)
        .get_dead_letter(GetDeadLetterRequest { command_id })
        .await?;
    Ok(response
        .into_inner()
        .dead_letter
        .expect("a response carries the dead letter"))
}

async fn replay(api: &Api, id: &str, allow_unsafe: bool) -> Result<ReplayDeadLetterResponse, Status> {
    let request = ReplayDeadLetterRequest {
        command_id: id.to_owned(),
        allow_unsafe,
        deadline: None,
    };
    Ok(client(api).replay_dead_letter(request).await?.into_inner())
}

/// The ids of the dead letters that match, page by page.
async fn listed(api: &Api, filter: &DeadLetterFilter, page_size: u32) -> Vec<Vec<String>> {
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListDeadLettersRequest {
            filter: Some(filter.clone()),
            page_size,
            page_token,
        };
        let page = client(api).list_dead_letters(request).await;
        let page = page.expect("a page").into_inner();
        pages.push(page.dead_letters.into_iter().map(|l| id_of(&l)).collect());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

fn id_of(letter: &DeadLetter) -> String {
    letter
        .command
        .as_ref()
        .expect("a letter carries its command")
        .command_id
        .clone()
}

/// Sends a command to a charger that is not there, and waits until it expired.
async fn expired(api: &Api, request: SendCommandRequest) -> String {
    let deadline = from_now(400);
    let id = api.send(SendCommandRequest { deadline, ..request }).await;
    api.reaches(&id, CommandState::Expired).await;
    id
}

/// The fields that an INVALID_ARGUMENT names.
fn violations(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("google.rpc.BadRequest");
    details.field_violations.into_iter().map(|v| v.field).collect()
}

async fn charger(system: &System, name: &str) -> Charger {
    let charger = Charger::connect(system.edge(1), &system.charger_id(name)).await;
    system.api(1).connected(&charger.id).await;
    charger
}
