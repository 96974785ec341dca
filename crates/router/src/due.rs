//! The timers: once a second every slot is asked for what is due. Every router does so; a script that finds
//! its work done by another one does nothing.

use std::sync::Arc;

use domain::ids::Slot;
use futures_util::stream::{StreamExt, iter};
use store::StoreError;

use crate::engine::Engine;

/// Timers of one call.
const LIMIT: usize = 200;
/// Slots asked at a time.
const AT_A_TIME: usize = 8;

/// One round over all slots. A slot that fails does not keep the others from their round; the first failure
/// is reported.
pub async fn round(engine: Arc<Engine>) -> Result<(), StoreError> {
    let slots = iter(engine.store.all_slots());
    let rounds = slots
        .map(|slot| slot_round(&engine, slot))
        .buffer_unordered(AT_A_TIME);
    let failures = rounds
        .filter_map(|result| async { result.err() })
        .collect::<Vec<_>>()
        .await;
    failures.into_iter().next().map_or(Ok(()), Err)
}

/// Everything that is due in a slot.
async fn slot_round(engine: &Engine, slot: Slot) -> Result<(), StoreError> {
    loop {
        let mut reply = engine.store.run_due(slot, LIMIT).await?;
        let claimed = std::mem::take(&mut reply.value.claimed);
        engine.follow_up(slot, &reply, claimed);
        if reply.value.outbox > 0 || reply.value.notes > 0 {
            engine.wakes.wake(slot);
        }
        if reply.value.handled.len() < LIMIT {
            return Ok(());
        }
    }
}
