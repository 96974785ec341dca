//! The registry: which charger is connected where.

use domain::ids::{ChargePointId, Incarnation, PodId, Slot, Version};
use domain::slot::{Claimed, RegisterRefusal, RegisterReply, Registration};

use crate::keys::Place;
use crate::reply::{Reader, Reply};
use crate::{Store, StoreError, flag, scripts};

/// A connection that an edge says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The charger.
    pub charge_point: ChargePointId,
    /// The pod.
    pub pod: PodId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The connection's version.
    pub version: Version,
}

/// What the store says of a connection that an edge says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldReply {
    /// It is the current one and was renewed; otherwise the edge registers it again.
    pub current: bool,
    /// Dispatches that the renewal claimed.
    pub claimed: Vec<Claimed>,
}

impl Store {
    /// Registers a connection; what waited for the charger is claimed in the same step.
    pub async fn register(&self, r: &Registration) -> Result<Reply<RegisterReply>, StoreError> {
        let args = vec![
            r.charge_point.to_string(),
            r.pod.to_string(),
            r.incarnation.to_string(),
            r.sequence.to_string(),
            r.first_version.to_string(),
            r.floor.to_string(),
            r.ocpp_version.clone(),
        ];
        self.call(
            scripts::REGISTER,
            self.place_of(&r.charge_point),
            args,
            read_register,
        )
        .await
    }

    /// Renews connections of one slot, one answer each in the same order. With `wake`, what waited on a broken
    /// link is claimed whatever its backoff.
    pub async fn renew(
        &self,
        slot: Slot,
        held: &[Held],
        wake: bool,
    ) -> Result<Reply<Vec<HeldReply>>, StoreError> {
        if held.iter().any(|h| self.slot_of(&h.charge_point) != slot) {
            return Err(StoreError::WrongSlot);
        }
        let mut args = vec![flag(wake)];
        args.extend(held.iter().flat_map(|h| {
            [
                h.charge_point.to_string(),
                h.pod.to_string(),
                h.incarnation.to_string(),
                h.version.to_string(),
            ]
        }));
        let count = held.len();
        let read = |r: &mut Reader| {
            (0..count)
                .map(|_| {
                    Ok(HeldReply {
                        current: r.flag()?,
                        claimed: r.claimed()?,
                    })
                })
                .collect()
        };
        self.call(scripts::RENEW, Place::Slot(slot), args, read).await
    }

    /// Leaves a tombstone that keeps the version, if this is still the current connection.
    pub async fn unregister(
        &self,
        charge_point: &ChargePointId,
        incarnation: Incarnation,
        version: Version,
    ) -> Result<Reply<bool>, StoreError> {
        let args = vec![
            charge_point.to_string(),
            incarnation.to_string(),
            version.to_string(),
        ];
        self.call(
            scripts::UNREGISTER,
            self.place_of(charge_point),
            args,
            Reader::flag,
        )
        .await
    }
}

fn read_register(r: &mut Reader) -> Result<RegisterReply, StoreError> {
    match r.text()?.as_str() {
        "registered" => {
            let (version, kicked) = (Version(r.number()?), r.flag()?);
            Ok(RegisterReply::Registered {
                version,
                kicked,
                claimed: r.claimed()?,
            })
        }
        "sequence" => Ok(RegisterReply::Refused(RegisterRefusal::OldSequence)),
        "socket" => Ok(RegisterReply::Refused(RegisterRefusal::NewerSocket)),
        other => Err(r.error(format!("unknown answer {other:?}"))),
    }
}
