//! Registrations of chargers.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::{ChargePointId, Incarnation, Micros, Slot, Version};
use domain::slot::RegisterReply;
use futures_util::future::join_all;
use store::{Held, StoreError};
use wire::WireError;
use wire::gateway::link::v1::{
    ConnectionsRenewed, Register, RegisterRefused, Registered, RenewConnections, Unregister, down_item,
    failed,
};
use wire::map::link;

use super::Answer;
use crate::account;
use crate::engine::Engine;
use crate::link::session::Peer;

/// Why a registration was not made.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    /// It can never be made: the edge closes the socket.
    #[error("ill-formed registration")]
    IllFormed(#[from] WireError),
    /// The highest version that any edge holds cannot be read.
    #[error("cannot read the floor of versions")]
    Floor(#[source] Arc<StoreError>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Registers a connection; what waited for the charger is claimed in the same step.
pub(super) async fn register(engine: &Engine, peer: &Peer, register: &Register) -> Answer {
    try_register(engine, peer, register)
        .await
        .unwrap_or_else(|error| not_registered(register, &error))
}

/// What an edge is told whose registration was not made: to close the socket where trying again is of no use.
fn not_registered(register: &Register, error: &RegisterError) -> Answer {
    let charge_point_id = register.charge_point_id.clone();
    match error {
        RegisterError::IllFormed(error) => {
            tracing::warn!(charge_point = charge_point_id, %error, "ill-formed registration");
            let refused = RegisterRefused {
                charge_point_id,
                sequence: register.sequence,
            };
            Answer::one(down_item::Item::RegisterRefused(refused), Micros(0))
        }
        RegisterError::Floor(_) | RegisterError::Store(_) => {
            tracing::debug!(charge_point = charge_point_id, %error, "cannot register");
            Answer::failed(failed::What::ChargePointId(charge_point_id))
        }
    }
}

async fn try_register(engine: &Engine, peer: &Peer, register: &Register) -> Result<Answer, RegisterError> {
    let mut registration = link::registration(register, &peer.pod, Version(0))?;
    registration.floor = engine.leases.floor().await.map_err(RegisterError::Floor)?;
    let asked_us = engine.clock.now_us();
    let mut reply = engine.store.register(&registration).await?;
    let (charge_point_id, sequence) = (register.charge_point_id.clone(), register.sequence);
    let (item, claimed) = match &mut reply.value {
        RegisterReply::Registered { version, claimed, .. } => {
            account::registered(&registration, *version, reply.redis_now);
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
    let slot = engine.slot_of(&registration.charge_point);
    engine.follow_up(slot, asked_us, &reply, claimed);
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
    match retried(|| engine.store.unregister(&charge_point, incarnation, version)).await {
        Ok(reply) => account::unregistered(charge_point.as_str(), incarnation, version, &reply),
        Err(error) => tracing::warn!(%charge_point, %error, "cannot unregister"),
    }
    Answer::none()
}

/// Tries a call a few times, with pauses that grow, as long as trying again can help.
async fn retried<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = UNREGISTER_PAUSE;
    for _ in 1..UNREGISTER_TRIES {
        match call().await {
            Err(error) if error.is_transient() => tracing::debug!(%error, "a call is tried again"),
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    call().await
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
            Answer::one(down_item::Item::ConnectionsRenewed(renewed), Micros(0))
        }
        Err(error) => {
            tracing::debug!(pod = %peer.pod, %error, "cannot renew connections");
            Answer::failed(failed::What::Request(renew.request))
        }
    }
}

/// Renews those of one slot; returns the lost ones.
async fn renew_slot(engine: &Engine, slot: Slot, held: Vec<Held>) -> Result<Vec<String>, StoreError> {
    let asked_us = engine.clock.now_us();
    let mut reply = engine.store.renew(slot, &held, true).await?;
    let claimed = reply
        .value
        .iter_mut()
        .flat_map(|h| std::mem::take(&mut h.claimed))
        .collect();
    engine.follow_up(slot, asked_us, &reply, claimed);
    let lost = held.iter().zip(&reply.value).filter(|(_, said)| !said.current);
    Ok(lost.map(|(held, _)| held.charge_point.to_string()).collect())
}

#[cfg(test)]
mod tests {
    use domain::ids::PodId;
    use tokio::time::Instant;

    use super::*;

    fn ill_formed() -> (Register, RegisterError) {
        let register = Register {
            charge_point_id: "a b".into(),
            sequence: 4,
            ..Register::default()
        };
        let pod = PodId::parse("edge-0").unwrap();
        let error = link::registration(&register, &pod, Version(0)).unwrap_err();
        (register, error.into())
    }

    #[test]
    fn an_ill_formed_registration_closes_the_socket_and_is_not_repeated() {
        let (register, error) = ill_formed();
        let refused = RegisterRefused {
            charge_point_id: "a b".into(),
            sequence: 4,
        };
        assert_eq!(
            not_registered(&register, &error).items,
            [down_item::Item::RegisterRefused(refused)]
        );
        let away = RegisterError::Store(StoreError::OutOfMemory);
        assert!(matches!(
            not_registered(&register, &away).items[..],
            [down_item::Item::Failed(_)]
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unregistration_is_repeated_while_the_store_is_away_and_not_for_ever() {
        let begun = Instant::now();
        let calls = std::cell::Cell::new(0);
        let failing = |failures: u32, error: fn() -> StoreError| {
            calls.set(0);
            let calls = &calls;
            move || {
                calls.set(calls.get() + 1);
                let fails = calls.get() <= failures;
                async move { if fails { Err(error()) } else { Ok(()) } }
            }
        };
        assert!(retried(failing(2, || StoreError::OutOfMemory)).await.is_ok());
        assert_eq!((calls.get(), begun.elapsed()), (3, UNREGISTER_PAUSE * 3));
        assert!(retried(failing(99, || StoreError::OutOfMemory)).await.is_err());
        assert_eq!(calls.get(), UNREGISTER_TRIES);
        assert!(retried(failing(99, || StoreError::WrongSlot)).await.is_err());
        assert_eq!(calls.get(), 1, "what cannot get better is not tried again");
    }
}
