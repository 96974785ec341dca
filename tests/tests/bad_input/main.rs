//! What callers, chargers and operators may do wrong, and parts that are away: refused by name, without harm to
//! anybody else.

mod calls;
mod chargers;
mod parts;

use std::sync::LazyLock;

use integration::{SystemSpec, World};
use tonic::{Code, Status};
use tonic_types::StatusExt;

static WORLD: LazyLock<World> =
    LazyLock::new(|| World::start(SystemSpec::new("bad-input").edge_set("ocpp.handshake_timeout_ms", 1_000)));

/// The fields that an INVALID_ARGUMENT names.
fn violations(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let Some(details) = status.get_details_bad_request() else {
        panic!("no google.rpc.BadRequest: {status:?}")
    };
    assert!(
        details
            .field_violations
            .iter()
            .all(|violation| !violation.description.is_empty())
    );
    details
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}
