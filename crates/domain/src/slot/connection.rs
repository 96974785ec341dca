//! The registry: registering, renewing and unregistering a charger's connection. A registration and a
//! send of the same charger are serialised by the slot, which closes the window in which commands got lost.

use super::{Call, Claimed, Device, Note, NoteKind, SlotModel, TooLate, in_time};
use crate::command::Lane;
use crate::delivery::{Event, EventKind};
use crate::ids::{ChargePointId, Incarnation, PodId, Sequence, Version, grown};
use crate::mutant::{self, Mutant};

/// What an edge says when a charger connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The charger.
    pub charge_point: ChargePointId,
    /// The pod.
    pub pod: PodId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The edge's counter for this charger.
    pub sequence: Sequence,
    /// The version that this socket got first; 0 for a new socket.
    pub first_version: Version,
    /// No version at or below this: the highest that any edge holds.
    pub floor: Version,
    /// The OCPP subprotocol.
    pub ocpp_version: String,
}

/// What a registration is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterReply {
    /// The connection has this version.
    Registered {
        /// The version.
        version: Version,
        /// Dispatches that the operation claimed.
        claimed: Vec<Claimed>,
        /// Whether another edge's connection was displaced and a kick waits in the outbox.
        kicked: bool,
    },
    /// The edge closes the socket.
    Refused(RegisterRefusal),
}

/// Why a registration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterRefusal {
    /// A later registration of the same incarnation came first, or this one was ended.
    OldSequence,
    /// A newer socket of the charger is registered with another edge.
    NewerSocket,
}

impl SlotModel {
    /// Registers a connection and makes the charger's waiting and unconfirmed commands due.
    pub fn register(&mut self, r: &Registration, call: &Call) -> Result<RegisterReply, TooLate> {
        in_time(call)?;
        let old = self
            .devices
            .get(&r.charge_point)
            .cloned()
            .unwrap_or_else(Device::unseen);
        let same_edge = old.pod.as_ref() == Some(&r.pod) && old.incarnation == r.incarnation;
        if same_edge && r.sequence == old.sequence && old.connected {
            return Ok(RegisterReply::Registered {
                version: old.version,
                claimed: vec![],
                kicked: false,
            });
        }
        if same_edge && r.sequence <= old.sequence {
            return Ok(RegisterReply::Refused(RegisterRefusal::OldSequence));
        }
        let again = r.first_version.0 > 0;
        if again && !same_edge && old.has_route(call.now) && old.first_version > r.first_version {
            return Ok(RegisterReply::Refused(RegisterRefusal::NewerSocket));
        }
        let version = if mutant::active(Mutant::ReuseVersion) && old.version.0 > 0 && !old.has_route(call.now)
        {
            old.version
        } else {
            Version(grown(old.version.0, r.floor.0, call.now))
        };
        let kicked = old.connected && !same_edge;
        if kicked {
            self.kick(&r.charge_point, &old, version);
        }
        self.set_route(r, version, call);
        self.displace(&r.charge_point, version, call);
        let claimed = self.claim_lanes(&r.charge_point, true, call);
        Ok(RegisterReply::Registered {
            version,
            claimed,
            kicked,
        })
    }

    /// Keeps a registration; false if it is no longer the current one. With `wake`, what waited on a
    /// broken link is claimed whatever its backoff.
    pub fn renew(
        &mut self,
        held: (&ChargePointId, &PodId, Incarnation, Version),
        wake: bool,
        call: &Call,
    ) -> Result<(bool, Vec<Claimed>), TooLate> {
        in_time(call)?;
        let (id, pod, incarnation, version) = held;
        let expires = call.now.plus(self.settings.connection_ttl_us);
        let Some(device) = self.devices.get_mut(id).filter(|d| {
            d.connected && d.pod.as_ref() == Some(pod) && d.incarnation == incarnation && d.version == version
        }) else {
            return Ok((false, vec![]));
        };
        device.expires = expires;
        Ok((true, self.claim_lanes(id, wake, call)))
    }

    /// Leaves a tombstone that keeps the version, if this is still the current connection.
    pub fn unregister(
        &mut self,
        id: &ChargePointId,
        incarnation: Incarnation,
        version: Version,
        call: &Call,
    ) -> Result<bool, TooLate> {
        in_time(call)?;
        Ok(self.tombstone(id, incarnation, version))
    }

    pub(super) fn tombstone(
        &mut self,
        id: &ChargePointId,
        incarnation: Incarnation,
        version: Version,
    ) -> bool {
        let current = self.devices.get_mut(id).filter(|d| {
            d.connected && d.incarnation == incarnation && d.version == version
                || mutant::active(Mutant::BlindUnregister)
        });
        match current {
            Some(device) => {
                device.connected = false;
                device.expires = crate::ids::Micros(0);
                true
            }
            None => false,
        }
    }

    fn kick(&mut self, id: &ChargePointId, old: &Device, newer: Version) {
        let Some(pod) = old.pod.clone() else { return };
        let kind = NoteKind::Kick {
            version: old.version,
            newer,
        };
        let note = Note {
            pod,
            incarnation: old.incarnation,
            kind,
            next_send: crate::ids::Micros(0),
        };
        self.notes.insert((id.clone(), note.name()), note);
    }

    fn set_route(&mut self, r: &Registration, version: Version, call: &Call) {
        let ttl = self.settings.connection_ttl_us;
        let device = self.device(&r.charge_point);
        device.pod = Some(r.pod.clone());
        device.incarnation = r.incarnation;
        device.version = version;
        device.sequence = r.sequence;
        device.first_version = if r.first_version.0 > 0 {
            r.first_version
        } else {
            version
        };
        device.connected = true;
        device.expires = call.now.plus(ttl);
        device.registered = call.now;
        device.ocpp_version.clone_from(&r.ocpp_version);
    }

    /// What was on its way over an older version is due again, or stands aside.
    fn displace(&mut self, id: &ChargePointId, version: Version, call: &Call) {
        for lane in Lane::ALL {
            let held = self.devices.get(id).and_then(|d| d.lane(lane));
            let older = held
                .and_then(|c| self.commands.get(&c))
                .is_some_and(|c| c.progress.route.as_ref().is_some_and(|r| r.version < version));
            if let Some(command) = held.filter(|_| older) {
                self.decide_and_change(command, &Event::open(EventKind::Displaced), None, call);
            }
        }
    }
}
