//! The hash of a whole machine, for whoever explores its states: equal machines hash equally, in whatever order
//! their maps iterate. Production never hashes a machine.

use std::hash::{Hash, Hasher};

use super::machine::EdgeMachine;

impl Hash for EdgeMachine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            settings,
            conns,
            commands,
            alarms,
            link_up,
            incarnation,
            registers_wait,
            highest_version,
            sequences,
            arrivals,
            strangers,
            register_queue,
            renew_queue,
            renewals,
            renew_after,
            renew_tries,
            next_request,
            request_step,
            renew_bucket,
            next_bucket_at,
            unregistered,
            replaced,
        } = self;
        let mut sorted: Vec<_> = conns.iter().collect();
        sorted.sort_by_key(|(charge_point, _)| *charge_point);
        (settings, sorted, commands, alarms).hash(state);
        (link_up, incarnation, registers_wait, highest_version).hash(state);
        (sequences, arrivals, strangers, register_queue, renew_queue).hash(state);
        (renewals, next_request, request_step, renew_bucket, next_bucket_at).hash(state);
        (unregistered, replaced, renew_after, renew_tries).hash(state);
    }
}
