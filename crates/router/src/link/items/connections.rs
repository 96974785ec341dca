//! Registrations of chargers.

use std::collections::HashMap;
use std::time::Duration;

use domain::ids::{ChargePointId, Incarnation, Slot, Version};
use domain::slot::RegisterReply;
use futures_util::future::join_all;
use store::{Held, StoreError};
use wire::gateway::link::v1::{
    ConnectionsRenewed, Register, RegisterRefused, Registered, RenewConnections, Unregister, down_item,
    failed,
};
use wire::map::link;

use super::Answer;
use crate::engine::Engine;
use crate::link::session::Peer;

/// Registers a connection; what waited for the charger is claimed in the same step.
pub(super) async fn register(engine: &Engine, peer: &Peer, register: &Register) -> Answer {
    match try_register(engine, peer, register).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(charge_point = register.charge_point_id, %error, "cannot register");
            Answer::failed(failed::What::ChargePointId(register.charge_point_id.clone()))
        }
    }
}

async fn try_register(engine: &Engine, peer: &Peer, register: &Register) -> anyhow::Result<Answer> {
    let registration = link::registration(register, &peer.pod, engine.leases.floor().await?)?;
    let mut reply = engine.store.register(&registration).await?;
    let (charge_point_id, sequence) = (register.charge_point_id.clone(), register.sequence);
    let (item, claimed) = match &mut reply.value {
        RegisterReply::Registered { version, claimed, .. } => {
            let registered = Registered {
                charge_point_id,
                sequence,
                version: version.0,
            };
            (down_item::Item::Registered(registered), std::mem::take(claimed))
        }
        RegisterReply::Refused(_) => (
            down_item::Item::RegisterRefused(RegisterRefused {
                charge_point_id,
                sequence,
            }),
            Vec::new(),
        ),
    };
    engine.follow_up(engine.slot_of(&registration.charge_point), &reply, claimed);
    Ok(Answer::one(item, reply.redis_now))
}

/// How often an end of a registration is tried, and the first pause between the tries.
const UNREGISTER_TRIES: u32 = 5;
const UNREGISTER_PAUSE: Duration = Duration::from_millis(100);

/// Ends a registration. It is tried a few times, since nobody repeats it: thousands of chargers may leave at
/// once, and the store be slow for that. If it is lost all the same, the lease's end or a refused record says
/// the same later, so there is no answer.
pub(super) async fn unregister(engine: &Engine, unregister: &Unregister) -> Answer {
    let charge_point = match ChargePointId::parse(&unregister.charge_point_id) {
        Ok(charge_point) => charge_point,
        Err(error) => {
            tracing::warn!(%error, "ill-formed unregistration");
            return Answer::none();
        }
    };
    let (incarnation, version) = (Incarnation(unregister.incarnation), Version(unregister.version));
    for attempt in 0..UNREGISTER_TRIES {
        match engine.store.unregister(&charge_point, incarnation, version).await {
            Err(error) if error.is_transient() => {
                tracing::debug!(%charge_point, %error, attempt, "cannot unregister");
                tokio::time::sleep(UNREGISTER_PAUSE * 2u32.pow(attempt)).await;
            }
            Err(error) => {
                tracing::warn!(%charge_point, %error, "cannot unregister");
                break;
            }
            Ok(_) => break,
        }
    }
    Answer::none()
}

/// Renews connections, one call a slot, and says which of them the store does not know so any more.
///
/// A renewal always wakes: what was parked while the link was broken is due as soon as the edge says that it
/// still holds the connection. Renewals of a connection are minutes apart otherwise, so no backoff suffers.
pub(super) async fn renew(engine: &Engine, peer: &Peer, renew: RenewConnections) -> Answer {
    let mut slots: HashMap<Slot, Vec<Held>> = HashMap::new();
    for held in &renew.connections {
        let Ok(charge_point) = ChargePointId::parse(&held.charge_point_id) else {
            continue;
        };
        let slot = engine.slot_of(&charge_point);
        let (pod, incarnation) = (peer.pod.clone(), Incarnation(renew.incarnation));
        let held = Held {
            charge_point,
            pod,
            incarnation,
            version: Version(held.version),
        };
        slots.entry(slot).or_default().push(held);
    }
    let replies = join_all(
        slots
            .into_iter()
            .map(|(slot, held)| renew_slot(engine, slot, held)),
    )
    .await;
    match replies.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(lost) => {
            let lost_charge_point_ids = lost.concat();
            let renewed = ConnectionsRenewed {
                request: renew.request,
                lost_charge_point_ids,
            };
            Answer::one(
                down_item::Item::ConnectionsRenewed(renewed),
                domain::ids::Micros(0),
            )
        }
        Err(error) => {
            tracing::debug!(pod = %peer.pod, %error, "cannot renew connections");
            Answer::failed(failed::What::Request(renew.request))
        }
    }
}

/// Renews those of one slot; returns the lost ones.
async fn renew_slot(engine: &Engine, slot: Slot, held: Vec<Held>) -> Result<Vec<String>, StoreError> {
    let mut reply = engine.store.renew(slot, &held, true).await?;
    let claimed = reply
        .value
        .iter_mut()
        .flat_map(|h| std::mem::take(&mut h.claimed))
        .collect();
    engine.follow_up(slot, &reply, claimed);
    let lost = held.iter().zip(&reply.value).filter(|(_, said)| !said.current);
    Ok(lost.map(|(held, _)| held.charge_point.to_string()).collect())
}
