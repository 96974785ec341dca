//! The shard map: which shard topic a pod consumes. Consistent hash with bounded loads over `hashring`:
//! a pod goes to the first shard clockwise that is not above 1.25 times the mean load.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use hashring::HashRing;

use crate::ids::{PodId, Shard, stable_hash};

/// Points of each shard on the ring.
pub const VIRTUAL_NODES: u32 = 128;

/// The ring of the shards, built once.
pub struct ShardMap {
    ring: HashRing<Point, BuildHasherDefault<StableHasher>>,
    shards: u32,
}

/// One point of a shard; its bytes are hashed explicitly, so that no library's `Hash` can move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    shard: u32,
    node: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(format!("shard-{}/{}", self.shard, self.node).as_bytes());
    }
}

/// Hashes the bytes written last with the pinned hash.
#[derive(Default)]
struct StableHasher(u64);

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut all = self.0.to_be_bytes().to_vec();
        all.extend_from_slice(bytes);
        self.0 = stable_hash(&all);
    }
}

struct PodKey<'a>(&'a PodId);

impl Hash for PodKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_str().as_bytes());
    }
}

impl ShardMap {
    /// A ring of so many shards, at least one.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let shards = shards.max(1);
        let points = (0..shards).flat_map(|shard| (0..VIRTUAL_NODES).map(move |node| Point { shard, node }));
        let mut ring = HashRing::with_hasher(BuildHasherDefault::default());
        ring.batch_add(points.collect());
        Self { ring, shards }
    }

    /// Places a pod beside those that are placed already.
    #[must_use]
    pub fn place(&self, pod: &PodId, placed: &BTreeMap<PodId, Shard>) -> Shard {
        let mut load = vec![0u32; self.shards as usize];
        for (_, shard) in placed.iter().filter(|(other, _)| *other != pod) {
            if let Some(pods) = load.get_mut(shard.0 as usize) {
                *pods += 1;
            }
        }
        let pods = load.iter().sum::<u32>() + 1;
        // The bound of consistent hashing with bounded loads: 1.25 × mean, rounded up.
        let bound = (5 * pods).div_ceil(4 * self.shards);
        let free = |shard: u32| load.get(shard as usize).is_some_and(|l| *l < bound);
        let clockwise = self
            .ring
            .get_with_replicas(&PodKey(pod), (self.shards * VIRTUAL_NODES) as usize);
        let chosen = clockwise
            .unwrap_or_default()
            .into_iter()
            .map(|p| p.shard)
            .find(|s| free(*s));
        Shard(chosen.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shards: u32, pods: u32) -> BTreeMap<PodId, Shard> {
        let map = ShardMap::new(shards);
        let mut placed = BTreeMap::new();
        for n in 0..pods {
            let pod = PodId::parse(&format!("edge-{n}")).unwrap();
            let shard = map.place(&pod, &placed);
            placed.insert(pod, shard);
        }
        placed
    }

    #[test]
    fn the_shard_map_never_moves() {
        insta::assert_json_snapshot!(fill(4, 24));
    }

    #[test]
    fn no_shard_is_above_its_bound() {
        for (shards, pods) in [(1, 10), (4, 3), (16, 400), (64, 200)] {
            let mut load = BTreeMap::new();
            for shard in fill(shards, pods).values() {
                *load.entry(*shard).or_insert(0u32) += 1;
            }
            let bound = (5 * pods).div_ceil(4 * shards);
            assert!(
                load.values().all(|l| *l <= bound),
                "{shards} shards, {pods} pods: {load:?}"
            );
        }
    }

    #[test]
    fn placing_a_pod_again_keeps_its_shard_while_the_load_allows() {
        let placed = fill(4, 24);
        let map = ShardMap::new(4);
        let moved = placed
            .iter()
            .filter(|(pod, shard)| map.place(pod, &placed) != **shard)
            .count();
        assert!(moved <= 6, "{moved} of 24 moved");
    }
}
