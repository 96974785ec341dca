//! The pod's lease: taken, renewed, given up.

use domain::dispatch::Consumes;
use domain::ids::{Incarnation, Version};
use domain::topics::shard_of_topic;
use store::{Mark, Renewal, TakeReply, Taking};
use wire::gateway::link::v1::{Goodbye, Lease, LeaseRefused, RenewLease, TakeIncarnation, down_item, failed};

use super::Answer;
use crate::account;
use crate::engine::Engine;
use crate::link::session::Peer;

/// Takes a new life.
pub(super) async fn take(engine: &Engine, peer: &Peer, take: &TakeIncarnation) -> Answer {
    let taking = Taking {
        link: Some(peer.link),
        pod: peer.pod.clone(),
        last_own: Incarnation(take.last_incarnation),
        process: peer.process,
        consumes: peer.consumes.clone(),
    };
    let reply = engine.store.take_incarnation(&taking).await;
    engine.leases.forget(&peer.pod);
    match reply {
        Ok(reply) => match reply.value {
            TakeReply::Taken {
                incarnation,
                expires,
                placed,
            } => {
                tracing::info!(pod = %peer.pod, %incarnation, "edge took a new life");
                account::leased(&peer.pod, incarnation, expires, reply.redis_now);
                let lease_ms = remaining_ms(expires.0, reply.redis_now.0);
                let lease = lease(engine, take.request, incarnation, lease_ms, !placed);
                Answer {
                    incarnation: Some(incarnation),
                    ..Answer::one(lease, reply.redis_now)
                }
            }
            TakeReply::Superseded => Answer::one(refused(take.request, true), reply.redis_now),
        },
        Err(error) => {
            tracing::warn!(pod = %peer.pod, %error, "cannot take a life");
            Answer::failed(failed::What::Request(take.request))
        }
    }
}

/// Renews the lease, unless it has lapsed.
pub(super) async fn renew(engine: &Engine, peer: &Peer, renew: &RenewLease) -> Answer {
    let incarnation = Incarnation(renew.incarnation);
    let floor = Version(renew.floor_version);
    let place = place(renew);
    let renewed = engine.store.renew_lease(
        Some(peer.link),
        &peer.pod,
        incarnation,
        floor,
        &renew.store_epoch,
        place.as_ref(),
    );
    match renewed.await {
        Ok(reply) => match reply.value {
            Renewal::Renewed { expires, late } => {
                account::leased(&peer.pod, incarnation, expires, reply.redis_now);
                let lease_ms = remaining_ms(expires.0, reply.redis_now.0);
                let lease = lease(engine, renew.request, incarnation, lease_ms, late);
                Answer {
                    incarnation: Some(incarnation),
                    ..Answer::one(lease, reply.redis_now)
                }
            }
            Renewal::Lapsed => Answer::one(refused(renew.request, false), reply.redis_now),
            Renewal::Superseded => Answer::one(refused(renew.request, true), reply.redis_now),
        },
        Err(error) => {
            tracing::debug!(pod = %peer.pod, %error, "cannot renew a lease");
            Answer::failed(failed::What::Request(renew.request))
        }
    }
}

/// Where the edge consumes for certain, since canaries of late came round there. A pod that moves names the new
/// place only then; until it does, records go where its lease says, which it still consumes.
fn place(renew: &RenewLease) -> Option<Consumes> {
    let place = renew.consumes.as_ref()?;
    if shard_of_topic(&place.topic).is_none() {
        tracing::warn!(topic = place.topic, "an edge claims to consume what is no shard");
        return None;
    }
    Some(Consumes {
        topic: place.topic.clone(),
        normal: place.normal_partition,
        urgent: place.urgent_partition,
    })
}

/// The edge drains: nothing is sent to it any more. If the mark is lost, the broken link or the lapsed lease
/// says the same a little later.
pub(super) async fn goodbye(engine: &Engine, peer: &Peer, goodbye: &Goodbye) -> Answer {
    let incarnation = Incarnation(goodbye.incarnation);
    tracing::info!(pod = %peer.pod, %incarnation, "edge drains");
    if let Err(error) = engine
        .store
        .mark_pod(&peer.pod, incarnation, Mark::Draining)
        .await
    {
        tracing::warn!(pod = %peer.pod, %error, "cannot mark the pod as draining");
    }
    engine.leases.forget(&peer.pod);
    Answer::none()
}

/// The lease, whose time counts from the sending of the request: it is what was left when the store said so.
fn lease(
    engine: &Engine,
    request: u64,
    incarnation: Incarnation,
    lease_ms: u32,
    passed_over: bool,
) -> down_item::Item {
    let store_epoch = engine.store.epoch();
    down_item::Item::Lease(Lease {
        request,
        incarnation: incarnation.0,
        lease_ms,
        store_epoch,
        passed_over,
    })
}

fn refused(request: u64, superseded: bool) -> down_item::Item {
    down_item::Item::LeaseRefused(LeaseRefused { request, superseded })
}

fn remaining_ms(expires_us: u64, now_us: u64) -> u32 {
    u32::try_from(expires_us.saturating_sub(now_us) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use wire::gateway::link::v1::Placement;

    use super::*;

    fn renewal(topic: Option<&str>) -> RenewLease {
        let consumes = topic.map(|topic| Placement {
            topic: topic.into(),
            normal_partition: 1,
            urgent_partition: 9,
            link_number: 4,
        });
        RenewLease {
            consumes,
            ..RenewLease::default()
        }
    }

    #[test]
    fn a_lease_names_a_new_place_only_once_the_edge_says_that_it_consumes_there() {
        assert_eq!(place(&renewal(None)), None, "what is published stays");
        let there = place(&renewal(Some("commands-down-shard-3"))).unwrap();
        let expected = ("commands-down-shard-3", 1, 9);
        assert_eq!((there.topic.as_str(), there.normal, there.urgent), expected);
        assert_eq!(place(&renewal(Some("ocpp-events-up"))), None);
        assert_eq!(place(&renewal(Some(""))), None);
    }
}
