//! The judge at the routes: versions, the sockets that they are for, and routes that lead nowhere.

use domain::ids::{ChargePointId, CommandId, Micros, Version};
use domain::slot::{Device, RegisterReply, Registration};

use super::Judge;
use crate::world::Data;

impl Judge {
    /// Versions only grow, above what any edge published too; a repeated registration is answered as before.
    ///
    /// Registrations are behind the barrier, so that a version that anybody was told is never forgotten: that
    /// alone keeps versions of one charger growing, and `floor` is the second defence. It is judged by itself,
    /// where it decides: a clock that was set back by a failover is below it.
    pub(super) fn judge_version(&mut self, r: &Registration, version: Version, now: Micros) {
        let of = self.versions.entry(r.charge_point.clone()).or_default();
        let who = (r.pod.to_string(), r.incarnation.0, r.sequence.0);
        let highest = of.highest;
        let repeated = of.given.get(&who) == Some(&version);
        if version > highest {
            of.highest = version;
            of.registrations += 1;
        }
        if !repeated {
            of.first = if r.first_version.0 > 0 {
                r.first_version
            } else {
                version
            };
        }
        of.given.insert(who, version);
        let charge_point = &r.charge_point;
        self.check(9, version > highest || repeated, || {
            format!("{charge_point} got version {version} after {highest}")
        });
        if !repeated && r.floor.0 >= now.0 {
            self.rule("floor above the clock", 9, version > r.floor, || {
                format!(
                    "{charge_point} got version {version}, and some edge holds {}",
                    r.floor
                )
            });
        }
    }

    /// A socket that is older than the one that is registered with another edge does not displace it.
    pub(super) fn judge_dead_socket(
        &mut self,
        r: &Registration,
        before: Option<&Device>,
        reply: &RegisterReply,
        now: Micros,
    ) {
        let Some(before) = before.filter(|d| d.has_route(now) && r.first_version.0 > 0) else {
            return;
        };
        let elsewhere = before.pod.as_ref() != Some(&r.pod) || before.incarnation != r.incarnation;
        let first = self.versions.get(&r.charge_point).map_or(Version(0), |v| v.first);
        if elsewhere && first > r.first_version {
            let refused = matches!(reply, RegisterReply::Refused(_));
            self.rule("an older socket registers again", 11, refused, || {
                let (charge_point, older) = (&r.charge_point, r.first_version);
                format!("{charge_point}: the socket of version {older} displaced the one of {first}")
            });
        }
    }

    /// A record came to a place in a shard: the life that it is for must consume there.
    pub(crate) fn sent_to_place(
        &mut self,
        edge: usize,
        (shard, moving): (usize, bool),
        consumed: bool,
        id: CommandId,
    ) {
        let text = || format!("{id} was sent to edge {edge} in shard {shard}, which it has left");
        if moving {
            self.rule(
                "a record while the pod moves",
                21,
                consumed || self.rollbacks > 0,
                text,
            );
        } else {
            self.check(21, consumed || self.rollbacks > 0, text);
        }
    }

    /// A version got out of the store.
    pub(crate) fn told(&mut self, charge_point: &ChargePointId, version: Version) {
        if let Some(of) = self.versions.get_mut(charge_point) {
            of.told = of.told.max(version);
        }
    }

    /// All chargers hung up long ago, most of them before their registration was answered: no route is left that
    /// an edge that lives was told of. One whose reply was lost with its link is known to nobody; the first
    /// record for it is refused, which removes it, and so does its end.
    pub(crate) fn deserted(
        &mut self,
        data: &Data,
        now: Micros,
        holder: impl Fn(&ChargePointId, &Device) -> Option<(usize, u32)>,
    ) {
        for (charge_point, device) in data.slots.iter().flat_map(|s| &s.devices) {
            let told = |who| self.was_told(who, charge_point, device.version);
            let orphan = device.has_route(now) && holder(charge_point, device).is_some_and(told);
            self.rule("hung up while registering", 23, !orphan, || {
                format!(
                    "{charge_point} hung up, and its route of version {} stays",
                    device.version
                )
            });
        }
    }
}
