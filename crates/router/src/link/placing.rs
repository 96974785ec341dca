//! Where an edge consumes: where it consumed before, or the shard that the shard map gives it.

use std::collections::BTreeMap;

use domain::command::Lane;
use domain::dispatch::{Consumes, Lease};
use domain::ids::{PodId, Shard};
use domain::placement::ShardMap;
use domain::topics::{TopicSettings, partition, shard_of_topic, shard_topic};

/// The place of a pod. `known` is its own record, `leases` are all pods' records. A record is kept to as long
/// as its shard exists, so that a restart or a relink moves nobody.
pub(super) fn place(
    pod: &PodId,
    known: Option<&Lease>,
    leases: &[Lease],
    shards: &ShardMap,
    settings: &TopicSettings,
) -> Consumes {
    let shard_of = |lease: &Lease| shard_of_topic(&lease.consumes.topic).filter(|s| s.0 < settings.shards);
    let shard = known.and_then(shard_of).unwrap_or_else(|| {
        let placed: BTreeMap<PodId, Shard> = leases
            .iter()
            .filter_map(|l| Some((l.pod.clone(), shard_of(l)?)))
            .collect();
        shards.place(pod, &placed)
    });
    Consumes {
        topic: shard_topic(shard),
        normal: partition(pod, Lane::Normal, settings.shard_partitions),
        urgent: partition(pod, Lane::Urgent, settings.shard_partitions),
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::{Incarnation, LinkNumber, Micros, Version};

    use super::*;

    fn lease(pod: &str, topic: &str) -> Lease {
        Lease {
            pod: PodId::parse(pod).unwrap(),
            incarnation: Incarnation(1),
            link: LinkNumber(1),
            expires: Micros(1),
            suspect: false,
            draining: false,
            consumes: Consumes {
                topic: topic.into(),
                normal: 0,
                urgent: 8,
            },
            floor: Version(0),
        }
    }

    fn placed(known: Option<&Lease>, leases: &[Lease]) -> Consumes {
        let settings = TopicSettings::default();
        let pod = PodId::parse("edge-0").unwrap();
        place(&pod, known, leases, &ShardMap::new(settings.shards), &settings)
    }

    #[test]
    fn a_pod_stays_where_it_was_as_long_as_that_shard_exists() {
        for shard in 0..4 {
            let known = lease("edge-0", &shard_topic(Shard(shard)));
            assert_eq!(placed(Some(&known), &[]).topic, known.consumes.topic);
        }
        let gone = lease("edge-0", &shard_topic(Shard(99)));
        assert_eq!(placed(Some(&gone), &[]), placed(None, &[]));
    }

    #[test]
    fn a_shard_at_its_bound_takes_no_further_pod() {
        let first = placed(None, &[]).topic;
        let crowd: Vec<_> = (1..9).map(|n| lease(&format!("edge-{n}"), &first)).collect();
        assert_ne!(placed(None, &crowd).topic, first);
    }

    #[test]
    fn records_of_foreign_topics_count_for_nothing() {
        let odd: Vec<_> = (1..9)
            .map(|n| lease(&format!("edge-{n}"), "something-else"))
            .collect();
        assert_eq!(placed(None, &odd), placed(None, &[]));
    }
}
