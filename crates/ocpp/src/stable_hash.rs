//! A hash of text whose value never changes between builds, machines and releases. Not for adversarial tables.

/// FNV-1a over the parts, each closed by a byte that UTF-8 cannot contain, then mixed so that every bit of the
/// result depends on every bit of the sum.
pub(crate) fn stable_hash(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_pinned_and_borders_between_parts_count() {
        assert_eq!(stable_hash(&["CP-1", "m-1"]), stable_hash(&["CP-1", "m-1"]));
        assert_ne!(stable_hash(&["ab", "c"]), stable_hash(&["a", "bc"]));
        assert_ne!(stable_hash(&[]), stable_hash(&[""]));
        assert_eq!(stable_hash(&["CP-000001", "m-1"]), PINNED);
    }

    /// A change of this value would give a retried StartTransaction another transaction id after an upgrade.
    const PINNED: u64 = 13_050_306_013_069_144_788;
}
