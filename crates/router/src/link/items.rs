//! What an edge asks, done: each item becomes one call of the store and its answer. An item that cannot be
//! applied is answered by `Failed`, and the edge repeats it later.

mod commands;
mod connections;
mod lease;

use std::sync::Arc;

use domain::ids::{ChargePointId, Incarnation, Micros};
use wire::gateway::link::v1::{Failed, NoteDone, down_item, failed, up_item};

use super::session::Peer;
use crate::engine::Engine;
use crate::metrics::LINK_ITEMS;

/// The answer to one item.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What the edge is told.
    pub(super) items: Vec<down_item::Item>,
    /// Redis time when the item was handled; 0 if the store was not asked.
    pub(super) redis_now: Micros,
    /// The life that the edge has from now on, if the item changed it.
    pub(super) incarnation: Option<Incarnation>,
}

impl Answer {
    /// Nothing to say.
    fn none() -> Self {
        Self::default()
    }

    /// One thing to say.
    fn one(item: down_item::Item, redis_now: Micros) -> Self {
        Self {
            items: vec![item],
            redis_now,
            incarnation: None,
        }
    }

    /// The item could not be applied.
    fn failed(what: failed::What) -> Self {
        Self::one(down_item::Item::Failed(Failed { what: Some(what) }), Micros(0))
    }
}

/// Handles one item to its end; a patient one in its turn.
pub(super) async fn handle(
    engine: Arc<Engine>,
    peer: Arc<Peer>,
    item: up_item::Item,
    patient: bool,
) -> Answer {
    let answer = dispatch(&engine, &peer, item, patient).await;
    let failed = answer
        .items
        .iter()
        .any(|i| matches!(i, down_item::Item::Failed(_)));
    metrics::counter!(LINK_ITEMS, "outcome" => if failed { "failed" } else { "done" }).increment(1);
    answer
}

async fn dispatch(engine: &Engine, peer: &Peer, item: up_item::Item, patient: bool) -> Answer {
    match item {
        // A second Hello on a stream says nothing new.
        up_item::Item::Hello(_) => Answer::none(),
        up_item::Item::TakeIncarnation(take) => lease::take(engine, peer, &take).await,
        up_item::Item::RenewLease(renew) => lease::renew(engine, peer, &renew).await,
        up_item::Item::Goodbye(goodbye) => lease::goodbye(engine, peer, &goodbye).await,
        up_item::Item::Register(register) => connections::register(engine, peer, &register).await,
        up_item::Item::Unregister(unregister) => connections::unregister(engine, &unregister).await,
        up_item::Item::RenewConnections(renew) => connections::renew(engine, peer, renew).await,
        up_item::Item::NoteDone(done) => note_done(engine, &done).await,
        item @ (up_item::Item::Intent(_)
        | up_item::Item::NonWrite(_)
        | up_item::Item::Written(_)
        | up_item::Item::Refusal(_)
        | up_item::Item::Answer(_)) => commands::event(engine, peer, &item, patient).await,
    }
}

/// A kick or a cancel was carried out. If this is lost, the note is sent again and confirmed again.
async fn note_done(engine: &Engine, done: &NoteDone) -> Answer {
    match ChargePointId::parse(&done.charge_point_id) {
        Ok(charge_point) => {
            if let Err(error) = engine.store.note_done(&charge_point, &done.note).await {
                tracing::debug!(%charge_point, %error, "a note stays");
            }
        }
        Err(error) => tracing::warn!(%error, "ill-formed note confirmation"),
    }
    Answer::none()
}
