//! What a pass tells the history (`chassis::history`): when it begins and ends, and each repair with whether it took
//! effect. Costs nothing while there is no history. Left out: what was found and not touched.

use chassis::history::note;
use domain::ids::{Incarnation, Micros, Version};
use serde_json::json;
use store::{Connection, Finding, Reply};

/// A pass that mends begins, or has come to its end.
pub(crate) fn pass(under_way: bool) {
    note("pass", || json!({ "value": under_way }));
}

/// The registration of a dead life was to be ended; `applied` if it still was the present one.
pub(crate) fn dead_route(connection: &Connection, reply: &Reply<bool>) {
    let (incarnation, version): (Incarnation, Version) =
        (connection.device.incarnation, connection.device.version);
    note("repair", || {
        json!({
            "what": "dead route", "cp": connection.charge_point.as_str(), "inc": incarnation.0,
            "version": version.0, "pod": connection.device.pod.as_ref().map(|pod| pod.as_str()),
            "applied": reply.value, "now_us": reply.redis_now.0,
        })
    });
}

/// The record of a pod was to be forgotten; `applied` if its lease had lapsed long ago.
pub(crate) fn dead_pod(lease: &domain::dispatch::Lease, reply: &Reply<bool>) {
    note("repair", || {
        json!({
            "what": "pod", "pod": lease.pod.as_str(), "inc": lease.incarnation.0, "applied": reply.value,
            "now_us": reply.redis_now.0,
        })
    });
}

/// What one script found, it has mended: nobody else can have.
pub(crate) fn mended(findings: &[Finding], about: &str, now: Micros) {
    for finding in findings {
        note("repair", || {
            json!({
                "what": finding.kind, "id": about, "why": finding.what, "applied": true, "now_us": now.0,
            })
        });
    }
}
